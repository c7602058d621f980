"""What makes a drill unknown, told whole: the words, whose it is, of which restore."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
from msgspec import structs

from chaos_tests.offline.judge_world import ROOT, World, begin, finish, item, mark, whole
from chaos_tests.offline.told import damaged, ended, restored, the_finding, written
from harness.model import history as h
from harness.model.faults import Kill
from harness.model.operations import Transaction
from harness.model.plan import Floors
from harness.model.verdict import Finding


def a_good_one() -> World:
    """A good drill to its end."""
    return finish(damaged(begin()))


def without(*kinds: type[h.Entry], restore: int | None = None) -> World:
    """A good drill without any entry of these kinds, or without those of one restore."""
    world = a_good_one()
    world.entries = [
        entry
        for entry in world.entries
        if not isinstance(entry, kinds) or restore not in (None, getattr(entry, "restore", None))
    ]
    return world


def with_fault(*entries: h.Entry) -> World:
    """A good drill that was to kill the archiver, and what was seen of that."""
    world = a_good_one()
    world.faults = (Kill(service="archiver", phase="write", after_s=1.0, down_s=1.0),)
    world.add(*entries)
    return world


def a_fault(*, bit: bool) -> h.FaultBegan:
    """What was seen of it."""
    return h.FaultBegan(at_s=3.0, fault=0, proof="pid 7", bit=bit)


def loaded_with(*planned: Transaction) -> World:
    """A good drill in which b was to be loaded with these."""
    world = a_good_one()
    world.tenants["b"]["load"] = list(planned)
    return world


def with_floors(floors: Floors, *, budget_s: float = 3.0) -> World:
    """A good drill of which more was asked."""
    world = a_good_one()
    world.floors, world.budget_s = floors, budget_s
    return world


def with_a_rollback() -> World:
    """A good drill in which a writer was to roll back and to delete, and did not."""
    world = a_good_one()
    world.tenants["b"]["writer"].append(Transaction(name="back", operations=(), commit=False))
    return world


def torn() -> World:
    """A good drill of which a row that was read of b is not stored."""
    world = a_good_one()
    rows = world.files["restored/b.jsonl"]
    rows.remove(next(row for row in rows if row.restore == 2))
    return world


def not_restored(tenant: str) -> World:
    """A drill in which nobody asked for that tenant."""
    return ended(restored(damaged(begin()), *(t for t in "abq" if t != tenant)))


def cut_elsewhere() -> World:
    """A drill in which a was restored to before another transaction than the one that hit it."""
    world = damaged(begin())
    world.restore("a", cut=structs.replace(world.hits["a"], xid=77))
    return ended(restored(world, "b", "q"))


def run_dry() -> World:
    """A good drill in which a writer of b had nothing left to write."""
    world = a_good_one()
    world.add(h.WriterEnded(at_s=5.0, tenant="b", writer=3, ran_dry=True))
    return world


def alone() -> World:
    """A drill in which nobody wrote beside the restores."""
    world = damaged(begin())
    world.writes_on = False
    return finish(world)


def script(*, killed: bool = False, look: bool = True, nobody: bool = False, extra: int = 0) -> World:
    """A drill whose script was to be killed, was not looked at, was to harm nobody, or did more."""
    world = begin()
    world.script(("s0", (), (whole("a"), whole("q"))), nobody=nobody)
    if killed:
        world.kill("s0")
    world.hit("s0", look=look)
    world.flush()
    sent = next(e for e in world.entries if isinstance(e, h.Sent) and e.actor == "script")
    if extra and sent.sight is not None:
        more = {**sent.sight.deleted, ROOT: sent.sight.deleted[ROOT] + extra}
        sight = structs.replace(sent.sight, deleted=more)
        world.entries[world.entries.index(sent)] = structs.replace(sent, sight=sight)
    return finish(world)


def marked_twice() -> World:
    """A drill whose script updated a row more than it was to."""
    world = begin()
    world.script(("s0", (), (mark("a"), mark("q"))))
    world.hit("s0")
    world.flush()
    sent = next(e for e in world.entries if isinstance(e, h.Sent) and e.actor == "script")
    assert sent.sight is not None
    sight = structs.replace(sent.sight, updated={ROOT: 3})
    world.entries[world.entries.index(sent)] = structs.replace(sent, sight=sight)
    return finish(world)


def harmless() -> World:
    """A drill whose script damaged nobody."""
    world = begin()
    world.script(("s0", (mark("b"),), (mark("b"),)))
    world.hit("s0")
    world.flush()
    return finish(world)


def not_sent() -> World:
    """A drill whose second script transaction was never sent."""
    world = begin()
    world.script(("s0", (), (whole("a"), whole("q"))), ("s1", (), (whole("b"),)))
    world.hit("s0")
    world.flush()
    return finish(world)


def unquiet() -> World:
    """A drill in which the quiet tenant wrote just before its damage."""
    return finish(written(item("q", 3002, "again"), tenant="q"))


def spared() -> World:
    """A drill in which the quiet tenant was not damaged."""
    world = begin()
    world.script(("s0", (), (whole("a"),)))
    world.hit("s0")
    world.flush()
    return finish(world)


def broken_off() -> World:
    """A drill that was given up."""
    world = restored(damaged(begin()))
    world.end(complete=False)
    return world


def live_rows_gone() -> World:
    """A drill in which a was damaged a second time, and not restored in place since."""
    world = damaged(begin())
    world.script(("s1", (), (whole("a"),)))
    world.again = ("a",)
    restored(world)
    world.flush()
    world.hit("s1")
    world.restore("a", result="failed")
    return ended(world)


class Doubt(NamedTuple):
    """A drill that proves nothing, and what its first finding of a check says."""

    check: str
    message: str
    world: Callable[[], World]
    tenant: str | None = None
    restore: int | None = None


NOT_BACK = "its live rows at the end can't be judged: it was damaged and not restored in place since"
TWO_LOADS = (Transaction(name="l1", operations=()), Transaction(name="l2", operations=()))
DOUBTS = (
    Doubt("ended", "the drill was not run to its end: gave up", broken_off),
    Doubt("ended", "the drill was not run to its end: the history breaks off", lambda: without(h.Ended)),
    Doubt("census", "no restore of it was tried", lambda: not_restored("b"), "b"),
    Doubt(
        "census",
        "its rows, or those it goes on from, were not read back",
        lambda: without(h.ReadBack, restore=2),
        "b",
        2,
    ),
    Doubt(
        "census",
        "its live rows at the end can't be judged: not read",
        lambda: without(h.ReadBack, restore=0),
        "a",
        0,
    ),
    Doubt("census", "restored/b.jsonl holds 57 of the 58 rows that were read back", torn, "b", 2),
    Doubt("census", NOT_BACK, live_rows_gone, "a", 0),
    Doubt("cuts", "the restore was cut at transaction 77, but damaged by s0", cut_elsewhere, "a", 1),
    Doubt("faults", "fault 0 (kill archiver) was never injected", with_fault),
    Doubt(
        "faults",
        "fault 0 (kill archiver) was not seen to bite: pid 7",
        lambda: with_fault(a_fault(bit=False)),
    ),
    Doubt(
        "faults",
        "fault 0 (kill archiver) was not seen to be healed",
        lambda: with_fault(a_fault(bit=True)),
    ),
    Doubt("floors", "initial rows were not loaded: none were planned", loaded_with, "b"),
    Doubt("floors", "initial rows were not loaded: l1, l2", lambda: loaded_with(*TWO_LOADS), "b"),
    Doubt(
        "floors",
        "only 29 of 30 streamed transactions before its incident",
        lambda: with_floors(Floors(transactions_per_tenant=30, rows_per_s=1.0)),
        "a",
    ),
    Doubt("floors", "only 14.6 of 100 rows a second", lambda: with_floors(Floors(rows_per_s=100.0))),
    Doubt("floors", "no rollback was seen to succeed", with_a_rollback),
    Doubt(
        "floors",
        "the write phase was not seen to begin and to end",
        lambda: without(h.PhaseBegan),
    ),
    Doubt(
        "provable",
        "0 streamed writes are older than the budget and 29 younger; 5 and 5 are needed",
        lambda: with_floors(Floors(rows_per_s=1.0), budget_s=9.0),
        "a",
    ),
    Doubt(
        "provable",
        "the quiet tenant has 1 writes older than the budget and 1 after; not 1 and 0",
        unquiet,
        "q",
    ),
    Doubt("provable", "no quiet tenant was damaged", spared),
    Doubt("writers", "its writer 3 ran dry before the last restore", run_dry, "b"),
    Doubt("writers", "no neighbour wrote while tenants were restored", alone),
    Doubt("script", "s0 was to be killed, but sent its COMMIT", lambda: script(killed=True)),
    Doubt("script", "nobody looked at what s0 had done", lambda: script(look=False)),
    Doubt(
        "script",
        "the script was to damage nobody, and damaged a, q",
        lambda: script(nobody=True),
    ),
    Doubt(
        "script",
        "s0 deleted from app.tenant: 4 rows, the model says 2 to 2",
        lambda: script(extra=2),
    ),
    Doubt("script", "s0 updated in app.tenant: 3 rows, the model says 2 to 2", marked_twice),
    Doubt("script", "the script damaged nobody", harmless),
    Doubt("script", "s1 was never sent", not_sent),
    Doubt(
        "exposure",
        "the subject never named the objects that its restores need",
        lambda: without(h.NeedsNamed),
    ),
    Doubt("honest", "no watermark was ever reported", lambda: without(h.WatermarkSeen)),
    Doubt(
        "catalogue",
        "the catalogue was not seen before anything was restored",
        lambda: without(h.CatalogueSeen),
    ),
    Doubt(
        "sequences",
        "the sequences were not read at the end",
        lambda: without(h.SequencesSeen),
    ),
    Doubt(
        "shared rows",
        "shared and infrastructure rows were not read at the end",
        lambda: without(h.ReadBack, restore=0),
    ),
    Doubt(
        "restored",
        "the restore was never answered",
        lambda: without(h.RestoreDone, restore=1),
        "a",
        1,
    ),
)


@pytest.mark.parametrize("doubt", DOUBTS, ids=lambda doubt: f"{doubt.check}: {doubt.message}")
def test_a_doubt_is_told_whole(doubt: Doubt) -> None:
    """Unknown, of no point of the guarantee, with its words, its tenant and its restore."""
    assert the_finding(doubt.world(), doubt.check) == Finding(
        check=doubt.check,
        point=0,
        verdict="unknown",
        message=doubt.message,
        tenant=doubt.tenant,
        restore=doubt.restore,
    )
