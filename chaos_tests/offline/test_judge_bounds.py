"""What lies exactly at a bound of a check: the same instant, the very number asked for."""

from __future__ import annotations

import re
from collections.abc import Callable
from io import BytesIO
from types import ModuleType
from typing import TypeVar

import pytest
from msgspec import structs

from chaos_tests.offline.judge_world import ITEM, ROOT, World, a_schema, begin, finish, item, mark, whole
from chaos_tests.offline.told import damaged, ended, restored
from harness.judge.case import open_case
from harness.judge.checks import faults, floors, provable, script, writers
from harness.judge.decoding import decode_all
from harness.judge.readings import owned_keys
from harness.model import history as h
from harness.model.faults import Kill
from harness.model.operations import Delete, Transaction
from harness.model.plan import Floors

E = TypeVar("E", bound=h.Entry)


def told(check: ModuleType, world: World) -> list[tuple[str | None, str]]:
    """Of whom, and in which words."""
    case = open_case(world.plan(), a_schema(), world.entries, world.files)
    return [(finding.tenant, finding.message) for finding in check.CHECK.run(case)]


def first(world: World, kind: type[E], **fields: object) -> E:
    """The first entry of a kind that says so."""
    entries = (entry for entry in world.entries if isinstance(entry, kind))
    return next(e for e in entries if all(getattr(e, name) == value for name, value in fields.items()))


# Provable.


@pytest.mark.parametrize(("more_s", "unsure"), [(-0.001, set()), (0.0, {"q"})])
def test_a_write_as_old_as_the_budget_is_not_older(more_s: float, unsure: set[str]) -> None:
    """The quiet tenant's only one has to be."""
    world = finish(damaged(begin()))
    write = first(world, h.Done, tenant="q", actor="writer")
    world.budget_s = first(world, h.Sent, name="s0").at_s - write.at_s + more_s
    assert {tenant for tenant, _ in told(provable, world)} & {"q"} == unsure


def test_a_write_acked_at_the_incident_is_not_before_it() -> None:
    """So that the quiet tenant has still written nothing young."""
    world = begin()
    world.write("q", item("q", 3002, "again"))
    world.at_s = round(world.at_s - 0.01, 6)
    assert told(provable, finish(damaged(world))) == []


def test_as_many_writes_as_are_asked_for_are_enough() -> None:
    """On either side of the budget."""
    world = finish(damaged(begin()))
    world.floors = Floors(rows_per_s=1.0, older_than_budget=99, younger_than_budget=99)
    ((_, words),) = told(provable, world)
    older, younger = map(int, re.findall(r"\d+", words)[:2])
    for asked, enough in (
        ((older, younger), True),
        ((older + 1, younger), False),
        ((older, younger + 1), False),
    ):
        world.floors = Floors(older_than_budget=asked[0], younger_than_budget=asked[1])
        assert (told(provable, world) == []) is enough


# Writers.


def dry(world: World, at_s: float) -> World:
    """The same drill, in which b's writer had nothing left to write at that time."""
    world.add(h.WriterEnded(at_s=at_s, tenant="b", writer=0, ran_dry=True))
    return world


def last_began_s(world: World) -> float:
    """When the last restore began."""
    return max(e.at_s for e in world.entries if isinstance(e, h.RestoreBegan))


def test_a_writer_may_run_dry_as_the_last_restore_begins() -> None:
    """Not before."""
    for less_s, dried in ((0.0, False), (0.001, True)):
        world = finish(damaged(begin()))
        found = told(writers, dry(world, last_began_s(world) - less_s))
        assert found == [("b", "its writer 0 ran dry before the last restore")] * dried


def test_where_nobody_was_restored_nobody_wrote_too_little() -> None:
    """There is no last restore."""
    assert told(writers, ended(dry(damaged(begin()), 0.5))) == []


def test_on_a_fresh_cluster_nobody_has_to_write_meanwhile() -> None:
    """Nobody is there before the restores are over."""
    world = damaged(begin(survivors="archive"))
    world.destroy()
    world.writes_on = False
    for tenant in "abq":
        world.restore(tenant, place="live", probe=False)
    assert told(writers, ended(world)) == []


def one_write(*, first_s: float | None = None, last_s: float | None = None) -> World:
    """A drill in which b wrote once: its ack came, or its COMMIT was sent, so long after a bound.

    The bounds are the beginning of the first restore, and the end of the last one.
    """
    world = damaged(begin())
    world.writes_on = False
    restored(world)
    world.write("b", item("b", 2900, "beside"), name="w")
    ended(world)
    began_s = first(world, h.RestoreBegan).at_s
    done_s = max(e.at_s for e in world.entries if isinstance(e, h.RestoreDone))
    acked_s = done_s + 1.0 if first_s is None else began_s + first_s
    sent_s = began_s - 1.0 if last_s is None else done_s + last_s
    sent, done = first(world, h.Sent, name="w"), first(world, h.Done, name="w")
    moved: dict[int, h.Entry] = {
        id(sent): structs.replace(sent, at_s=sent_s, begun_s=sent_s),
        id(done): structs.replace(done, at_s=acked_s, begun_s=sent_s),
    }
    world.entries = [moved.get(id(entry), entry) for entry in world.entries]
    return world


@pytest.mark.parametrize(
    ("world", "enough"),
    [
        (lambda: one_write(first_s=0.0), True),
        (lambda: one_write(first_s=-0.001), False),
        (lambda: one_write(last_s=0.0), True),
        (lambda: one_write(last_s=0.001), False),
    ],
)
def test_one_write_that_touches_the_restores_is_enough(world: Callable[[], World], enough: bool) -> None:
    """From the beginning of the first to the end of the last."""
    found = [] if enough else [(None, "no neighbour wrote while tenants were restored")]
    assert told(writers, world()) == found


# Faults and floors.


def test_a_fault_that_struck_as_the_cluster_was_destroyed_need_not_heal() -> None:
    """A moment later it struck something else."""
    for later_s, healed in ((0.0, True), (0.001, False)):
        world = damaged(begin(survivors="archive"))
        world.destroy()
        world.faults = (Kill(service="archiver", phase="write", after_s=1.0, down_s=1.0),)
        at_s = first(world, h.Destroyed).at_s + later_s
        world.add(h.FaultBegan(at_s=at_s, fault=0, proof="gone", bit=True))
        assert (told(faults, finish(world)) == []) is healed


def test_a_write_acked_at_the_incident_is_no_streamed_one_before_it() -> None:
    """29 are there, and one that is acked as the damage is sent."""
    world = begin()
    world.write("a", item("a", 1900, "x"))
    world.at_s = round(world.at_s - 0.01, 6)
    finish(damaged(world))
    words = "only 29 of 30 streamed transactions before its incident"
    world.floors = Floors(rows_per_s=1.0, transactions_per_tenant=30)
    assert ("a", words) in told(floors, world)
    world.floors = Floors(rows_per_s=1.0, transactions_per_tenant=29)
    assert told(floors, world) == []


def test_what_was_joined_while_it_was_loaded_counts_as_performed() -> None:
    """A run that is read from its file has few outcomes of their own."""
    world = finish(damaged(begin()))
    owned = owned_keys(a_schema())
    file = BytesIO(b"".join(map(h.encode_line, world.entries)))
    history = [entry for block in decode_all(file, owned, source="here") for entry in block]
    case = open_case(world.plan(), a_schema(), history, world.files)
    assert any(tx.joined for tx in case.timeline.transactions)
    assert list(floors.CHECK.run(case)) == []


def test_all_kinds_that_never_succeeded_are_named() -> None:
    """A rollback, and rows that only one transaction was to delete in the write phase."""
    world = finish(damaged(begin()))
    world.tenants = {
        tenant: {
            **parts,
            "writer": [tx for tx in parts["writer"] if Delete not in map(type, tx.operations)],
        }
        for tenant, parts in world.tenants.items()
    }
    world.tenants["b"]["writer"] += [
        Transaction(name="back", operations=(), commit=False),
        Transaction(name="gone", operations=(Delete(table=ITEM, handle="h"),)),
    ]
    assert told(floors, world) == [(None, "no delete, no rollback was seen to succeed")]


# The script.


def test_a_script_transaction_that_touches_nobody_is_as_predicted() -> None:
    """No tenant has a forecast for it, and nothing was counted."""
    world = begin()
    world.script(("s0", (), (whole("a"), whole("q"))), ("s1", (), ()))
    world.hit("s0")
    world.hit("s1")
    world.flush()
    assert told(script, finish(world)) == []


@pytest.mark.parametrize("beside", [True, False])
def test_what_a_purge_beside_a_restore_met_only_the_locks_decided(beside: bool) -> None:
    """So that its counts are not compared; those of one after it are."""
    world = damaged(begin())
    sent = first(world, h.Sent, name="s0")
    assert sent.sight is not None
    sight = structs.replace(sent.sight, deleted={**sent.sight.deleted, ROOT: 9})
    world.entries[world.entries.index(sent)] = structs.replace(sent, sight=sight)
    finish(world)
    case = open_case(world.plan(), a_schema(), world.entries, world.files)
    restore = case.restores_of("a")[0].restore
    begun_s = restore.began_s if beside else restore.done_s
    (tx,) = case.timeline.of_scripts
    purge = structs.replace(tx, begun_s=begun_s, ended_s=begun_s + 1.0)
    found = script.CHECK.run(structs.replace(case, purges={"a": [purge]}))
    words = f"s0 deleted from {ROOT}: 9 rows, the model says 2 to 2"
    assert [finding.message for finding in found] == ([] if beside else [words])


def test_what_a_refused_script_transaction_had_counted_is_undone() -> None:
    """It had removed all of b when it was refused."""
    world = begin()
    world.script(("s0", (), (whole("b"),)), ("s1", (), (whole("a"), whole("q"))))
    world.hit("s0", outcome="refused")
    world.hit("s1")
    world.flush()
    assert told(script, finish(world)) == []


@pytest.mark.parametrize(("field", "words"), [("deleted", "deleted from"), ("updated", "updated in")])
def test_a_count_of_a_table_that_nobody_was_to_lose_rows_of_is_seen(field: str, words: str) -> None:
    """One item, where roots were to be marked."""
    world = begin()
    world.script(("s0", (), (mark("a"), mark("q"))))
    world.hit("s0")
    sent = first(world, h.Sent, name="s0")
    assert sent.sight is not None
    sight = structs.replace(sent.sight, **{field: {**getattr(sent.sight, field), ITEM: 1}})
    world.entries[world.entries.index(sent)] = structs.replace(sent, sight=sight)
    world.flush()
    expected = f"s0 {words} {ITEM}: 1 rows, the model says 0 to 0"
    assert told(script, finish(world)) == [(None, expected)]
