"""The reference backup system as a subject: answers the harness's port with archive and restorer."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterable

from harness.model.errors import RestoreRefused, SubjectFailed
from harness.model.history import Cut, Need, Place, SetAside
from harness.model.position import Position
from harness.model.values import to_row
from harness.subject.port import RestoreResult, Watermark
from harness.subject.reference.fencing import is_takeover
from harness.subject.reference.format import ManifestEntry, SchemaRef, schemas_of
from harness.subject.reference.health import PROMISE_S, State, Trail, state_of
from harness.subject.reference.manifest import Link, Manifest
from harness.subject.reference.ports import (
    Clock,
    ObjectStore,
    StoreUnavailable,
    Swapped,
    Target,
    TargetUnavailable,
)
from harness.subject.reference.restorer import Restorer
from harness.subject.reference.signing import TRUSTS_ALL, Trust

RESTORE_LIMIT_S = 60.0
REACH_LIMIT_S = 30.0
LATE_LIMIT_S = 30.0
POLL_S = 0.05
RETRY_S = 0.2


class ReferenceSubject:
    """Watches an archive (``store``) and restores from it into ``targets``.

    ``store`` is for watching only; the restorer has its own, so that what restores read can be counted.
    ``stopped`` says why the archiver stopped, None while it runs or is just not there; ``lives`` whether it
    is known to be at work. An exposure beyond ``promise_s`` is a breach.
    """

    name = "reference"

    def __init__(  # noqa: PLR0913 - its parts, put together in one place for each world
        self,
        *,
        store: ObjectStore,
        restorer: Restorer,
        targets: dict[Place, Target],
        clock: Clock,
        flush_interval_s: float = 1.0,
        promise_s: float = PROMISE_S,
        stopped: Callable[[], str | None] = lambda: None,
        lives: Callable[[], bool] = lambda: False,
        trust: Trust = TRUSTS_ALL,
    ) -> None:
        self.flush_interval_s = flush_interval_s
        self._manifest = Manifest(store, trust)
        self._restorer = restorer
        self._targets = targets
        self._clock = clock
        self._promise_s = promise_s
        self._stopped = stopped
        self._lives = lives
        self._looked = False
        self._late_end: Position | None = None
        self._trail = Trail()
        self._in_vain_s: float | None = None

    async def epoch(self, system_id: str, timeline: int) -> int:
        """Return the archive's ordinal for this cluster and timeline, 0 while it knows none."""
        last = await self._patiently()
        for epoch in last.epochs if last else ():
            if (epoch.system_id, epoch.timeline) == (system_id, timeline):
                return epoch.ordinal
        return 0

    async def watermark(self) -> Watermark | None:
        """Return the last durable watermark; its exposure is an upper bound on the loader's clock.

        While the bucket can't be asked, the last one known is all there is, and its exposure grows.
        """
        last = await self._seen()
        if last is None:
            return None
        exposure_s = self._trail.exposure_s(self._clock.now_s(), interval_s=self.flush_interval_s)
        return Watermark(position=last.watermark, exposure_s=exposure_s, state=self._state(exposure_s))

    async def needs(self) -> tuple[Need, ...]:
        """Name what restores need: each manifest entry, its segment, and schemas when they change."""
        await self._patiently()
        needs, known = [], set[str]()
        for link in self._manifest.links:
            schemas = {schema.key: schema for schema in schemas_of(link.entry) if schema.key not in known}
            needs.append(_need(link, schemas.values()))
            known |= schemas.keys()
        return tuple(needs)

    async def restore(self, tenant: str, cut: Cut, place: Place) -> RestoreResult:
        """Restore one tenant; every failure of the subject becomes a result."""
        try:
            async with asyncio.timeout(RESTORE_LIMIT_S):
                swapped = await self._bring_back(tenant, cut, place)
        except RestoreRefused as refused:
            return RestoreResult(result="refused", detail=str(refused))
        except SubjectFailed as failed:
            return RestoreResult(result="failed", detail=str(failed))
        except TimeoutError:
            return RestoreResult(result="failed", detail=f"not done within {RESTORE_LIMIT_S:.0f} s")
        return _result(swapped, self._restorer.manifest.refused)

    async def _bring_back(self, tenant: str, cut: Cut, place: Place) -> Swapped:
        """Restore, and do it again while a service is away: it is idempotent (FM-104).

        When the answer to a COMMIT was lost, what that try had set aside may be set aside already, and the
        next one does not see it any more.
        """
        earlier: list[Swapped] = []
        while True:
            try:
                await self._reach(cut)
                with self._restorer.reader.once():
                    if place == "live" and await self._is_behind(tenant, cut):
                        await self._reach_now()
                    swapped = await self._restorer.restore(
                        tenant, cut, self._targets[place], in_place=place == "live"
                    )
                return functools.reduce(_together, earlier, swapped)
            except StoreUnavailable:
                pass
            except RestoreRefused:
                if not await self._reach_late(cut):
                    raise
            except TargetUnavailable as away:
                earlier += [away.swapped] if away.swapped is not None else []
            await self._clock.sleep(RETRY_S)

    async def _is_behind(self, tenant: str, cut: Cut) -> bool:
        """Whether what a restore in place must undo may not be archived yet: rows that went on, or DDL."""
        gives_away = await self._restorer.gives_away(tenant, cut)
        return gives_away or await self._restorer.is_reshaped(self._targets["live"])

    async def _reach_late(self, cut: Cut) -> bool:
        """Wait for an archive that is behind the cut; whether it has come there since.

        What is in the way of a restore may be the tenant's own, moved by a transaction not archived yet.
        """
        goal = Position(epoch=cut.epoch, lsn=max(cut.lsn_lower, cut.lsn_upper))
        behind = False
        limit_s = self._clock.now_s() + LATE_LIMIT_S
        while cut.epoch and (last := await self._seen()) is not None and last.end < goal:
            if self._clock.now_s() > limit_s or last.end == self._late_end:
                self._late_end = last.end  # in vain: nobody waits again before it has moved
                return False
            behind = True
            await self._clock.sleep(POLL_S)
        return behind

    async def _last(self) -> ManifestEntry | None:
        added = await self._manifest.catch_up()
        last = self._manifest.last
        if last is not None and self._looked and not all(is_takeover(link.entry) for link in added):
            self._trail.moved(self._clock.now_s(), last.entry.beat.at if last.entry.beat else None)
        self._looked = True  # what the first look finds may be old: it says nothing of exposure
        return last.entry if last else None

    async def _seen(self) -> ManifestEntry | None:
        """Return the last entry; while the bucket can't be asked, the last one known."""
        try:
            return await self._last()
        except StoreUnavailable:
            if (known := self._manifest.last) is None:
                raise
            return known.entry

    async def _patiently(self) -> ManifestEntry | None:
        """Return the last entry; a bucket that can't be asked is asked again for some time."""
        limit_s = self._clock.now_s() + REACH_LIMIT_S
        while True:
            try:
                return await self._last()
            except StoreUnavailable:
                if self._clock.now_s() > limit_s:
                    raise
                await self._clock.sleep(POLL_S)

    def _state(self, exposure_s: float | None) -> State:
        if self._stopped() is not None:
            return "stopped"
        if exposure_s is None:
            return "ok"
        return state_of(exposure_s, interval_s=self.flush_interval_s, promise_s=self._promise_s)

    async def _reach(self, cut: Cut) -> None:
        """Wait until the archive has come to the cut: as long as it moves, or its archiver is at work.

        Once that was in vain nobody waits again before it has moved.
        """
        if not cut.epoch:
            return
        goal = Position(epoch=cut.epoch, lsn=max(cut.lsn_lower, cut.lsn_upper))
        if (known := self._manifest.last) is not None and known.entry.end >= goal:
            return
        limit_s = self._clock.now_s() + REACH_LIMIT_S
        while (last := await self._seen()) is not None and last.end < goal:
            if self._clock.now_s() > limit_s:
                self._in_vain_s = self._clock.now_s()
            if not self._may_move():
                return
            await self._clock.sleep(POLL_S)

    def _may_move(self) -> bool:
        """Whether the archive is expected to go on."""
        moved_s = self._trail.moved_s
        if self._in_vain_s is not None and (moved_s is None or moved_s <= self._in_vain_s):
            return False
        recently = moved_s is not None and self._clock.now_s() - moved_s <= 3 * self.flush_interval_s
        return recently or self._lives()

    async def _reach_now(self) -> None:
        """Wait until the archive holds what was committed by now: rows that went on to others, too.

        Two entries more do: each ends with what was read when it was written.
        """
        first = await self._seen()
        goal = first.seq + 2 if first else 0
        limit_s = self._clock.now_s() + REACH_LIMIT_S
        while (last := await self._seen()) is not None and last.seq < goal:
            if self._clock.now_s() > limit_s:
                self._in_vain_s = self._clock.now_s()
            if not self._may_move():
                return
            await self._clock.sleep(POLL_S)


def _need(link: Link, schemas: Iterable[SchemaRef]) -> Need:
    entry = link.entry
    objects = [(link.stored.key, link.stored.version)]
    if entry.segment is not None:
        objects.append((entry.segment.key, entry.segment.version))
    objects += [(schema.key, schema.version) for schema in schemas]
    return Need(epoch=entry.end.epoch, lsn=entry.end.lsn, objects=tuple(objects))


def _together(swapped: Swapped, earlier: Swapped) -> Swapped:
    """Return what both tries did, each row once."""
    rows = (*earlier.set_aside, *swapped.set_aside)
    aside = {(table, tuple(row.items())): (table, row) for table, row in rows}
    return Swapped(
        rows=swapped.rows,
        set_aside=tuple(aside.values()),
        shared_added={**earlier.shared_added, **swapped.shared_added},
        short=swapped.short,
    )


def _result(swapped: Swapped, refused: dict[str, str]) -> RestoreResult:
    """Say what was done, and which objects in the bucket were passed over on the way."""
    passed_over = [f"{key} was passed over: {objection}" for key, objection in refused.items()]
    return RestoreResult(
        result="restored",
        detail="; ".join(filter(None, (swapped.short, *passed_over))),
        rows=swapped.rows,
        set_aside=tuple(SetAside(table=table, row=to_row(row)) for table, row in swapped.set_aside),
        shared_added=swapped.shared_added,
    )
