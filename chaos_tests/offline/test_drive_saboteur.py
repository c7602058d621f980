"""A script is performed as planned, tried again where refused, and over when its database is gone."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from fixtures.handmade import QUIET, TENANTS, shop_plan
from harness import schemas
from harness.drive.drill import Drill
from harness.drive.journal import MemoryJournal
from harness.drive.ports import Ack, Cluster, ConnectionLost, Ready, Refused
from harness.drive.progress import Silent
from harness.drive.saboteur import TRIES, Saboteur
from harness.model.history import Change, Done, Note, Sent, Sight
from harness.model.plan import Plan, ScriptTransaction
from harness.simulate.database import SimulatedDatabase
from harness.simulate.latency import Latency
from harness.simulate.loop import run
from harness.simulate.sessions import Address
from harness.simulate.world import build

SHOP = schemas.load("shop").schema


class PlayedOperator:
    """An operator's session whose ``run`` fails as told, call by call; None is a success."""

    def __init__(self, *failures: Exception | None, ack: Ack | None = None) -> None:
        self.failures = list(failures)
        self.ack = ack or Ack(outcome="acked", lsn_upper=200)
        self.calls: list[str] = []

    async def begin(self) -> None:
        self.calls.append("begin")

    async def run(self, transaction: ScriptTransaction) -> None:
        self.calls.append(transaction.name)
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure

    async def look(self, tenants: Sequence[str]) -> tuple[Sight, tuple[Change, ...]]:
        return Sight(left={t: {} for t in tenants}, deleted={}, updated={}), ()

    async def ready(self) -> Ready:
        return Ready(xid=9, lsn_lower=100)

    async def commit(self) -> Ack:
        self.calls.append("commit")
        return self.ack

    async def break_off(self) -> None:
        self.calls.append("break off")

    async def reset(self) -> None:
        self.calls.append("reset")
        if self.ack.outcome == "unknown":
            raise ConnectionLost("nobody answers")

    async def close(self) -> None:
        self.calls.append("close")


class OneOperator(SimulatedDatabase):
    """A database with one session for scripts."""

    def __init__(self, played: PlayedOperator) -> None:
        address = Address(Latency(1))
        super().__init__(SHOP, address, address)
        self.played = played

    async def operator(self) -> PlayedOperator:  # type: ignore[override]  # what tests play fits the port
        return self.played

    async def cluster(self) -> Cluster:
        return Cluster(system_id="1", timeline=1)


def perform(played: PlayedOperator, plan: Plan | None = None) -> tuple[Saboteur, MemoryJournal, list[str]]:
    """Perform a script on a played session; return saboteur, journal, and when damage was told."""
    plan = plan or shop_plan(lost=(QUIET, TENANTS[0]))
    told: list[str] = []

    async def main() -> tuple[Saboteur, MemoryJournal]:
        world = msgspec.structs.replace(build(plan, SHOP), database=OneOperator(played))
        journal = MemoryJournal(world.clock)
        drill = Drill(plan, SHOP, world, journal, Silent())
        for tenant in plan.tenants:
            drill.bindings[tenant.tenant].now_are({"shop.merchant": {(tenant.tenant,): {}}})
        saboteur = Saboteur(drill, plan.scripts[0], lambda: told.append(played.calls[-1]))
        await saboteur.perform()
        return saboteur, journal

    saboteur, journal = run(main())
    return saboteur, journal, told


def outcomes(journal: MemoryJournal) -> list[str]:
    """Return the outcomes journalled, in order."""
    return [entry.outcome for entry in journal.entries if isinstance(entry, Done)]


def test_damage_is_told_before_its_commit_is_sent() -> None:
    """Whoever destroys at once hears of the damage while COMMIT is not yet on its way."""
    _, journal, told = perform(PlayedOperator())
    assert told == ["first.0", "first.1"]
    assert [type(entry) for entry in journal.entries] == [Sent, Done, Sent, Done]


def test_what_a_failover_undid_after_the_script_damaged_nobody() -> None:
    """Its outcome was open when the script was over; only who asks for restores hears of it."""
    saboteur, journal, _ = perform(PlayedOperator(ack=Ack(outcome="unknown")))
    names = [entry.name for entry in journal.entries if isinstance(entry, Done)]

    async def learn() -> bool:
        saboteur.learn()
        return bool(saboteur.damage.damaged)

    assert run(learn())
    saboteur._drill.successor.serves(dict.fromkeys(names, "refused"))
    assert not run(learn())


def test_a_refused_try_is_tried_again() -> None:
    """Nothing of the refused try is journalled but a note, and the next one counts."""
    saboteur, journal, _ = perform(PlayedOperator(Refused("deadlock"), Refused("deadlock")))
    assert outcomes(journal) == ["acked", "acked"]
    assert sum(isinstance(entry, Note) for entry in journal.entries) == 2
    assert set(saboteur.damage.damaged) == {QUIET, TENANTS[0]}


def test_a_transaction_that_is_always_refused_is_given_up() -> None:
    """After the last try it is refused for good, and the script goes on with the next one."""
    saboteur, journal, _ = perform(PlayedOperator(*[Refused("deadlock")] * TRIES))
    assert outcomes(journal) == ["refused", "acked"]
    assert set(saboteur.damage.damaged) == {TENANTS[0]}


def test_a_killed_transaction_sends_no_commit() -> None:
    """The session is broken off after the statements; nobody is damaged by that."""
    plan = shop_plan(lost=(QUIET,))
    script = plan.scripts[0]
    killed = msgspec.structs.replace(script.transactions[0], killed=True)
    plan = msgspec.structs.replace(plan, scripts=(msgspec.structs.replace(script, transactions=(killed,)),))
    played = PlayedOperator()
    saboteur, journal, told = perform(played, plan)
    assert outcomes(journal) == ["refused"]
    assert played.calls == ["begin", "first.0", "break off", "reset", "close"]
    assert (told, saboteur.damage.damaged) == ([], {})


def test_a_script_ends_with_its_database() -> None:
    """After a COMMIT without an answer on a database that is gone, no further transaction is tried."""
    saboteur, journal, told = perform(PlayedOperator(ack=Ack(outcome="unknown", detail="gone")))
    assert outcomes(journal) == ["unknown"]
    assert told == ["first.0"]
    assert set(saboteur.damage.damaged) == {QUIET}
    assert any("nobody answers" in e.text for e in journal.entries if isinstance(e, Note))
