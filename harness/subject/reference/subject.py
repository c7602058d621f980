"""The reference backup system as a subject: answers the harness's port with archive and restorer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from harness.model.errors import RestoreRefused, SubjectFailed
from harness.model.history import Cut, Need, Place, SetAside
from harness.model.position import Position
from harness.model.values import to_row
from harness.subject.port import RestoreResult, Watermark
from harness.subject.reference.fencing import is_takeover
from harness.subject.reference.format import ManifestEntry
from harness.subject.reference.health import PROMISE_S, State, state_of
from harness.subject.reference.manifest import Link, Manifest
from harness.subject.reference.ports import Clock, ObjectStore, Swapped, Target
from harness.subject.reference.restorer import Restorer
from harness.subject.reference.signing import TRUSTS_ALL, Trust

RESTORE_LIMIT_S = 60.0
REACH_LIMIT_S = 10.0
POLL_S = 0.05


class ReferenceSubject:
    """Watches an archive (``store``) and restores from it into ``targets``.

    ``store`` is for watching only; the restorer has its own, so that what restores read can be counted.
    ``stopped`` says why the archiver stopped, None while it runs or is just not there.
    """

    name = "reference"

    def __init__(
        self,
        *,
        store: ObjectStore,
        restorer: Restorer,
        targets: dict[Place, Target],
        clock: Clock,
        flush_interval_s: float = 1.0,
        stopped: Callable[[], str | None] = lambda: None,
        trust: Trust = TRUSTS_ALL,
    ) -> None:
        self.flush_interval_s = flush_interval_s
        self._manifest = Manifest(store, trust)
        self._restorer = restorer
        self._targets = targets
        self._clock = clock
        self._stopped = stopped
        self._looked = False
        self._moved_s: float | None = None

    async def epoch(self, system_id: str, timeline: int) -> int:
        """Return the archive's ordinal for this cluster and timeline, 0 while it knows none."""
        last = await self._last()
        for epoch in last.epochs if last else ():
            if (epoch.system_id, epoch.timeline) == (system_id, timeline):
                return epoch.ordinal
        return 0

    async def watermark(self) -> Watermark | None:
        """Return the last durable watermark; its exposure is an upper bound on the loader's clock."""
        last = await self._last()
        if last is None:
            return None
        exposure_s = self._exposure_s()
        return Watermark(position=last.end, exposure_s=exposure_s, state=self._state(exposure_s))

    async def needs(self) -> tuple[Need, ...]:
        """Name what restores need: each manifest entry, its segment, and schemas when they change."""
        await self._manifest.catch_up()
        needs, schema = [], ""
        for link in self._manifest.links:
            needs.append(_need(link, with_schema=link.entry.db_schema.key != schema))
            schema = link.entry.db_schema.key
        return tuple(needs)

    async def restore(self, tenant: str, cut: Cut, place: Place) -> RestoreResult:
        """Restore one tenant; every failure of the subject becomes a result."""
        try:
            async with asyncio.timeout(RESTORE_LIMIT_S):
                await self._reach(cut)
                swapped = await self._restorer.restore(
                    tenant, cut, self._targets[place], in_place=place == "live"
                )
        except RestoreRefused as refused:
            return RestoreResult(result="refused", detail=str(refused))
        except SubjectFailed as failed:
            return RestoreResult(result="failed", detail=str(failed))
        except TimeoutError:
            return RestoreResult(result="failed", detail=f"not done within {RESTORE_LIMIT_S:.0f} s")
        return _result(swapped, self._restorer.manifest.refused)

    async def _last(self) -> ManifestEntry | None:
        added = await self._manifest.catch_up()
        if self._looked and not all(is_takeover(link.entry) for link in added):
            self._moved_s = self._clock.now_s()
        self._looked = True  # what the first look finds may be old: it says nothing of exposure
        last = self._manifest.last
        return last.entry if last else None

    def _exposure_s(self) -> float | None:
        """Return an upper bound of what would be lost now: heartbeats prove the age of the watermark."""
        if self._moved_s is None:
            return None
        return self._clock.now_s() - self._moved_s + 2 * self.flush_interval_s

    def _state(self, exposure_s: float | None) -> State:
        if self._stopped() is not None:
            return "stopped"
        if exposure_s is None:
            return "ok"
        return state_of(exposure_s, interval_s=self.flush_interval_s, promise_s=PROMISE_S)

    async def _reach(self, cut: Cut) -> None:
        """Wait until the archive has come to the cut, as long as it is seen to move."""
        if not cut.epoch:
            return
        goal = Position(epoch=cut.epoch, lsn=max(cut.lsn_lower, cut.lsn_upper))
        limit_s = self._clock.now_s() + REACH_LIMIT_S
        while (last := await self._last()) is not None and last.end < goal:
            idle = self._moved_s is None or self._idle()
            if idle or self._clock.now_s() > limit_s:
                return
            await self._clock.sleep(POLL_S)

    def _idle(self) -> bool:
        moved_s = self._moved_s
        return moved_s is not None and self._clock.now_s() - moved_s > 3 * self.flush_interval_s


def _need(link: Link, *, with_schema: bool) -> Need:
    entry = link.entry
    objects = [(link.stored.key, link.stored.version)]
    if entry.segment is not None:
        objects.append((entry.segment.key, entry.segment.version))
    if with_schema:
        objects.append((entry.db_schema.key, entry.db_schema.version))
    return Need(epoch=entry.end.epoch, lsn=entry.end.lsn, objects=tuple(objects))


def _result(swapped: Swapped, refused: dict[str, str]) -> RestoreResult:
    """Say what was done, and which objects in the bucket were passed over on the way."""
    return RestoreResult(
        result="restored",
        detail="; ".join(f"{key} was passed over: {objection}" for key, objection in refused.items()),
        rows=swapped.rows,
        set_aside=tuple(SetAside(table=table, row=to_row(row)) for table, row in swapped.set_aside),
        shared_added=swapped.shared_added,
    )
