"""Epochs of the archive over a failover: what is of which timeline, and what never happened."""

from __future__ import annotations

import pytest

from harness import schemas
from harness.model.errors import ArchiverStopped
from harness.model.position import Position, format_lsn
from harness.model.values import RawRow
from harness.simulate.archive_ports import MemorySource
from harness.simulate.loop import VirtualClock, run
from harness.subject.reference.assembler import HEARTBEAT_TABLE, Assembler, Transaction
from harness.subject.reference.batch import Batch
from harness.subject.reference.epochs import Epochs
from harness.subject.reference.format import Epoch, Global, Part
from harness.subject.reference.owners import Split
from harness.subject.reference.ports import (
    Begin,
    End,
    FeedEvent,
    RowEvent,
    SnapshotBegin,
    SnapshotEnd,
    Whereabouts,
)
from harness.subject.reference.where import WAIT_S_MAX, Where

SHOP = schemas.load("shop").schema
FIRST = Epoch(ordinal=1, system_id="s", timeline=1)


def heartbeat(timeline: int, fork: int | None = None, system: str = "s") -> RawRow:
    """A heartbeat row."""
    forked_at = None if fork is None else format_lsn(fork)
    row = {"id": "1", "system_id": system, "timeline": str(timeline), "beat": "1", "at": ""}
    return {**row, "forked_at": forked_at}


class Feed:
    """Gives an assembler whole transactions, and keeps what comes out of it."""

    def __init__(self, assembler: Assembler) -> None:
        self.assembler = assembler
        self.offset = 0
        self.out: list[tuple[int, int, int]] = []

    def take(self, event: FeedEvent) -> Transaction | None:
        """Take one event."""
        self.offset += 1
        return self.assembler.take(event)

    def commit(self, lsn: int, xid: int, *, row: RawRow | None = None) -> None:
        """Take a transaction with one row."""
        at, table = self.offset, HEARTBEAT_TABLE if row else "shop.merchant"
        self.take(Begin(offset=at, xid=xid))
        self.take(
            RowEvent(offset=at, xid=xid, order=1, table=table, op="update", before={}, after=row or {})
        )
        whole = self.take(End(offset=at, xid=xid, lsn=lsn, count=1))
        if whole is not None:
            self.out.append((whole.position.epoch, whole.position.lsn, whole.xid))

    def snapshot(self, lsn: int, row: RawRow) -> None:
        """Take a snapshot that holds nothing but a heartbeat."""
        self.take(SnapshotBegin(offset=self.offset))
        self.take(
            RowEvent(offset=self.offset, xid=0, order=0, table=HEARTBEAT_TABLE, op="snapshot", after=row)
        )
        self.take(SnapshotEnd(offset=self.offset, lsn=lsn))


def a_feed() -> Feed:
    """A feed on timeline 1, up to a heartbeat at 900."""
    feed = Feed(Assembler())
    feed.snapshot(800, heartbeat(1))
    feed.commit(850, 10)
    feed.commit(900, 11, row=heartbeat(1))
    return feed


def test_what_comes_before_the_first_heartbeat_of_a_timeline_is_of_that_timeline() -> None:
    """The heartbeat says where it forked off; what lies beyond was filed too early, and is filed again."""
    feed = a_feed()
    feed.commit(940, 12)
    feed.commit(960, 13)
    feed.commit(980, 14, row=heartbeat(2, fork=950))
    assert feed.out[-1] == (2, 980, 14)
    begun = feed.assembler.take_begun()
    assert begun == Epoch(ordinal=2, system_id="s", timeline=2, fork_lsn=950)
    assert feed.assembler.take_begun() is None
    batch = Batch()
    for _, lsn, xid in feed.out[-3:-1]:
        at = Position(epoch=1, lsn=lsn)
        part = Part(epoch=1, lsn=lsn, xid=xid, changes=())
        told = Global(kind="truncate", epoch=1, lsn=lsn, xid=xid, table="shop.line")
        batch.add(Transaction(xid=xid, position=at, events=()), Split(parts={"t": part}, globals=(told,)))
    batch.belongs_to(begun)
    assert [(p.epoch, p.lsn) for p in batch.parts["t"]] == [(1, 940), (2, 960)]
    assert [(g.epoch, g.lsn) for g in batch.globals] == [(1, 940), (2, 960)]
    assert batch.end == Position(epoch=2, lsn=960)


def test_a_batch_without_a_fork_stays_as_it_is() -> None:
    """The first timeline of a cluster forked off from nothing."""
    batch = Batch()
    batch.belongs_to(FIRST)
    assert batch.end is None


def test_late_transactions_of_the_old_timeline_are_filed_there() -> None:
    """What a restarted capture sends once more from before the fork is a repetition, not news."""
    feed = a_feed()
    feed.commit(980, 14, row=heartbeat(2, fork=950))
    before = len(feed.out)
    feed.commit(850, 10)
    feed.commit(980, 14, row=heartbeat(2, fork=950))
    assert len(feed.out) == before
    feed.commit(990, 15)
    assert feed.out[-1] == (2, 990, 15)


def test_a_transaction_past_the_fork_that_an_old_heartbeat_follows_is_a_ghost() -> None:
    """The old timeline's own heartbeat lies beyond the fork: the feed ran ahead of the standby (FM-20)."""
    feed = a_feed()
    feed.commit(960, 12)
    feed.commit(970, 13, row=heartbeat(1))
    with pytest.raises(ArchiverStopped, match="never happened there"):
        feed.commit(975, 14, row=heartbeat(2, fork=950))


def test_a_transaction_past_the_fork_that_never_comes_again_is_a_ghost() -> None:
    """The new timeline is read from before the fork on, and it is not there (FM-25)."""
    feed = a_feed()
    feed.commit(960, 12)
    feed.commit(900, 11, row=heartbeat(1))
    with pytest.raises(ArchiverStopped, match="never happened there"):
        feed.commit(980, 14, row=heartbeat(2, fork=950))


def test_a_transaction_past_the_fork_that_comes_again_is_none() -> None:
    """A capture that is restarted on the new timeline sends everything twice."""
    feed = a_feed()
    feed.commit(960, 12)
    feed.commit(900, 11, row=heartbeat(1))
    feed.commit(960, 12)
    feed.commit(980, 14, row=heartbeat(2, fork=950))
    assert feed.out[-1] == (2, 980, 14)


def test_a_ghost_that_is_in_the_archive_stops_an_archiver_that_is_started_again() -> None:
    """The archive ends beyond the fork of the timeline that there is now (FM-26)."""
    feed = Feed(Assembler(epochs=(FIRST,), last=Position(epoch=1, lsn=960), expects_snapshot=False))
    with pytest.raises(ArchiverStopped, match="archive resnapshot"):
        feed.commit(980, 14, row=heartbeat(2, fork=950))


def test_a_fresh_snapshot_heals_an_archive_with_a_ghost() -> None:
    """It stands for everything before it: what the message tells to do must work."""
    feed = Feed(Assembler(epochs=(FIRST,), last=Position(epoch=1, lsn=960), expects_snapshot=True))
    feed.snapshot(985, {**heartbeat(2, fork=950), "asked": "1"})
    feed.commit(990, 15)
    assert feed.out == [(2, 990, 15)]


def test_a_snapshot_after_a_failover_must_have_been_asked_for_too() -> None:
    """Its timeline is new, its cluster is not; on another cluster any snapshot is the first one (FM-82)."""

    def feed() -> Feed:
        return Feed(Assembler(epochs=(FIRST,), last=Position(epoch=1, lsn=960), asked=7))

    for lsn, number in ((985, "7"), (985, "0"), (940, "7")):
        with pytest.raises(ArchiverStopped, match="nobody asked for"):
            feed().snapshot(lsn, {**heartbeat(2, fork=950), "asked": number})
    other = feed()
    other.snapshot(5, heartbeat(1, system="other"))
    other.commit(9, 15)
    assert other.out == [(2, 9, 15)]


def test_another_cluster_forked_off_from_nothing_here() -> None:
    """Its positions begin anew and say nothing of those before."""
    epochs = Epochs((FIRST,), durable_lsn=960)
    assert epochs.beat(heartbeat(3, fork=50, system="other"), is_new=True) == 2
    assert epochs.at(20) == 2


def where_says(answers: list[Whereabouts | None], *, every_s: float = 1.0) -> list[bool]:
    """Ask several times, ``every_s`` apart, whether all is surely of the first epoch."""

    async def main() -> list[bool]:
        clock, source = VirtualClock(), MemorySource("ddl")
        where, said = Where(source, clock), []
        for answer in answers:
            source.down = answer is None
            source.whereabouts = answer or Whereabouts()
            said.append(await where.is_sure((FIRST,)))
            await clock.sleep(every_s)
        return said

    return run(main())


def test_a_batch_is_sure_while_the_database_is_where_the_feed_says() -> None:
    """Or where nothing can be said about it; another timeline, or another cluster, is news."""
    here, later = Whereabouts(system_id="s", timeline=1), Whereabouts(system_id="s", timeline=2)
    other = Whereabouts(system_id="o", timeline=1)
    assert where_says([here, later, other, Whereabouts(), here]) == [True, False, False, True, True]


def test_a_batch_waits_for_a_database_that_is_away_but_not_for_ever() -> None:
    """After a minute without an answer it is archived; an answer in between begins a new minute."""
    assert where_says([None, None, None], every_s=WAIT_S_MAX / 2 + 1) == [False, False, True]
    assert where_says([None, Whereabouts(), None, None], every_s=WAIT_S_MAX - 1) == [
        False,
        True,
        False,
        False,
    ]


def test_no_archiver_hangs_on_a_database_that_hangs() -> None:
    """An answer that is late is none, and while it is awaited nothing else is asked."""

    class Hanging(MemorySource):
        asked = 0

        async def where(self) -> Whereabouts | None:
            self.asked += 1
            await clock.sleep(2.0)
            return self.whereabouts

    clock = VirtualClock()

    async def main() -> tuple[list[bool], int]:
        source = Hanging("ddl")
        where = Where(source, clock)
        said = [await where.is_sure((FIRST,)), await where.is_sure((FIRST,))]
        await clock.sleep(3.0)
        return [*said, await where.is_sure(())], source.asked

    assert run(main()) == ([False, False, False], 2)
