"""Watermarks that the plan has checked: the bucket is copied at their instants, and restored from later.

The watermark is asked for first and the bucket copied next, so that whatever lay at or before the watermark
must be in the copy. Restores from the copies come last: the drill is over but for them.
"""

from __future__ import annotations

import asyncio
from typing import Literal

from harness.drive.crew import Crew
from harness.drive.drill import Drill
from harness.drive.observer import Observer
from harness.drive.ports import Copies
from harness.drive.restores import stored_rows
from harness.model.folder import copy_file
from harness.model.history import BucketCopied, CopiesRefused, CopyRestored
from harness.model.watermarks import WatermarkCheck


class Copier:
    """The watermark checks of a drill: ``begin`` those of a moment, then ``done``, at last ``check``."""

    def __init__(self, drill: Drill, observer: Observer) -> None:
        self._drill = drill
        self._observer = observer
        self._copies = drill.world.copies
        self._due: set[asyncio.Task[None]] = set()
        self._made: list[int] = []
        self._copying = asyncio.Lock()

    def refuse(self) -> None:
        """Say so at once if the plan asks for copies in a world that can't make any."""
        if self._copies is None and self._drill.plan.watermark_checks:
            self._drill.journal.write(
                CopiesRefused(
                    at_s=self._drill.journal.now_s(), reason="this host can't copy the object server's data"
                )
            )

    def begin(self, moment: Literal["write", "incident"], crew: Crew) -> None:
        """Let the checks of ``moment`` fall due; their times count from now."""
        if self._copies is None:
            return
        for number, check in enumerate(self._drill.plan.watermark_checks):
            if check.moment == moment:
                copying = self._copy(number, check, self._copies)
                self._due.add(crew.go(copying, f"copy {number}"))

    async def done(self) -> None:
        """Wait until all copies are made; raises TimedOut."""
        if self._due:
            longest_s = max(check.after_s for check in self._drill.plan.watermark_checks)
            limit_s = longest_s + self._drill.plan.limits.settle_s
            await self._drill.within(limit_s, "the bucket is copied", asyncio.wait(self._due))
            self._due.clear()

    async def check(self) -> None:
        """Restore from each copy what its check names, into the scratch database."""
        if self._copies is None or not self._made:
            return
        limit_s = self._drill.plan.limits.settle_s
        async with self._copies:
            await self._drill.within(limit_s, "the copies are served", self._copies.serve(self._made))
            for number in self._made:
                await self._drill.world.database.reset_scratch()
                for tenant in self._drill.plan.watermark_checks[number].tenants:
                    await self._restore(number, tenant, self._copies)

    async def _copy(self, number: int, check: WatermarkCheck, copies: Copies) -> None:
        await self._drill.clock.sleep(check.after_s)
        async with self._copying:
            seen = await self._observer.watermark() or self._observer.last
            if seen is None:
                self._drill.note(f"no watermark was there to be checked by copy {number}")
                return
            await copies.take(number)
            self._made.append(number)
            position = seen.position
            self._drill.journal.write(
                BucketCopied(
                    at_s=self._drill.journal.now_s(), copy=number, epoch=position.epoch, lsn=position.lsn
                )
            )

    async def _restore(self, number: int, tenant: str, copies: Copies) -> None:
        journal = self._drill.journal
        limit_s = self._drill.plan.limits.restore_s
        fact = f"{tenant} is restored from copy {number}"
        result = await self._drill.within(limit_s, fact, copies.restore(number, tenant))
        file = ""
        if result.result == "restored":
            file = copy_file(number, tenant)
            rows = await self._drill.world.database.read([tenant], "scratch")
            journal.store(file, stored_rows(0, rows[tenant], self._drill.where.tables))
        journal.write(
            CopyRestored(
                at_s=journal.now_s(),
                copy=number,
                tenant=tenant,
                result=result.result,
                detail=result.detail,
                file=file,
            )
        )
