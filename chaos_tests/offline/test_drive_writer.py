"""Writers keep their pace, stop between transactions, and come back after a lost connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import pytest

from fixtures.handmade import shop_plan
from harness import schemas
from harness.drive.bindings import Bindings
from harness.drive.crew import Crew
from harness.drive.journal import MemoryJournal
from harness.drive.performer import Performer, Where
from harness.drive.ports import Ack, Conflicted, NotRead, Ready, Rows
from harness.drive.tally import Tally
from harness.drive.writer import CONFLICTS_MAX, Gate, Writer
from harness.model.errors import HarnessFailed, TimedOut
from harness.model.history import Done, Place
from harness.model.operations import Insert, Transaction
from harness.simulate.database import SimulatedDatabase
from harness.simulate.latency import Latency
from harness.simulate.loop import run
from harness.simulate.server import Server
from harness.simulate.sessions import Address, SimulatedSession

SHOP = schemas.load("shop").schema
PAUSE_S = 1.0


class Desk:
    """One writer of five merchants, a second apart, on a simulated database."""

    conflicts = 0

    def __init__(
        self, *, held_from: int | None = None, lost_s_max: float = 60.0, serializable: bool = False
    ) -> None:
        self.serializable = serializable
        self.latency = Latency(1)
        self.clock = self.latency.clock
        self.address = Address(self.latency)
        self.server()
        self.journal = MemoryJournal(self.clock)
        self.database = SimulatedDatabase(SHOP, self.address, Address(self.latency))
        where = Where(SHOP, self.journal, Tally(shop_plan()), self.clock)
        self.gate = Gate()
        self.writer = Writer(
            "writer",
            [self._transaction(n) for n in range(5)],
            Performer(where, "writer", "acme", Bindings()),
            self.gate,
            held_from=held_from,
            lost_s_max=lost_s_max,
        )

    def server(self) -> Server:
        """Start a new server with the schema at the clients' address."""
        self.address.server = server = Server("1")
        server.build(SHOP)
        return server

    def _transaction(self, number: int) -> Transaction:
        values = {"code": f"m{number}", "title": "M"}
        made = Insert(table="shop.merchant", handle=f"m{number}", values={**values})
        return Transaction(
            name=f"t{number}", operations=(made,), pause_s=PAUSE_S, serializable=self.serializable
        )

    async def run(self) -> None:
        """Let the writer write."""
        await self.writer.run(self.database, self.clock)

    @property
    def begun_s(self) -> list[float]:
        """When each transaction began, rounded to tenths."""
        done = [e for e in self.journal.entries if isinstance(e, Done)]
        return [round(e.begun_s or 0.0, 1) for e in done]


def at_desk(test: Callable[[Desk], Awaitable[None]], desk: Callable[[], Desk] = Desk) -> None:
    """Run a coroutine with a desk of its own in virtual time."""

    async def main() -> None:
        await test(desk())

    run(main())


def test_each_transaction_is_due_after_the_one_before_began() -> None:
    """The pace does not depend on how long transactions take."""

    async def test(desk: Desk) -> None:
        desk.gate.open()
        await desk.run()
        assert desk.begun_s == [1.0, 2.0, 3.0, 4.0, 5.0]

    at_desk(test)


def test_a_closed_gate_holds_the_next_transaction() -> None:
    """Nothing begins behind a closed gate, and writing goes on where it was."""

    async def test(desk: Desk) -> None:
        desk.gate.open()
        async with Crew() as crew:
            task = crew.go(desk.run(), "writer")
            await desk.clock.sleep(2.5)
            desk.gate.close()
            await desk.gate.idle()
            await desk.clock.sleep(10.0)
            assert desk.begun_s == [1.0, 2.0]
            desk.gate.open()
            await task
        assert desk.begun_s == [1.0, 2.0, 12.5, 13.5, 14.5]

    at_desk(test)


def test_a_gate_is_idle_only_when_the_running_transaction_is_over() -> None:
    """Who closes a gate can wait for the end of what had begun."""

    async def test(desk: Desk) -> None:
        desk.gate.open()
        async with Crew() as crew:
            crew.go(desk.run(), "writer")
            await desk.clock.sleep(1.0001)
            desk.gate.close()
            assert desk.begun_s == []
            await desk.gate.idle()
            assert desk.begun_s == [1.0]

    at_desk(test)


def test_a_quiet_writer_waits_to_be_let_go() -> None:
    """What a quiet tenant writes after its one write waits for the incident."""

    async def test(desk: Desk) -> None:
        desk.gate.open()
        async with Crew() as crew:
            crew.go(desk.run(), "writer")
            await desk.clock.sleep(30.0)
            assert desk.begun_s == [1.0]
            desk.writer.let_go()
            await desk.clock.sleep(0.5)
            assert desk.begun_s == [1.0, 30.0]

    at_desk(test, lambda: Desk(held_from=1))


def test_a_writer_reconnects_and_goes_on() -> None:
    """The transaction that met the loss is refused, and runs again on the new server, then the next one."""

    async def test(desk: Desk) -> None:
        desk.gate.open()
        async with Crew() as crew:
            task = crew.go(desk.run(), "writer")
            await desk.clock.sleep(2.5)
            assert desk.address.server is not None
            desk.address.server.die()
            await desk.clock.sleep(3.0)
            desk.server()
            await task
        outcomes = [e.outcome for e in desk.journal.entries if isinstance(e, Done)]
        assert outcomes == ["acked", "acked", "refused", "acked", "acked", "acked"]

    at_desk(test)


@pytest.mark.parametrize(("serializable", "conflicts"), [(True, 2), (True, CONFLICTS_MAX), (False, 1)])
def test_what_conflicted_is_tried_again_if_it_is_serializable(serializable: bool, conflicts: int) -> None:
    """Each try has its own id and its own outcome, under one name; there is an end to it."""

    class Conflicting(SimulatedSession):
        async def ready(self) -> Ready:
            ready = await super().ready()
            if desk.conflicts:
                desk.conflicts -= 1
                raise Conflicted("could not serialize access")
            return ready

    class Meeting(SimulatedDatabase):
        async def session(self, name: str) -> SimulatedSession:
            await super().session(name)
            return Conflicting(desk.address)

    desk = Desk(serializable=serializable)
    desk.conflicts = conflicts
    desk.database = Meeting(SHOP, desk.address, Address(desk.latency))

    async def test(desk: Desk) -> None:
        desk.gate.open()
        await desk.run()
        done = [e for e in desk.journal.entries if isinstance(e, Done)]
        got_through = serializable and conflicts < CONFLICTS_MAX
        last = ["acked"] if got_through else []
        first = [e.outcome for e in done if e.name == "t0"]
        assert first == ["refused"] * conflicts + last
        assert [e.outcome for e in done if e.name != "t0"] == ["acked"] * 4
        begun_s = [e.begun_s or 0.0 for e in done if e.name == "t0"]
        assert sorted(set(begun_s)) == begun_s

    at_desk(test, lambda: desk)


def test_a_database_that_does_not_come_back_is_an_error() -> None:
    """The error names the fact awaited and how long it was awaited."""

    async def test(desk: Desk) -> None:
        desk.gate.open()
        assert desk.address.server is not None
        desk.address.server.die()
        with pytest.raises(TimedOut, match="writer is connected again") as caught:
            await desk.run()
        assert 2.0 <= caught.value.spent_s < 5.0

    at_desk(test, lambda: Desk(lost_s_max=2.0))


def test_a_look_for_what_became_of_a_commit_is_made_again() -> None:
    """A script in whose way it stands has it ended: the writer comes back later, and no drill ends."""

    class Unanswered(SimulatedSession):
        async def commit(self) -> Ack:
            await super().commit()
            return Ack(outcome="unknown")

    class Refusing(SimulatedDatabase):
        looked = 0

        async def session(self, name: str) -> SimulatedSession:
            await super().session(name)
            return Unanswered(desk.address)

        async def read(self, tenants: Sequence[str], place: Place) -> dict[str, Rows]:
            self.looked += 1
            if self.looked % 2:
                raise NotRead("57014: canceling statement due to user request")
            return await super().read(tenants, place)

    desk = Desk()
    database = desk.database = Refusing(SHOP, desk.address, Address(desk.latency))

    async def test(desk: Desk) -> None:
        desk.gate.open()
        await desk.run()
        assert [e.outcome for e in desk.journal.entries if isinstance(e, Done)] == ["unknown"] * 5
        assert database.looked == 8  # two for each but the last

    at_desk(test, lambda: desk)


def test_a_member_of_the_crew_that_fails_ends_the_rest_with_its_error() -> None:
    """The body is cancelled, and what leaves is the member's error itself, not a group."""

    async def fail() -> None:
        raise HarnessFailed("the listing broke")

    async def test(desk: Desk) -> None:
        async def body() -> None:
            async with Crew() as crew:
                crew.go(fail(), "fails")
                await desk.clock.sleep(100.0)

        with pytest.raises(HarnessFailed, match="the listing broke"):
            await body()
        assert desk.clock.now_s() < 1.0

    at_desk(test)


def test_an_error_of_the_body_comes_before_those_of_clean_up() -> None:
    """What goes wrong while the crew is ended is only a note on the cause."""

    async def fail_late(desk: Desk) -> None:
        try:
            await desk.clock.sleep(100.0)
        finally:
            raise HarnessFailed("late")

    async def test(desk: Desk) -> None:
        async def body() -> None:
            async with Crew() as crew:
                crew.go(fail_late(desk), "late")
                await desk.clock.sleep(1.0)
                raise HarnessFailed("cause")

        with pytest.raises(HarnessFailed, match="cause") as caught:
            await body()
        assert "late" in "".join(caught.value.__notes__)

    at_desk(test)
