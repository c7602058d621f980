"""Open outcomes that later statements settle, one by one: the outcome, since when, and up to where."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import NamedTuple

import pytest
from msgspec import structs

from chaos_tests.offline.judge_world import ITEM, OUTBOX, World, a_schema, delete, insert, item, update
from harness.judge.decoding import decode_all
from harness.judge.readings import owned_keys
from harness.judge.settling import settle
from harness.judge.timeline import NEVER, Transaction, index
from harness.model import history as h

OWNED = owned_keys(a_schema())
X = item("a", 1900, "x")
OF_X = update(ITEM, "1900", id="1900", tenant="a", body="later")
OF_1000 = update(ITEM, "1000", id="1000", tenant="a", body="open")


def a_world() -> World:
    """The tenants a, whose item 1000 is there, and b."""
    world = World()
    world.tenant("a")
    world.tenant("b")
    return world


def opened(*changes: h.Change) -> World:
    """a's transaction o, whose outcome nobody was told."""
    world = a_world()
    world.write("a", *changes, name="o", outcome="unknown", applied=False)
    return world


def settled(world: World, name: str = "o", *, decoded: bool = False) -> Transaction:
    """What became of a transaction. ``decoded``: acks are joined to theirs, as in a run that is loaded."""
    file = BytesIO(b"".join(map(h.encode_line, world.entries)))
    blocks = decode_all(file, OWNED, source="here") if decoded else [world.entries]
    timeline = index((entry for block in blocks for entry in block), OWNED)
    settle(timeline, OWNED)
    return next(tx for tx in timeline.transactions if tx.name == name)


class Later(NamedTuple):
    """What an open transaction wrote, what a later one found, and what that tells."""

    wrote: tuple[h.Change, ...]
    found: tuple[h.Change, ...]
    outcome: h.Outcome


LATER = {
    "an insert, whose row is found": Later((X,), (OF_X,), "acked"),
    "an insert, whose row is not found": Later((X,), (item("a", 1900, "y"),), "refused"),
    "a deletion, whose row is found": Later((delete(ITEM, "1000"),), (OF_1000,), "refused"),
    "a deletion, whose row is not found": Later(
        (delete(ITEM, "1000"),), (item("a", 1000, "again"),), "acked"
    ),
    "an update, whose row is found": Later((OF_1000,), (delete(ITEM, "1000"),), "unknown"),
    "an update of a key, whose old one is free": Later(
        (update(ITEM, "1000", id="1900", tenant="a", body="x"),), (item("a", 1000, "again"),), "acked"
    ),
    "an insert that was changed at once": Later((X, OF_X), (delete(ITEM, "1900"),), "acked"),
    "an insert that was undone at once": Later((X, delete(ITEM, "1900")), (X,), "unknown"),
    "two that contradict each other": Later(
        (X, item("a", 1901, "x")), (OF_X, item("a", 1901, "y")), "unknown"
    ),
    "rows of nobody before its own": Later(
        (insert(OUTBOX, id="o1", xid="1"), X), (insert(OUTBOX, id="o2", xid="2"), OF_X), "acked"
    ),
    "another row": Later((X,), (item("a", 1901, "y"),), "unknown"),
}


@pytest.mark.parametrize("decoded", [False, True])
@pytest.mark.parametrize("later", LATER.values(), ids=LATER.keys())
def test_what_a_later_statement_finds_settles_an_open_outcome(later: Later, decoded: bool) -> None:
    """A commit is known of since that one sent its own, and has its upper bound."""
    world = opened(*later.wrote)
    sent = next(e for e in world.entries if isinstance(e, h.Sent) and e.name == "o")
    world.tick()
    world.write("a", *later.found, name="later")
    tx = settled(world, decoded=decoded)
    there = settled(world, "later", decoded=decoded)
    since = {
        "acked": (there.sent_s, there.lsn_upper),
        "refused": (sent.at_s, None),
        "unknown": (NEVER, None),
    }
    assert (tx.outcome, (tx.ended_s, tx.lsn_upper)) == (later.outcome, since[later.outcome])


def a_script(world: World) -> None:
    """A script that is to do nothing to anybody."""
    world.script(("s0", (), ()))
    world.hit("s0")


@pytest.mark.parametrize(
    ("between", "outcome"),
    [
        (a_script, "unknown"),
        (lambda world: world.restore("b", place="live", probe=False), "unknown"),
        (lambda world: world.restore("b", place="scratch"), "acked"),
        (World.fail_over, "acked"),
        (World.destroy, "unknown"),
    ],
    ids=["a script", "a restore in place", "a restore beside", "a failover", "a fresh cluster"],
)
def test_across_what_changes_rows_by_itself_nothing_is_settled(
    between: Callable[[World], object], outcome: str
) -> None:
    """A script, a restore in place, a fresh cluster; a standby has the rows that its primary had."""
    world = opened(X)
    world.writes_on = False
    between(world)
    world.write("a", OF_X)
    assert settled(world).outcome == outcome


@pytest.mark.parametrize("at", ["open", "later"])
def test_a_script_at_the_very_instant_is_between(at: str) -> None:
    """Nobody knows which of the two came first."""
    world = opened(X)
    a_script(world)
    world.write("a", OF_X, name="later")
    sent = {e.name: e for e in world.entries if isinstance(e, h.Sent)}
    at_s = sent["o" if at == "open" else "later"].at_s
    world.entries = [structs.replace(e, at_s=at_s) if e is sent["s0"] else e for e in world.entries]
    assert settled(world).outcome == "unknown"


def test_what_was_refused_shows_nothing() -> None:
    """Nor does it take the place of the open one before it."""
    world = opened(X)
    world.write("a", OF_X, outcome="refused")
    assert settled(world).outcome == "unknown"
    world.write("a", item("a", 1900, "y"))
    assert settled(world).outcome == "refused"


def test_the_last_open_one_of_a_row_is_the_one_that_is_settled() -> None:
    """The first was settled by the second, which found its row."""
    world = opened(X)
    world.write("a", delete(ITEM, "1900"), name="o2", outcome="unknown", applied=False)
    world.tick()
    world.write("a", item("a", 1900, "y"), name="later")
    sent = {e.name: e.at_s for e in world.entries if isinstance(e, h.Sent)}
    assert [(settled(world, name).outcome, settled(world, name).ended_s) for name in ("o", "o2")] == [
        ("acked", sent["o2"]),
        ("acked", sent["later"]),
    ]


def test_the_least_position_sent_since_bounds_a_commit() -> None:
    """On its own cluster, by whatever tenant; what was sent before tells nothing."""
    world = opened(X)
    world.lsn = 50
    world.write("b", item("b", 2900, "sent before"))
    world.lsn = 300
    world.tick()
    world.write("a", OF_X, name="later")
    world.lsn = 200
    world.write("b", item("b", 2901, "sent since"))
    world.write("a", item("a", 1901, "x"), name="o2", outcome="unknown", applied=False)
    world.lsn = 400
    world.write("a", delete(ITEM, "1901"))
    world.cluster, world.lsn = 2, 10
    world.write("b", item("b", 2902, "elsewhere"))
    assert [settled(world, name).lsn_upper for name in ("o", "o2")] == [210, 410]
