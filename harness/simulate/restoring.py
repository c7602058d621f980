"""The restorer as a process of its own, that can be killed and stopped in its tracks.

Restores run one after the other. One that is killed midway loses all that it knew; what it had open in the
database is undone there, unless its COMMIT was written already. Once there is a process again, whoever
asked for the restore asks again, as an operator would.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from harness.model.history import Cut, Need, Place, SetAside
from harness.model.values import to_row
from harness.simulate.life import Life
from harness.simulate.target import SimulatedTarget
from harness.subject.port import RestoreResult, Subject, Watermark


class RestorerProcess:
    """A subject whose restores run in a process (``subject.port.Subject``); ``life`` is that process's.

    ``begin``: makes what a new process knows; the first one answers all other questions, too, whatever
    becomes of the process. ``targets``: what it restores into.
    """

    def __init__(
        self, begin: Callable[[], Subject], life: Life, targets: Sequence[SimulatedTarget]
    ) -> None:
        self._begin = begin
        self._subject = self._restorer = begin()
        self._life = life
        self._targets = targets
        self._there = asyncio.Event()
        self._there.set()
        self._work: asyncio.Task[RestoreResult] | None = None
        self.name = self._subject.name
        self.flush_interval_s = self._subject.flush_interval_s

    @property
    def at_work(self) -> bool:
        """Whether a restore is under way."""
        return self._work is not None

    async def kill(self) -> None:
        """End the process as SIGKILL does."""
        self._there.clear()
        self._life.end()
        if self._work is not None:
            self._work.cancel()
            await asyncio.wait([self._work])

    def start(self) -> None:
        """Have a new process in the place of one that was killed; it knows nothing yet."""
        if not self._there.is_set():
            self._restorer = self._begin()
            self._life.begin()
            self._there.set()

    def pause(self, *, paused: bool) -> None:
        """Stop the process in its tracks, or let it go on."""
        self._life.pause() if paused else self._life.resume()

    async def epoch(self, system_id: str, timeline: int) -> int:
        """Return the archive's ordinal for this cluster and timeline."""
        return await self._subject.epoch(system_id, timeline)

    async def watermark(self) -> Watermark | None:
        """Return the last durable watermark."""
        return await self._subject.watermark()

    async def needs(self) -> tuple[Need, ...]:
        """Name what restores need."""
        return await self._subject.needs()

    async def restore(self, tenant: str, cut: Cut, place: Place) -> RestoreResult:
        """Restore one tenant, and do it again after each kill."""
        while True:
            await self._there.wait()
            self._work = asyncio.get_running_loop().create_task(self._restorer.restore(tenant, cut, place))
            try:
                return self._with_unsaid(await self._work)
            except asyncio.CancelledError:
                asker = asyncio.current_task()
                if self._there.is_set() or (asker is not None and asker.cancelling()):
                    raise
            finally:
                self._work = None

    def _with_unsaid(self, result: RestoreResult) -> RestoreResult:
        """Return the result with what a killed process had set aside, as the database's table has it."""
        unsaid = [
            SetAside(table=table, row=to_row(row))
            for target in self._targets
            for swapped in target.take_unsaid()
            for table, row in swapped.set_aside
        ]
        return msgspec.structs.replace(result, set_aside=(*unsaid, *result.set_aside))
