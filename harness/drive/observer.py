"""What the harness sees by itself in a drill: objects in the bucket, watermarks, and its own stalls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from harness.drive.crew import Crew
from harness.drive.drill import Drill
from harness.drive.limits import POLL_S
from harness.drive.ports import BucketAway, ObjectVersion
from harness.model.errors import SubjectFailed
from harness.model.history import LocksSeen, Need, NeedsNamed, ObjectSeen, Stalled, WatermarkSeen
from harness.model.position import Position
from harness.subject.port import Watermark

LISTING_INTERVAL_S: Final = 0.1
WATERMARK_INTERVAL_S: Final = 0.5
STALL_INTERVAL_S: Final = 0.1
STALL_S_MIN: Final = 0.25


class Listed:
    """Object versions that were listed, over all drills of one campaign: each is new only once."""

    def __init__(self) -> None:
        self.versions: set[tuple[str, str]] = set()


class Observer:
    """The watching tasks of one drill, and the last things they saw.

    ``start``: where the archive ended before this drill, None while it was empty.
    """

    def __init__(self, drill: Drill, listed: Listed) -> None:
        self._drill = drill
        self._listed = listed
        self._earlier: frozenset[tuple[str, str]] = frozenset()
        self.start: Position | None = None
        self._asking = asyncio.Lock()
        self._listing = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._failure = ""
        self._needed: set[tuple[str, str]] = set()
        self.last: Watermark | None = None

    async def begin(self, crew: Crew) -> None:
        """Note what the archive held before this drill, then watch it."""
        self._earlier = frozenset(self._listed.versions)
        await self._list()
        seen = await self.watermark()
        self.start = seen.position if seen else None
        self._tasks = [
            crew.go(self._every(LISTING_INTERVAL_S, self._list), "listing"),
            crew.go(self._every(WATERMARK_INTERVAL_S, self._watch), "watermarks"),
            crew.go(self._feel_stalls(), "stalls"),
        ]

    async def end(self) -> None:
        """Stop watching, between two looks, and tell the last counts.

        What a listing broken off in its midst saw would never be seen again.
        """
        async with self._listing, self._asking:
            for task in self._tasks:
                task.cancel()
        self._tell()

    async def watermark(self) -> Watermark | None:
        """Ask the subject for its watermark and journal it; one asks at a time."""
        async with self._asking:
            try:
                seen = await self._drill.world.subject.watermark()
            except SubjectFailed as failed:
                self._note_once(f"the subject told no watermark: {failed}")
                return None
            if seen is not None:
                self._journal(seen)
                self.last = seen
            return seen

    async def reach(self, goal: Position, limit_s: float) -> bool:
        """Wait until the watermark is at ``goal``; False when it stopped short of it, which is noted."""
        clock = self._drill.clock
        began_s = clock.now_s()
        while (seen := await self.watermark()) is None or seen.position < goal:
            if clock.now_s() - began_s > limit_s or (seen is not None and seen.state == "stopped"):
                self._drill.note(f"the watermark did not come to {goal}; last seen: {seen}")
                return False
            await clock.sleep(POLL_S)
        return True

    async def silent(self) -> bool:
        """Whether the subject says that it stopped, or fails to say anything."""
        seen = await self.watermark()
        return seen is None or seen.state == "stopped"

    async def name_needs(self) -> None:
        """Let the subject name what restores need, as far as it is of this drill.

        Objects that had been listed before the drill began are entered as seen at its very start; a last
        listing sees the newest ones.
        """
        try:
            needs = await self._drill.world.subject.needs()
        except SubjectFailed as failed:
            self._drill.note(f"the subject did not name what restores need: {failed}")
            return
        await self._list()
        mine = tuple(need for need in needs if self.start is None or _position(need) > self.start)
        named = self._needed = {version for need in mine for version in need.objects}
        for key, version in sorted(named & self._earlier):
            self._drill.journal.write(ObjectSeen(at_s=0.0, key=key, version=version))
        self._drill.journal.write(NeedsNamed(at_s=self._drill.journal.now_s(), needs=mine))

    async def look_at_locks(self) -> None:
        """Journal how the object versions are locked that the subject named last."""
        versions = [ObjectVersion(key=key, version=version) for key, version in sorted(self._needed)]
        locks = await self._drill.world.bucket.locks(versions)
        self._drill.journal.write(LocksSeen(at_s=self._drill.journal.now_s(), locks=tuple(locks)))

    def _journal(self, seen: Watermark) -> None:
        position = seen.position
        self._drill.journal.write(
            WatermarkSeen(
                at_s=self._drill.journal.now_s(),
                epoch=position.epoch,
                lsn=position.lsn,
                exposure_s=seen.exposure_s,
                state=seen.state,
            )
        )
        if position.epoch == self._drill.epoch:
            self._drill.tally.archived(position.lsn)

    async def _list(self) -> None:
        async with self._listing:
            try:
                new = await self._drill.world.bucket.new_versions()
            except BucketAway as away:
                self._note_once(f"the bucket could not be listed: {away}")
                return
            for one in new:
                self._listed.versions.add((one.key, one.version))
                at_s = self._drill.journal.now_s()
                self._drill.journal.write(ObjectSeen(at_s=at_s, key=one.key, version=one.version))

    async def _watch(self) -> None:
        await self.watermark()
        self._tell()

    def _tell(self) -> None:
        self._drill.progress.counts(self._drill.tally.counts(self._drill.journal.now_s()))

    async def _every(self, interval_s: float, look: Callable[[], Awaitable[None]]) -> None:
        """Look every ``interval_s``, counted from one look's beginning to the next one's."""
        clock = self._drill.clock
        while True:
            began_s = clock.now_s()
            await look()
            await clock.sleep(began_s + interval_s - clock.now_s())

    async def _feel_stalls(self) -> None:
        """Sleep, and note when waking up was late: then the machine, or this very process, stood still."""
        clock = self._drill.clock
        while True:
            due_s = clock.now_s() + STALL_INTERVAL_S
            await clock.sleep(STALL_INTERVAL_S)
            late_s = clock.now_s() - due_s
            if late_s > STALL_S_MIN:
                self._drill.journal.write(Stalled(at_s=self._drill.journal.now_s(), late_s=late_s))

    def _note_once(self, text: str) -> None:
        if text != self._failure:
            self._failure = text
            self._drill.note(text)


def _position(need: Need) -> Position:
    return Position(epoch=need.epoch, lsn=need.lsn)
