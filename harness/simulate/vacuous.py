"""Harnesses that see too little of a drill, and what must be said of it: nothing is proven.

Like those in ``pretending``: what is wrong is the harness's own hold on the world, its journal among it.
Their table is at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from harness.drive.journal import MemoryJournal
from harness.drive.ports import Clock, Refused
from harness.model import history
from harness.model.plan import Plan, SwitchOver
from harness.simulate.defect import Defect
from harness.simulate.loop import VirtualClock
from harness.simulate.pretending import WritersApart, WritersBeginLate
from harness.simulate.sessions import Address, SimulatedSession
from harness.simulate.world import Parts, SimulatedMachinery

HELD_MAX: Final = 40
AWAKE_S: Final = 1.5
LATE_S: Final = 1.0


class HoldsEntriesBack(MemoryJournal):
    """Near miss: writes its entries in bundles, the last one when the drill has ended."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._held: list[history.AnyEntry] = []

    def write(self, entry: history.AnyEntry) -> None:
        """Keep one entry back, until there are many."""
        self._held.append(entry)
        if len(self._held) >= HELD_MAX or isinstance(entry, history.Ended):
            self.entries += self._held
            self._held.clear()


class BreaksOff(MemoryJournal):
    """Has no room left for its last entries, and does not say so (FM-110)."""

    _full = False

    def write(self, entry: history.AnyEntry) -> None:
        """Add one entry, none any more once all is to be read for the last time."""
        self._full = self._full or (isinstance(entry, history.PhaseBegan) and entry.phase == "end")
        if not self._full:
            super().write(entry)


class ForgetsAReading(MemoryJournal):
    """Does not write down what was read of the first tenant that came back (FM-110)."""

    def write(self, entry: history.AnyEntry) -> None:
        """Add one entry, but for that one."""
        if not (isinstance(entry, history.ReadBack) and entry.restore == 1):
            super().write(entry)


class ForgetsTheFirstBlow(MemoryJournal):
    """Does not write down the script's first COMMIT: restores are asked for that nothing explains."""

    _first: str | None = None

    def write(self, entry: history.AnyEntry) -> None:
        """Add one entry, but for those of that transaction."""
        if isinstance(entry, history.Sent) and entry.actor == "script" and self._first is None:
            self._first = entry.name
        if isinstance(entry, history.Sent | history.Done) and entry.name == self._first:
            return
        super().write(entry)


class Tiring(SimulatedSession):
    """A session of a writer that writes no more from ``until_s`` on, by the virtual clock."""

    def __init__(self, address: Address, until_s: float) -> None:
        super().__init__(address)
        self._until_s = until_s

    async def begin(self, *, serializable: bool = False) -> None:
        """Begin, or refuse to."""
        if VirtualClock().now_s() >= self._until_s:
            raise Refused("this writer writes nothing any more")
        await super().begin(serializable=serializable)


class WritersTire(WritersApart):
    """Has writers that write for some seconds, and no more when the incident comes (FM-110)."""

    _until_s: float | None = None

    def for_writer(self) -> SimulatedSession:
        """Return a session that tires, all of them at the same time."""
        self._until_s = self._until_s or VirtualClock().now_s() + AWAKE_S
        return Tiring(self._clients, self._until_s)


class Listening(SimulatedSession):
    """A session of a writer that writes no more once tenants are being restored."""

    def __init__(self, address: Address, restoring: Callable[[], bool]) -> None:
        super().__init__(address)
        self._restoring = restoring

    async def begin(self, *, serializable: bool = False) -> None:
        """Begin, or refuse to."""
        if self._restoring():
            raise Refused("this writer waits for the restores to end")
        await super().begin(serializable=serializable)


class WritersStepAside(WritersApart):
    """Has all writers stop for the restores, neighbours too: nobody is there to be disturbed (FM-110)."""

    _restoring = False

    def for_writer(self) -> SimulatedSession:
        """Return a session that listens."""
        return Listening(self._clients, lambda: self._restoring)

    async def reset_scratch(self) -> None:
        """Make the scratch database new, as comes before restores."""
        await super().reset_scratch()
        self._restoring = True


class StaysWithTheOldPrimary(SimulatedMachinery):
    """Has the connector stay with the old primary after a switchover (FM-24)."""

    async def resume_capture(self) -> None:
        """Stop the connector, and take it for started."""
        await self.stop_connector()


class FollowsLate(SimulatedMachinery):
    """Near miss: has the connector follow a second later than it could."""

    async def resume_capture(self) -> None:
        """Wait, then go on."""
        await VirtualClock().sleep(LATE_S)
        await super().resume_capture()


def switched_over(plan: Plan) -> Plan:
    """Return the plan with one exchange of primary and standby, and nothing else that disturbs.

    Its floor is lower: some of what writers were to write in time comes late.
    """
    return msgspec.structs.replace(
        plan,
        switchovers=(SwitchOver(after_s=0.5),),
        survivors="all",
        destroy_after_s=0.0,
        faults=(),
        attacks=(),
        watermark_checks=(),
        floors=msgspec.structs.replace(plan.floors, rows_per_s=plan.floors.rows_per_s / 2),
    )


DEFECTS: tuple[Defect, ...] = (
    Defect(
        name="the journal breaks off",
        failure_mode="FM-110",
        where="harness",
        words="the disk is full before the drill's end, and what was written until then is judged",
        caught_by=("ended",),
        says="unknown",
        profile="simulated",
        parts=lambda: Parts(journal=BreaksOff),
        near_miss=lambda: Parts(journal=HoldsEntriesBack),
    ),
    Defect(
        name="a restored tenant is not read",
        failure_mode="FM-110",
        where="harness",
        words="of one tenant that came back nobody notes what was read",
        caught_by=("census",),
        says="unknown",
        profile="simulated",
        parts=lambda: Parts(journal=ForgetsAReading),
        near_miss=lambda: Parts(journal=HoldsEntriesBack),
    ),
    Defect(
        name="the first blow is not written down",
        failure_mode="FM-110",
        where="harness",
        words="the script's first COMMIT is in no journal: tenants are restored to before what nobody saw",
        caught_by=("cuts",),
        says="unknown",
        profile="simulated",
        parts=lambda: Parts(journal=ForgetsTheFirstBlow),
        near_miss=lambda: Parts(journal=HoldsEntriesBack),
    ),
    Defect(
        name="writers tire before the script",
        failure_mode="FM-110",
        where="harness",
        words="writers write for a few seconds only: no budget is put to the test",
        caught_by=("provable",),
        says="unknown",
        profile="simulated",
        parts=lambda: Parts(database=WritersTire),
        near_miss=lambda: Parts(database=WritersBeginLate),
    ),
    Defect(
        name="writers step aside for restores",
        failure_mode="FM-110",
        where="harness",
        words="all writers stop while tenants are restored: no restore can be seen to disturb anybody",
        caught_by=("writers",),
        says="unknown",
        profile="simulated",
        parts=lambda: Parts(database=WritersStepAside),
        near_miss=lambda: Parts(database=WritersBeginLate),
    ),
    Defect(
        name="stays with the old primary",
        failure_mode="FM-24",
        where="capture",
        words="after a switchover the connector stays with the server that was primary before",
        caught_by=("switchovers",),
        says="unknown",
        profile="simulated",
        parts=lambda: Parts(machinery=StaysWithTheOldPrimary),
        near_miss=lambda: Parts(machinery=FollowsLate),
        changed=switched_over,
        hint="one switchover",
    ),
)
