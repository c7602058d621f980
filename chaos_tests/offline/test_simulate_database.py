"""The simulated database keeps the promises that the drill and the archiver rely on, as Postgres does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from harness import schemas
from harness.drive.ports import Conflicted, ConnectionLost, Refused
from harness.model.plan import Effect, ScriptTransaction
from harness.model.schema import Schema
from harness.model.values import row_of
from harness.simulate.database import SimulatedDatabase
from harness.simulate.latency import Latency
from harness.simulate.loop import run
from harness.simulate.server import Server, Work, Written
from harness.simulate.sessions import Address, SimulatedSession

SHOP = schemas.load("shop").schema
HELPDESK = schemas.load("helpdesk").schema
MERCHANT, PURCHASE, LINE = SHOP.tables
NOON = "2024-02-29 12:00:00+00"


class Bench:
    """One database with its clients' address, inside a virtual loop."""

    def __init__(self, schema: Schema = SHOP) -> None:
        self.latency = Latency(1)
        self.live, self.scratch = Address(self.latency), Address(self.latency)
        self.server = self.live.server = Server("1")
        self.server.build(schema)
        self.database = SimulatedDatabase(schema, self.live, self.scratch)

    async def session(self) -> SimulatedSession:
        """Open a session with a transaction in it."""
        session = await self.database.session("test")
        await session.begin()
        return session

    async def shop(self, code: str, purchases: int = 2) -> None:
        """Commit a merchant with purchases of one line each."""
        session = await self.session()
        await session.insert(MERCHANT, {"code": code, "title": code})
        for number in range(purchases):
            values = purchase(code, number)
            await session.insert(PURCHASE, values)
            await session.insert(LINE, {"purchase": values["id"], "article": "tea", "pieces": "1"})
        assert (await session.commit()).outcome == "acked"

    async def counts(self, code: str) -> list[int]:
        """Return how many rows of each owned table a merchant has."""
        rows = (await self.database.read([code], "live"))[code]
        return [len(rows[table.name]) for table in SHOP.owned]


def purchase(code: str, number: int) -> dict[str, str | None]:
    """Return a purchase whose id follows from merchant and number."""
    return {"id": f"{code}-{number}", "merchant": code, "order": str(number), "placed_at": NOON}


def on_bench(test: Callable[[Bench], Awaitable[None]]) -> None:
    """Run a coroutine on a bench of its own."""

    async def main() -> None:
        await test(Bench())

    run(main())


def test_a_row_is_seen_by_others_only_once_committed() -> None:
    """A snapshot holds no row of a transaction that is open, nor one that was rolled back."""

    async def test(bench: Bench) -> None:
        session = await bench.session()
        await session.insert(MERCHANT, {"code": "a", "title": "A"})
        assert await bench.counts("a") == [0, 0, 0]
        await session.commit()
        assert await bench.counts("a") == [1, 0, 0]
        await session.begin()
        await session.update(MERCHANT, {"code": "a"}, {"title": "B"})
        rows = (await bench.database.read(["a"], "live"))["a"]
        assert rows[MERCHANT.name] == [{"code": "a", "title": "A", "since": None}]
        await session.rollback()
        assert bench.server.snapshot()[MERCHANT.name][("a",)]["title"] == "A"

    on_bench(test)


def test_a_committed_transaction_is_in_the_wal_in_commit_order() -> None:
    """Commit positions grow, and each transaction's WAL position lies between its two bounds."""

    async def test(bench: Bench) -> None:
        bounds = []
        for code in ("a", "b"):
            session = await bench.session()
            await session.insert(MERCHANT, {"code": code, "title": code})
            ready, ack = await session.ready(), await session.commit()
            assert ack.lsn_upper is not None
            bounds.append((ready.xid, ready.lsn_lower, ack.lsn_upper))
        for (xid, lower, upper), one in zip(bounds, bench.server.wal, strict=True):
            assert (one.xid, lower < one.lsn <= upper) == (xid, True)

    on_bench(test)


def test_a_writer_waits_for_the_row_another_one_changed() -> None:
    """The second update of a row begins from what the first one committed."""

    async def test(bench: Bench) -> None:
        await bench.shop("a")
        first, second = await bench.session(), await bench.session()
        await first.update(MERCHANT, {"code": "a"}, {"title": "one"})
        waiting = asyncio.create_task(second.update(MERCHANT, {"code": "a"}, {"since": "2024-01-01"}))
        await bench.latency.clock.sleep(1)
        assert not waiting.done()
        await first.commit()
        assert await waiting == {"code": "a", "title": "one", "since": "2024-01-01"}

    on_bench(test)


def test_a_deadlock_is_refused_and_the_other_goes_on() -> None:
    """Of two that wait for each other one is refused, and what it did is undone."""

    async def test(bench: Bench) -> None:
        await bench.shop("a")
        await bench.shop("b")
        first, second = await bench.session(), await bench.session()
        await first.update(MERCHANT, {"code": "a"}, {"title": "first"})
        await second.update(MERCHANT, {"code": "b"}, {"title": "second"})
        results = await asyncio.gather(
            first.update(MERCHANT, {"code": "b"}, {"title": "first"}),
            second.update(MERCHANT, {"code": "a"}, {"title": "second"}),
            return_exceptions=True,
        )
        assert sorted(isinstance(result, Refused) for result in results) == [False, True]

    on_bench(test)


@pytest.mark.parametrize("act", ["update", "delete"])
@pytest.mark.parametrize("serializable", [True, False])
def test_a_serializable_transaction_changes_nothing_that_changed_since_it_began(
    act: str, serializable: bool
) -> None:
    """Who waited for the row is refused when the other one commits; what is not serializable goes on."""

    async def test(bench: Bench) -> None:
        await bench.shop("a", purchases=0)
        first, second = await bench.session(), await bench.database.session("second")
        await first.insert(PURCHASE, purchase("a", 0))
        await first.commit()
        await first.begin()
        await second.begin(serializable=serializable)
        key = {"id": "a-0"}
        await first.update(PURCHASE, key, {"remark": "first"})
        doing = second.delete(PURCHASE, key) if act == "delete" else second.update(PURCHASE, key, {})
        waits = asyncio.create_task(doing)
        await bench.latency.clock.sleep(1)
        assert not waits.done()
        await first.commit()
        if serializable:
            with pytest.raises(Conflicted, match="could not serialize"):
                await waits
            await second.begin(serializable=True)
            await second.update(PURCHASE, key, {"remark": "second"})
        else:
            await waits
        assert (await second.commit()).outcome == "acked"

    on_bench(test)


def test_what_others_roll_back_is_no_conflict() -> None:
    """Nor is what had committed before a serializable transaction began, or what it changed itself."""

    async def test(bench: Bench) -> None:
        await bench.shop("a", purchases=0)
        first, second = await bench.session(), await bench.database.session("second")
        await second.begin(serializable=True)
        await first.update(MERCHANT, {"code": "a"}, {"title": "first"})
        waits = asyncio.create_task(second.update(MERCHANT, {"code": "a"}, {"title": "second"}))
        await bench.latency.clock.sleep(1)
        await first.rollback()
        await waits
        await second.update(MERCHANT, {"code": "a"}, {"title": "once more"})
        assert (await second.commit()).outcome == "acked"

    on_bench(test)


def test_a_deadlock_at_commit_is_told_as_a_conflict() -> None:
    """A check that was deferred to COMMIT may wait for others, too."""

    class Deadlocked(SimulatedSession):
        def _current(self) -> tuple[Server, Work]:
            raise Conflicted("deadlock detected")

    async def test(bench: Bench) -> None:
        ack = await Deadlocked(bench.live).commit()
        assert (ack.outcome, ack.conflicted) == ("refused", True)

    on_bench(test)


def test_an_operator_is_never_the_victim_of_a_deadlock() -> None:
    """A script waits as long as it takes; the writer in its way is refused."""

    async def test(bench: Bench) -> None:
        await bench.shop("a")
        await bench.shop("b")
        writer, operator = await bench.session(), await bench.database.operator()
        await writer.update(MERCHANT, {"code": "b"}, {"title": "mine"})
        await operator.begin()
        await operator.run(removal("a"))
        script = asyncio.create_task(operator.run(removal("b")))
        await bench.latency.clock.sleep(1)
        with pytest.raises(Refused, match="deadlock"):
            await writer.update(MERCHANT, {"code": "a"}, {"title": "mine too"})
        await script
        assert (await operator.commit()).outcome == "acked"

    on_bench(test)


def test_a_move_passes_over_a_row_that_goes_meanwhile() -> None:
    """A snapshot still shows what somebody else is about to delete; the move waits, and leaves it alone."""

    async def test(bench: Bench) -> None:
        await bench.shop("a", purchases=0)
        await bench.shop("b", purchases=0)
        writer, operator = await bench.session(), await bench.database.operator()
        await writer.insert(PURCHASE, purchase("a", 0))
        await writer.insert(PURCHASE, purchase("a", 1))
        await writer.commit()
        await writer.begin()
        await writer.delete(PURCHASE, {"id": "a-0"})
        await operator.begin()
        effect = Effect(tenant="a", mode="move", tables=(PURCHASE.name,), to="b")
        move = ScriptTransaction(name="s", statements=(), intended=(), actual=(effect,))
        script = asyncio.create_task(operator.run(move))
        await bench.latency.clock.sleep(1)
        assert not script.done()
        await writer.commit()
        await script
        assert (await operator.commit()).outcome == "acked"
        assert (await bench.counts("a"), await bench.counts("b")) == ([1, 0, 0], [1, 1, 0])

    on_bench(test)


def removal(code: str) -> ScriptTransaction:
    """Return a script's transaction that removes a whole merchant."""
    effect = Effect(tenant=code, mode="permanent", tables=tuple(t.name for t in SHOP.owned))
    return ScriptTransaction(name=f"remove {code}", statements=(), intended=(), actual=(effect,))


def test_constraints_are_checked() -> None:
    """Duplicate keys, lost parents, parents with children and nulls are refused."""

    async def refuse(bench: Bench, act: Callable[[SimulatedSession], Awaitable[object]], why: str) -> None:
        session = await bench.session()
        with pytest.raises(Refused, match=why):
            await act(session)
        with pytest.raises(Refused, match="no transaction"):
            await session.ready()
        await session.reset()

    async def test(bench: Bench) -> None:
        await bench.shop("a")
        other = purchase("a", 0) | {"id": "x"}
        lost = purchase("b", 0)
        await refuse(bench, lambda s: s.insert(PURCHASE, other), "duplicate key")
        await refuse(bench, lambda s: s.insert(PURCHASE, lost), "is not in shop.merchant")
        await refuse(bench, lambda s: s.delete(MERCHANT, {"code": "a"}), "still refers")
        await refuse(bench, lambda s: s.update(PURCHASE, {"id": "a-0"}, {"id": "z"}), "still refers")
        await refuse(bench, lambda s: s.insert(MERCHANT, {"code": "c"}), "null value")
        await refuse(bench, lambda s: s.insert(MERCHANT, {"name": "c"}), "does not exist")
        assert await bench.counts("a") == [1, 2, 2]

    on_bench(test)


def test_a_child_keeps_its_parent_until_it_is_committed() -> None:
    """Who deletes a parent waits for the child that is being added to it, and then sees it."""

    async def test(bench: Bench) -> None:
        await bench.shop("a", purchases=0)
        child, parent = await bench.session(), await bench.session()
        await child.insert(PURCHASE, purchase("a", 1))
        removing = asyncio.create_task(parent.delete(MERCHANT, {"code": "a"}))
        await bench.latency.clock.sleep(1)
        assert not removing.done()
        await child.commit()
        with pytest.raises(Refused, match="still refers"):
            await removing

    on_bench(test)


def test_a_commit_cut_off_by_the_servers_death_is_unknown() -> None:
    """Nobody can tell what became of a COMMIT whose answer never came."""

    async def test(bench: Bench) -> None:
        session = await bench.session()
        await session.insert(MERCHANT, {"code": "a", "title": "A"})
        committing = asyncio.create_task(session.commit())
        await bench.latency.clock.sleep(0)
        bench.server.die()
        assert (await committing).outcome == "unknown"
        with pytest.raises(ConnectionLost):
            await session.reset()

    on_bench(test)


def test_a_commit_to_a_dead_server_is_unknown() -> None:
    """It died since the last statement: whoever sends COMMIT then gets no answer."""

    async def test(bench: Bench) -> None:
        session = await bench.session()
        await session.insert(MERCHANT, {"code": "acme", "title": "A"})
        bench.server.die()
        assert (await session.commit()).outcome == "unknown"

    on_bench(test)


def test_a_script_removes_what_its_effects_say_and_tells_what_is_left() -> None:
    """A whole tenant goes, its neighbour stays, and the counts are those of the rows."""

    async def test(bench: Bench) -> None:
        await bench.shop("a")
        await bench.shop("b")
        operator = await bench.database.operator()
        await operator.begin()
        await operator.run(removal("a"))
        sight, changes = await operator.look(["a", "b"])
        assert sight.deleted == {MERCHANT.name: 1, PURCHASE.name: 2, LINE.name: 2}
        assert set(sight.left["a"].values()) == {()}
        assert sight.left["b"][MERCHANT.name] == (("b",),)
        assert changes == ()
        await operator.break_off()
        assert await bench.counts("a") == [1, 2, 2]

    on_bench(test)


def test_triggers_cascades_sequences_and_generated_columns_work_on_helpdesk() -> None:
    """A ticket tells the outbox, gets ids and computed cells, and takes its comments with it."""

    async def main() -> None:
        bench = Bench(HELPDESK)
        table = HELPDESK.table
        session = await bench.session()
        await session.insert(
            table("helpdesk.tenants"), {"id": "7", "slug": "s", "name": "n", "created_at": NOON}
        )
        project = await session.insert(table("helpdesk.projects"), {"tenant_id": "7", "title": "p"})
        ticket = await session.insert(
            table("helpdesk.tickets"),
            {"tenant_id": "7", "number": "1", "project_id": project["id"], "subject": "s"}
            | {"priority": "low", "opened_at": NOON},
        )
        await session.insert(
            table("helpdesk.comments"), {"ticket_id": ticket["id"], "body": "b", "posted_at": NOON}
        )
        ready = await session.ready()
        assert [(c.table, row_of(c.row)["ticket_id"]) for c in ready.changes] == [("helpdesk.outbox", "1")]
        assert row_of(ready.changes[0].row)["xid"] == str(ready.xid)
        assert ticket["subject_chars"] is not None
        await session.commit()
        await session.begin()
        assert await session.delete(table("helpdesk.tickets"), {"tenant_id": "7", "number": "1"})
        await session.commit()
        assert [w.table.name for w in bench.server.wal[-1].written] == [
            "helpdesk.tickets",
            "helpdesk.outbox",
            "helpdesk.comments",
        ]
        assert (await bench.database.next_values("live"))["helpdesk.comments.id"] == 2

    run(main())


def test_a_deferred_constraint_is_checked_at_commit() -> None:
    """A project may name its lead before the lead exists, but not beyond COMMIT."""

    async def main() -> None:
        bench = Bench(HELPDESK)
        session = await bench.session()
        await session.insert(
            HELPDESK.table("helpdesk.tenants"), {"id": "7", "slug": "s", "name": "n", "created_at": NOON}
        )
        await session.insert(
            HELPDESK.table("helpdesk.projects"), {"tenant_id": "7", "title": "p", "lead_id": "1"}
        )
        ack = await session.commit()
        assert (ack.outcome, "helpdesk.accounts" in ack.detail) == ("refused", True)
        assert bench.server.wal == []

    run(main())


def test_undoing_brings_back_every_index_entry() -> None:
    """After a rollback the same natural key can be taken again, and the old one is still held."""

    async def test(bench: Bench) -> None:
        await bench.shop("a")
        session = await bench.session()
        await session.update(PURCHASE, {"id": "a-1"}, {"order": "9"})
        await session.insert(PURCHASE, purchase("a", 1) | {"id": "new"})
        await session.rollback()
        await session.begin()
        with pytest.raises(Refused, match="duplicate key"):
            await session.insert(PURCHASE, purchase("a", 1) | {"id": "new"})
        await session.reset()
        await session.begin()
        await session.insert(PURCHASE, purchase("a", 9) | {"id": "new"})
        assert (await session.commit()).outcome == "acked"

    on_bench(test)


def test_what_was_written_knows_its_keys() -> None:
    """A change of the key has both keys, so that undo and capture find the row."""
    before, after = {"code": "a", "title": "A", "since": None}, {"code": "b", "title": "A", "since": None}
    one = Written(table=MERCHANT, op="update", before=dict(before), after=dict(after))
    assert (one.key_before, one.key_after) == (("a",), ("b",))
