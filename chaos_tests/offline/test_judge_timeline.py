"""The history, indexed: what becomes of a transaction, of a restore, and what is known of clusters."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from harness.judge.timeline import NEVER, Timeline, Transaction, index, join, read_changes
from harness.model import history as h
from harness.model.position import Position
from harness.model.values import Image, RowKey, image_of, keys_begin, row_key

OWNED = keys_begin(["t"])
ONE, TWO, OTHER = row_key("t", ("1",)), row_key("t", ("2",)), row_key("outbox", ("1",))


def image(text: str) -> Image:
    """A row with one column."""
    return image_of({"v": text})


def sent(name: str, at_s: float = 1.0, *changes: h.Change, **fields: Any) -> h.Sent:
    """The transaction of that name sends COMMIT."""
    given: dict[str, Any] = {
        "actor": "writer",
        "tenant": "a",
        "cluster": 1,
        "xid": 7,
        "lsn_lower": 10,
        **fields,
    }
    return h.Sent(at_s=at_s, name=name, begun_s=0.5, changes=changes, **given)


def done(name: str, at_s: float = 2.0, **fields: Any) -> h.Done:
    """Its client was told of its outcome."""
    given: dict[str, Any] = {
        "actor": "writer",
        "tenant": "a",
        "outcome": "acked",
        "lsn_upper": 20,
        **fields,
    }
    return h.Done(at_s=at_s, name=name, begun_s=0.5, **given)


def decoded(name: str, *changes: h.Change) -> Transaction:
    """The same as a loaded history has it."""
    entry = sent(name, 1.0, *changes)
    tx = Transaction(
        name=name,
        actor="writer",
        tenant="a",
        cluster=1,
        xid=7,
        begun_s=0.5,
        sent_s=1.0,
        lsn_lower=10,
        unread=entry.changes,
    )
    read_changes(tx, h.encode_line(entry), OWNED)
    return tx


def fates(timeline: Timeline) -> list[tuple[str, str, float, int | None]]:
    """Name, outcome, end and upper bound of each transaction."""
    return [(tx.name, tx.outcome, tx.ended_s, tx.lsn_upper) for tx in timeline.transactions]


def settled(name: str, outcome: Any, at_s: float = 5.0) -> h.Settled:
    """A witness says what became of it."""
    return h.Settled(at_s=at_s, name=name, outcome=outcome, witness="w")


@pytest.mark.parametrize(
    ("entries", "fate"),
    [
        ([], ("unknown", NEVER, None)),
        ([done("x")], ("acked", 2.0, 20)),
        ([done("x", outcome="refused", lsn_upper=None)], ("refused", 2.0, None)),
        ([done("x", outcome="unknown", lsn_upper=None)], ("unknown", NEVER, None)),
        ([settled("x", "acked")], ("acked", 5.0, None)),
        ([done("x", outcome="unknown", lsn_upper=30), settled("x", "acked")], ("acked", 5.0, 30)),
        ([done("x"), settled("x", "refused")], ("refused", 5.0, 20)),
        ([done("y"), settled("z", "refused")], ("unknown", NEVER, None)),
    ],
)
def test_what_a_witness_says_counts_more_than_what_the_client_saw(
    entries: list[h.Entry], fate: tuple[str, float, int | None]
) -> None:
    """The position comes from the client alone."""
    assert fates(index([sent("x"), *entries])) == [("x", *fate)]


def test_each_try_under_a_name_is_a_transaction() -> None:
    """What is told of the name belongs to the try before it."""
    history = [sent("x"), done("x", outcome="refused", lsn_upper=None), sent("x", 3.0), done("x", 4.0)]
    assert fates(index(history)) == [("x", "refused", 2.0, None), ("x", "acked", 4.0, 20)]


def test_a_transaction_knows_all_that_was_seen_of_it() -> None:
    """Its rows by what they are after it, those of tenants and others apart; the last change counts."""
    changes = (
        h.Change(op="insert", key=ONE, row=image("1")),
        h.Change(op="update", key=TWO, was=ONE, row=image("2")),
        h.Change(op="insert", key=OTHER, row=image("o")),
        h.Change(op="delete", key=TWO),
    )
    sight = h.Sight(left={}, deleted={}, updated={})
    entry = sent("x", 1.0, *changes, sight=sight, actor="script", tenant=None)
    timeline = index([sent("y", 0.5, changes[0]), entry], OWNED)
    assert [tx.name for tx in timeline.beyond] == ["x"]
    tx = timeline.transactions[1]
    assert (tx.order, tx.name, tx.actor, tx.tenant, tx.cluster, tx.xid) == (1, "x", "script", None, 1, 7)
    assert (tx.begun_s, tx.sent_s, tx.lsn_lower, tx.sight) == (0.5, 1.0, 10, sight)
    gone: dict[RowKey, Image | None] = {ONE: None, TWO: None}
    assert (tx.writes, tx.beyond, tx.rows) == (gone, {OTHER: image("o")}, 3)
    assert (tx.changes, tx.unread, tx.joined, tx.acked) == (changes, (), False, False)


@pytest.mark.parametrize(
    ("fields", "joined"),
    [
        ({}, True),
        ({"outcome": "refused"}, False),
        ({"actor": "probe"}, False),
        ({"lsn_upper": None}, False),
        ({"lost": True}, False),
        ({"conflicted": True}, False),
        ({"detail": "so"}, False),
    ],
)
def test_only_a_plain_ack_is_joined(fields: dict[str, Any], joined: bool) -> None:
    """One that says more is kept as it is, and its transaction is in doubt until then."""
    tx, ack = decoded("x"), done("x", **fields)
    assert join(tx, ack) is joined
    assert (tx.outcome, tx.ended_s, tx.lsn_upper, tx.joined) == (
        ("acked", 2.0, 20, True) if joined else ("unknown", NEVER, None, False)
    )
    assert not join(decoded("x"), structs.replace(done("x"), begun_s=0.4))
    assert join(tx, done("x")) is not joined, "a second ack is none of its"


def test_what_is_joined_is_told_among_the_outcomes() -> None:
    """In the order of time, as its entry was."""
    ack, late, early = (
        done("x"),
        done("y", 3.0, actor="probe"),
        done("z", 1.5, outcome="refused", lsn_upper=None),
    )
    tx = decoded("x")
    join(tx, ack)
    timeline = index([tx, sent("y", actor="probe"), late, sent("z", tenant="b"), early], OWNED)
    assert timeline.outcomes == [early, ack, late]
    assert (timeline.joined("a"), timeline.joined("b"), timeline.joined("c")) == ({"x"}, set(), set())
    assert [tx.name for tx in timeline.in_doubt] == ["y", "z"]
    assert [tx.name for tx in timeline.by("probe", "load")] == ["y"]
    assert [tx.name for tx in timeline.tenant_by_tenant] == ["x", "y", "z"]
    assert timeline.of_scripts == []


def began(restore: int, place: h.Place = "live") -> h.RestoreBegan:
    """A restore is asked for."""
    return h.RestoreBegan(
        at_s=1.0, restore=restore, round=1, tenant="a", cut=h.Cut(), place=place, cluster=1
    )


@pytest.mark.parametrize(
    ("result", "place", "facts"),
    [
        ("restored", "live", (2.0, True, False, True)),
        ("restored", "scratch", (2.0, True, False, False)),
        ("refused", "live", (2.0, False, True, False)),
        ("failed", "live", (2.0, False, False, False)),
        (None, "live", (NEVER, False, False, False)),
    ],
)
def test_a_restore_is_what_was_answered(
    result: Any, place: h.Place, facts: tuple[float, bool, bool, bool]
) -> None:
    """When it was done, whether the tenant is back, whether it was refused, whether it is in place."""
    answer = h.RestoreDone(at_s=2.0, restore=3, tenant="a", result=result)
    read = h.ReadBack(at_s=3.0, restore=3, tenant="a", file="f", rows=1)
    stranger = h.ReadBack(at_s=3.0, restore=9, tenant="a", file="f", rows=1)
    timeline = index([began(3, place), *([answer] if result else []), read, stranger])
    (restore,) = timeline.restores
    assert (restore.number, restore.began_s, restore.read_back) == (3, 1.0, read)
    assert (restore.done_s, restore.restored, restore.refused, restore.in_place) == facts
    assert timeline.of(h.ReadBack) == [read, stranger]


def cluster(number: int, system_id: str, epoch: int) -> h.ClusterSeen:
    """A cluster answers."""
    return h.ClusterSeen(at_s=float(number), cluster=number, system_id=system_id, timeline=1, epoch=epoch)


def test_positions_are_told_by_epochs_and_rows_by_systems() -> None:
    """Nothing is known of a cluster without an epoch, nor of position 0."""
    timeline = index([cluster(1, "s", 1), cluster(2, "s", 2), cluster(3, "t", 0)])
    assert timeline.position(2, 5) == Position(epoch=2, lsn=5)
    assert [timeline.position(*at) for at in ((3, 5), (9, 5), (2, 0), (2, None))] == [None] * 4
    same = {(one, other): timeline.same_rows(one, other) for one in (1, 9) for other in (1, 2, 3, 8, 9)}
    assert [pair for pair, rows in same.items() if rows] == [(1, 1), (1, 2), (9, 9)]


def test_the_first_destruction_counts() -> None:
    """Rows go with one that no standby survives."""
    assert (index([]).destroyed_s, index([]).wiped_s, index([]).complete) == (NEVER, NEVER, False)
    timeline = index(
        [
            h.Destroyed(at_s=4.0, survivors="standby", services=("primary",)),
            h.Destroyed(at_s=6.0, survivors="archive", services=("primary",)),
            h.Destroyed(at_s=7.0, survivors="archive", services=("primary",)),
            h.PhaseBegan(at_s=1.0, phase="write"),
            h.PhaseBegan(at_s=2.0, phase="script"),
            h.PhaseBegan(at_s=3.0, phase="script"),
            h.Ended(at_s=9.0, complete=False, reason=""),
        ]
    )
    assert (timeline.destroyed_s, timeline.wiped_s, timeline.complete) == (4.0, 6.0, False)
    assert [timeline.phase_s(phase) for phase in ("write", "script", "read")] == [1.0, 2.0, NEVER]
    assert index([h.Ended(at_s=9.0, complete=True, reason="")]).complete
