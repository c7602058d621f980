"""From events to whole transactions: merged, folded, awaited again, and never a hole passed over."""

from __future__ import annotations

import random

import pytest

from fixtures.archive import SYSTEM, LoopClock, Tape, heartbeat_row, insert, note_row, tenant_row
from harness.model.errors import ArchiverStopped
from harness.model.position import Position
from harness.simulate.archive_ports import MemoryFeed
from harness.subject.reference.assembler import Assembler, Transaction
from harness.subject.reference.ports import MessageEvent, RowEvent, Unreadable

NOTE = insert("app.note", note_row(1, "acme"))


def _tape() -> Tape:
    return Tape(MemoryFeed(LoopClock()))


def _taken(tape: Tape, assembler: Assembler | None = None) -> list[Transaction]:
    assembler = assembler or Assembler()
    found = [assembler.take(event) for event in tape.feed.events]
    return [transaction for transaction in found if transaction is not None]


def test_transactions_come_out_in_the_order_of_their_ends() -> None:
    """A transaction's position is its END's LSN, its events come in their order."""
    tape = _tape()
    tape.snapshot()
    tape.begin()
    tape.piece(2, insert("app.note", note_row(2, "acme")))
    tape.piece(1, NOTE)
    tape.end(2)
    tape.commit(NOTE)
    first, second = _taken(tape)[1:]
    assert first.position < second.position
    assert [event.order for event in first.events] == [1, 2]


def test_the_snapshot_is_one_transaction_before_all_others() -> None:
    """It has no xid, and the position that it stands for."""
    tape = _tape()
    lsn = tape.snapshot(("app.tenant", tenant_row("acme")))
    (snapshot,) = _taken(tape)
    assert (snapshot.snapshot, snapshot.xid) == (True, 0)
    assert snapshot.position == Position(epoch=1, lsn=lsn)


def test_an_interrupted_snapshot_is_void_as_a_whole() -> None:
    """Rows of the first try, some of which are gone by the second, are in no archive."""
    tape = _tape()
    tape.begin_snapshot(("app.tenant", tenant_row("gone")), ("app.tenant", tenant_row("acme")))
    tape.snapshot(("app.tenant", tenant_row("acme")))
    (snapshot,) = _taken(tape)
    rows = [e.after for e in snapshot.events if isinstance(e, RowEvent) and e.table == "app.tenant"]
    assert rows == [tenant_row("acme")]


def test_a_snapshot_of_an_unknown_cluster_stops() -> None:
    """Without a heartbeat row nothing says whose positions these are."""
    tape = _tape()
    tape.begin_snapshot(("app.tenant", tenant_row("acme")))
    with pytest.raises(ArchiverStopped, match=r"no row of restoreproof\.heartbeat"):
        _taken(_ended(tape))


def _ended(tape: Tape) -> Tape:
    """End a snapshot that holds no heartbeat."""
    whole = _tape()
    whole.snapshot()
    tape.feed.append(lambda offset: type(whole.feed.events[-1])(offset=offset, lsn=5))  # type: ignore[call-arg]
    return tape


def test_a_new_feed_must_begin_with_a_snapshot() -> None:
    """What came before its first transaction would be in no archive."""
    tape = _tape()
    tape.commit(NOTE)
    with pytest.raises(ArchiverStopped, match="begins with transaction"):
        _taken(tape)


def test_a_second_cluster_is_a_second_epoch() -> None:
    """Its LSNs begin anew and are later all the same (FM-25)."""
    tape = _tape()
    tape.snapshot()
    tape.commit(NOTE)
    tape.lsn = 10
    tape.snapshot(system_id="another")
    tape.commit(NOTE)
    taken = _taken(tape)
    positions = [t.position for t in taken]
    assert [p.epoch for p in positions] == [1, 1, 2, 2]
    assert positions == sorted(positions)


def test_a_new_timeline_is_a_new_epoch_from_its_first_heartbeat_on() -> None:
    """The same cluster after a failover is another history."""
    tape = _tape()
    tape.snapshot()
    tape.heartbeat(1, timeline=1)
    tape.heartbeat(2, timeline=2)
    tape.commit(NOTE)
    assembler = Assembler()
    assert [t.position.epoch for t in _taken(tape, assembler)] == [1, 1, 2, 2]
    assert [(e.system_id, e.timeline) for e in assembler.epochs] == [(SYSTEM, 1), (SYSTEM, 2)]


def test_what_was_sent_twice_is_taken_once() -> None:
    """Whole transactions that come again are folded away by their position."""
    tape = _tape()
    tape.snapshot()
    begin = len(tape.feed.events)
    tape.commit(NOTE)
    tape.commit(NOTE)
    tape.again(begin)
    tape.commit(NOTE)
    assert len(_taken(tape)) == 4


def test_the_rest_of_a_transaction_may_come_without_its_begin() -> None:
    """A capture that restarted in its middle goes on with the next piece, or repeats some."""
    tape = _tape()
    tape.snapshot()
    tape.begin()
    for order in (1, 2, 2, 3):
        tape.piece(order, insert("app.note", note_row(order, "acme")))
    tape.end(3)
    assert [len(t.events) for t in _taken(tape)] == [1, 3]


def test_an_incomplete_transaction_followed_by_older_ones_comes_again() -> None:
    """Its first pieces are dropped; it counts once it is whole."""
    tape = _tape()
    tape.snapshot()
    begin = len(tape.feed.events)
    tape.commit(NOTE)
    older = len(tape.feed.events)
    half = tape.begin()
    tape.piece(1, NOTE)
    tape.again(begin, older)
    tape.piece(1, NOTE, xid=half)
    tape.piece(2, insert("app.note", note_row(2, "acme")), xid=half)
    tape.end(2, xid=half)
    taken = _taken(tape)
    assert [t.xid for t in taken] == [0, half - 1, half]
    assert len(taken[-1].events) == 2


def test_a_transaction_that_never_came_whole_stops_what_follows() -> None:
    """A feed that lost something is not followed any further (FM-79)."""
    tape = _tape()
    tape.snapshot()
    half = tape.begin()
    tape.piece(1, NOTE)
    tape.commit(NOTE)
    with pytest.raises(ArchiverStopped, match=f"transaction {half} came in part"):
        _taken(tape)


def test_a_transaction_with_a_piece_missing_is_not_taken() -> None:
    """END's count decides."""
    tape = _tape()
    tape.snapshot()
    tape.begin()
    tape.piece(1, NOTE)
    tape.piece(3, NOTE)
    tape.end(3)
    assert len(_taken(tape)) == 1


def test_logical_messages_count_among_the_events() -> None:
    """An application's own message does not make its transaction look incomplete (FM-48)."""
    tape = _tape()
    tape.snapshot()
    xid = tape.begin()
    tape.feed.append(lambda offset: MessageEvent(offset=offset, xid=xid, order=1))
    tape.piece(2, NOTE)
    tape.end(2)
    assert len(_taken(tape)) == 2


def test_a_record_that_cannot_be_read_stops() -> None:
    """It is never skipped (FM-68)."""
    tape = _tape()
    tape.feed.append(lambda offset: Unreadable(offset=offset, reason="a placeholder"))
    with pytest.raises(ArchiverStopped, match="a placeholder"):
        _taken(tape)


def test_the_offset_is_held_at_the_first_piece_of_what_is_open() -> None:
    """A restarted reader must see the whole transaction again."""
    tape = _tape()
    tape.snapshot()
    assembler = Assembler()
    _taken(tape, assembler)
    assert assembler.open_offset is None
    begin = len(tape.feed.events)
    tape.begin()
    tape.piece(1, NOTE)
    for event in tape.feed.events[begin:]:
        assembler.take(event)
    assert assembler.open_offset == begin


@pytest.mark.parametrize("seed", range(40))
def test_restarts_anywhere_lose_nothing_and_double_nothing(seed: int) -> None:
    """However often a capture goes back to an earlier transaction's start, each is taken once, in order."""
    rng = random.Random(seed)
    tape = _tape()
    tape.snapshot()
    starts = [len(tape.feed.events)]
    for number in range(12):
        count = rng.randint(1, 4)
        tape.commit(*(insert("app.note", note_row(10 * number + n, "acme")) for n in range(count)))
        starts.append(len(tape.feed.events))
    script, events = list(range(starts[0], starts[-1])), list(tape.feed.events)
    replayed, at = [], 0
    while at < len(script):
        replayed.append(script[at])
        at += 1
        if rng.random() < 0.05:
            at = starts[rng.randrange(sum(s <= script[at - 1] for s in starts))] - starts[0]
    del tape.feed.events[starts[0] :]
    tape.feed.events += [events[number] for number in replayed]
    taken = _taken(tape)
    assert [t.xid for t in taken] == [0, *range(701, 713)]
    rows = [e for t in taken[1:] for e in t.events]
    assert len(rows) == len({e.after["id"] for e in rows if isinstance(e, RowEvent) and e.after})


def test_a_heartbeat_is_noted_with_its_transaction() -> None:
    """The archive can say how old its watermark is."""
    tape = _tape()
    tape.snapshot()
    tape.heartbeat(17)
    beat = _taken(tape)[-1].beat
    assert beat is not None
    assert (beat.beat, beat.at) == (17, heartbeat_row()["at"])
