"""Change capture in memory: a connector that follows the WAL, and the topic that it fills.

The topic is what Kafka would hold: BEGIN, row events with full images, END, in commit order, each with an
offset; heartbeat rows travel among them. A reader begins at the committed offset, so that one that was
killed reads again what it had not yet committed. The connector begins with a snapshot; one that has lost
its offsets takes one by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Final, Literal

import msgspec

from harness.model.values import RawRow
from harness.simulate.latency import Latency
from harness.simulate.life import Life
from harness.simulate.server import Committed, Server, Written
from harness.simulate.switches import Cut, Wire
from harness.subject.reference.ports import (
    Begin,
    End,
    FeedEvent,
    FeedStart,
    FeedUnavailable,
    MessageEvent,
    RowEvent,
    SnapshotBegin,
    SnapshotEnd,
    TruncateEvent,
)
from harness.subject.reference.shapes import Altered

HEARTBEAT_TABLE = "restoreproof.heartbeat"
BEGINS_S: Final = 0.6
"""So long after it noted its position a snapshot beside an existing slot begins to read (FM-82)."""

_WALL_START_MS = 1_767_600_000_000
_Kind = Literal["insert", "update", "delete", "snapshot", "truncate", "message"]
_Change = tuple[str, _Kind, RawRow | None, RawRow | None]
"""Table (of a message its content), kind, images before and after."""


class Topic:
    """An ordered log with one reader group; ``committed`` is where a reader begins.

    ``came_s``: when each event came, on the loop's clock.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.events: list[FeedEvent] = []
        self.came_s: list[float] = []
        self.committed = 0
        self.grew = asyncio.Event()

    def publish(self, events: Sequence[FeedEvent]) -> None:
        """Append events that were numbered from ``len(self.events)`` on."""
        self.events.extend(events)
        self.came_s.extend([asyncio.get_running_loop().time()] * len(events))
        self.grew.set()


class SimulatedFeed:
    """One reader of a topic, as long as its process lives (``reference.ports.Feed``)."""

    def __init__(self, topic: Topic, latency: Latency, life: Life, wire: Wire | None = None) -> None:
        self._topic = topic
        self._latency = latency
        self._life = life
        self._wire = wire or Wire(latency.clock)
        self._next = topic.committed

    async def start(self) -> FeedStart:
        """Begin at the committed offset."""
        await self._life.wait(self._carry())
        self._next = self._topic.committed
        return FeedStart(feed=self._topic.name, offset=self._next)

    async def read(self, *, limit: int, wait_s: float) -> Sequence[FeedEvent]:
        """Return up to ``limit`` events, waiting at most ``wait_s`` for the first."""
        await self._life.wait(self._carry())
        await self._life.wait(self._until_there(wait_s))
        events = self._topic.events[self._next : self._next + limit]
        self._next += len(events)
        return events

    def alter(self, altered: Sequence[Altered]) -> None:
        """Nothing to be known: values are text already."""

    async def commit(self, offset: int) -> None:
        """Remember ``offset`` for the next reader."""
        await self._life.wait(self._carry())
        self._topic.committed = offset

    async def _carry(self) -> None:
        await self._latency.statement()
        try:
            await self._wire.ask()
            await self._wire.answer()
        except Cut as cut:
            raise FeedUnavailable(str(cut)) from None

    async def _until_there(self, wait_s: float) -> None:
        if self._next < len(self._topic.events):
            return
        self._topic.grew.clear()
        try:
            async with asyncio.timeout(wait_s):
                await self._topic.grew.wait()
        except TimeoutError:
            return


class Connector:
    """Follows one server's WAL into a topic, a little late, beginning with a snapshot."""

    def __init__(self, server: Server, topic: Topic, latency: Latency) -> None:
        self._server = server
        self.topic = topic
        self._latency = latency
        self._first = self._done = len(server.wal)
        self._has_offsets = True

    async def run(self) -> None:
        """Capture until the server dies (or the task is cancelled)."""
        self.snapshot()
        await self.stream()

    async def stream(self) -> None:
        """Follow the WAL from where the last one stopped, never ahead of the standby."""
        while self._server.alive:
            if not self._has_offsets:
                await self.begin_anew()
            await self._server.wal_grew.wait()
            self._server.wal_grew.clear()
            await self._latency.capture()
            await self.caught_up()
            if self._server.alive:
                self.capture()

    async def caught_up(self) -> None:
        """Wait until the standby has all there is: nothing is captured before (FM-20)."""
        server = self._server
        await server.standby.caught_up(server.wal[-1].lsn if server.wal else 0)

    def resume(self, server: Server, *, again: int) -> None:
        """Go on at ``server``, whose WAL is that of the one before; the last ``again`` come once more.

        A promoted standby may lack the end of that WAL.
        """
        self._server = server
        self._done = max(self._first, min(self._done, len(server.wal)) - again)
        server.wal_grew.set()

    def forget(self) -> None:
        """Lose the offsets."""
        self._has_offsets = False

    async def begin_anew(self) -> None:
        """Take a snapshot beside the old slot, as a connector without offsets does by itself.

        Its rows are younger than its position; what was committed in between comes once more after it. None
        comes of it when the server dies meanwhile: the next one is asked.
        """
        lsn, done = self._server.lsn, len(self._server.wal)
        await self._latency.clock.sleep(BEGINS_S)
        if not self._server.alive:
            return
        self.begin_snapshot(self.rows())
        self.topic.publish([SnapshotEnd(offset=len(self.topic.events), lsn=lsn)])
        self._done, self._has_offsets = done, True
        self._server.wal_grew.set()

    def on_new_slot(self, server: Server) -> None:
        """Begin at the end of the WAL of ``server``: a snapshot of a new slot comes next."""
        self._server, self._has_offsets = server, True
        self._first = self._done = len(server.wal)

    def snapshot(self) -> None:
        """Emit all rows and the heartbeat row as one snapshot of a new slot, exact as of now."""
        lsn = self._server.lsn
        self.begin_snapshot(self.rows())
        self.topic.publish([SnapshotEnd(offset=len(self.topic.events), lsn=lsn)])

    def rows(self) -> list[tuple[str, RawRow]]:
        """Return what a snapshot holds: table and row, the heartbeat row last."""
        view = self._server.snapshot(decoded=True)
        unpublished = self._server.built.unpublished
        rows = [(t, row) for t, of in view.items() if t not in unpublished for row in of.values()]
        return [*rows, (HEARTBEAT_TABLE, self._server.heartbeat)]

    def begin_snapshot(self, rows: Sequence[tuple[str, RawRow]]) -> None:
        """Emit the beginning of a snapshot and these rows."""
        first = len(self.topic.events)
        events: list[FeedEvent] = [SnapshotBegin(offset=first)]
        events += [
            RowEvent(offset=first + n, xid=0, order=0, table=table, op="snapshot", after=row)
            for n, (table, row) in enumerate(rows, 1)
        ]
        self.topic.publish(events)

    def capture(self) -> None:
        """Emit what was committed since the last call."""
        new = self._server.wal[self._done :]
        self._done = len(self._server.wal)
        if new:
            self.publish(new)

    def publish(self, transactions: Sequence[Committed]) -> None:
        """Append transactions to the topic."""
        offsets = count(len(self.topic.events))
        self.topic.publish([event for one in transactions for event in events_of(one, offsets)])


def events_of(one: Committed, offsets: Iterator[int]) -> Iterator[FeedEvent]:
    """Return the events of one transaction, numbered from ``offsets``."""
    yield Begin(offset=next(offsets), xid=one.xid)
    changes = _all_changes(one)
    for order, (table, op, before, after) in enumerate(changes, 1):
        if op == "truncate":
            yield TruncateEvent(offset=next(offsets), xid=one.xid, order=order, table=table)
        elif op == "message":
            yield MessageEvent(offset=next(offsets), xid=one.xid, order=order, content=table)
        else:
            yield RowEvent(
                offset=next(offsets),
                xid=one.xid,
                order=order,
                table=table,
                op=op,
                before=before,
                after=after,
            )
    yield End(
        offset=next(offsets),
        xid=one.xid,
        lsn=one.lsn,
        count=len(changes),
        committed_ms=_WALL_START_MS + int(one.at_s * 1000),
    )


def _all_changes(one: Committed) -> list[_Change]:
    """Return what the WAL tells of a transaction: each row's change, and each truncated table once."""
    changes: list[_Change] = []
    truncated: set[str] = set()
    for written in one.written:
        if not written.told:
            continue
        if written.op != "truncate":
            changes += _changes(written)
        elif written.table.name not in truncated:
            truncated.add(written.table.name)
            changes.append((written.table.name, "truncate", None, None))
    if one.heartbeat is not None:
        changes.append((HEARTBEAT_TABLE, "update", None, one.heartbeat))
    return [*changes, *_ddl(one)]


def _ddl(one: Committed) -> Iterator[_Change]:
    """Return what event triggers tell: each command, tables anew, and the digest at the end."""
    for ddl in one.ddl:
        if ddl.dropped:
            yield _message(tag=ddl.tag, dropped=ddl.dropped)
        for table, rows in ddl.anew.items():
            yield (table, "truncate", None, None)
            yield from ((table, "snapshot", None, row) for row in rows)
    if one.ddl:
        yield _message(tag=one.ddl[-1].tag, catalogue=one.catalogue)


def _message(**content: object) -> _Change:
    return (msgspec.json.encode(content).decode(), "message", None, None)


def _changes(one: Written) -> list[_Change]:
    """Return the events of one change: an update of the key is a delete and an insert."""
    if one.op == "update" and one.key_before != one.key_after:
        return [
            (one.table.name, "delete", one.before, None),
            (one.table.name, "insert", None, one.after),
        ]
    assert one.op in ("insert", "update", "delete")  # no other is told row by row
    return [(one.table.name, one.op, one.before, one.after)]
