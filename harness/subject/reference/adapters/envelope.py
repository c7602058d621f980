"""One Debezium record to feed events: the envelope's shape, and values by the declared types. Pure.

A snapshot has no BEGIN and no END here: a row of a table that was begun before, or a first row where one
was already, tells that the snapshot began again; its last row, or anything streamed, tells that it ended.
Rows of infrastructure tables only count, so their values are not looked at; the heartbeat's are.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from harness.model.schema import Schema
from harness.model.values import RawRow
from harness.subject.reference.assembler import HEARTBEAT_TABLE
from harness.subject.reference.catalogue import altered_in
from harness.subject.reference.event_triggers import CLEAR_PREFIX, DDL_PREFIX, ROW_PREFIX
from harness.subject.reference.gone import is_gone, printed
from harness.subject.reference.ports import (
    Begin,
    End,
    FeedEvent,
    MessageEvent,
    RowEvent,
    SnapshotBegin,
    SnapshotEnd,
    TruncateEvent,
    Unreadable,
)
from harness.subject.reference.readers import BadValue, Json, ToText
from harness.subject.reference.shapes import Altered
from harness.subject.reference.unavailable import Placeholder
from harness.subject.reference.values import converter

_OPS = {"c": "insert", "u": "update", "d": "delete", "r": "snapshot"}


class _Source(msgspec.Struct):
    schema: str = ""
    table: str = ""
    snapshot: str | None = None
    lsn: int | None = None
    tx_id: int | None = msgspec.field(name="txId", default=None)


class _Message(msgspec.Struct):
    prefix: str
    content: str


class _Told(msgspec.Struct):
    """Content of the messages that tell a table anew (``event_triggers``)."""

    table: str
    row: dict[str, str | None] | None = None


class _Place(msgspec.Struct):
    total_order: int


class _Record(msgspec.Struct):
    """The parts that we read of a row's envelope, of BEGIN and END, and of Debezium's own heartbeat."""

    op: str | None = None
    source: _Source | None = None
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    transaction: _Place | None = None
    message: _Message | None = None
    status: str | None = None
    id: str = ""
    event_count: int | None = None
    ts_ms: int | None = None


_decoder = msgspec.json.Decoder(_Record)


class Reader:
    """Turns records into events. ``placeholder`` stands in them for values that were not logged."""

    def __init__(self, *, schema: Schema, placeholder: str) -> None:
        self._placeholder = Placeholder(placeholder)
        self._schema = schema
        self._read_by_table = {
            table.name: {c.name: converter(c.type, schema) for c in table.columns}
            for table in (*schema.owned, *schema.shared)
        }
        self._counted_only = {table.name for table in schema.infrastructure}
        self._snapshot: _Snapshot | None = None

    def alter(self, altered: Iterable[Altered]) -> None:
        """Know columns that were added, renamed or got another type.

        Those of before stay known: a capture that restarts tells rows once more as they were then.
        """
        for one in altered:
            columns = self._read_by_table.get(one.now.table)
            if columns is not None:
                columns |= {c.name: converter(c.type, self._schema) for c in one.now.columns}

    def events(self, offset: int, value: bytes | None) -> Iterator[FeedEvent]:
        """Yield the events of the record at ``offset``; what can't be read is Unreadable."""
        try:
            record = _decoder.decode(value or b"{}")
            if record.op is not None and record.source is not None:
                yield from self._change(offset, record, record.source)
            elif record.status is not None:
                yield from self._boundary(offset, record)
        except (msgspec.DecodeError, BadValue, ValueError) as error:
            yield Unreadable(offset=offset, reason=str(error))

    def _boundary(self, offset: int, record: _Record) -> Iterator[FeedEvent]:
        yield from self._end_snapshot(offset)
        xid, _, lsn = record.id.partition(":")
        if record.status == "BEGIN":
            yield Begin(offset=offset, xid=int(xid))
        elif record.status == "END":
            yield End(
                offset=offset,
                xid=int(xid),
                lsn=int(lsn),
                count=record.event_count or 0,
                committed_ms=record.ts_ms,
            )
        else:
            raise BadValue(f"a transaction's status is {record.status!r}")

    def _change(self, offset: int, record: _Record, source: _Source) -> Iterator[FeedEvent]:
        if record.op == "r":
            yield from self._snapshot_row(offset, record, source)
            return
        yield from self._end_snapshot(offset)
        if record.transaction is None or source.tx_id is None:
            if record.op == "m":
                return  # a message outside of any transaction: nothing that could be restored
            raise BadValue("a change came outside of any transaction")
        xid, order = source.tx_id, record.transaction.total_order
        if record.op == "m":
            event = _message(offset, record.message, xid=xid, order=order)
            if isinstance(event, MessageEvent) and event.content:
                self.alter(altered_in(event.content))
            yield event
        elif record.op == "t":
            table = _name(source)
            yield TruncateEvent(offset=offset, xid=xid, order=order, table=table)
        else:
            yield self._row(offset, record, source, xid=xid, order=order)

    def _snapshot_row(self, offset: int, record: _Record, source: _Source) -> Iterator[FeedEvent]:
        table = _name(source)
        if self._snapshot is None or self._snapshot.repeats(table, source.snapshot or ""):
            self._snapshot = _Snapshot(source.lsn or 0)
            yield SnapshotBegin(offset=offset)
        self._snapshot.note(table, source.snapshot or "")
        if self._is_declared(table):
            yield self._row(offset, record, source, xid=0, order=0)
        if source.snapshot == "last":
            yield from self._end_snapshot(offset)

    def _end_snapshot(self, offset: int) -> Iterator[FeedEvent]:
        if self._snapshot is not None:
            lsn, self._snapshot = self._snapshot.lsn, None
            yield SnapshotEnd(offset=offset, lsn=lsn)

    def _row(self, offset: int, record: _Record, source: _Source, *, xid: int, order: int) -> RowEvent:
        op = _OPS.get(record.op or "")
        if op is None:
            raise BadValue(f"an event of the unknown kind {record.op!r}")
        table = _name(source)
        return RowEvent(
            offset=offset,
            xid=xid,
            order=order,
            table=table,
            op=op,  # type: ignore[arg-type]  # the table above holds the literal's members
            before=self._image(table, record.before),
            after=self._image(table, record.after),
        )

    def _is_declared(self, table: str) -> bool:
        """Whether a table is ours. A snapshot also reads leaves and tables that nobody published."""
        known = table in self._read_by_table or table in self._counted_only
        return known or table == HEARTBEAT_TABLE

    def _image(self, table: str, row: dict[str, Json] | None) -> RawRow | None:
        if row is None:
            return None
        if table == HEARTBEAT_TABLE:
            return {column: None if cell is None else str(cell) for column, cell in row.items()}
        columns = self._read_by_table.get(table)
        if columns is None:
            return {}
        return {name: self._cell(table, name, columns.get(name), row[name]) for name in row}

    def _cell(self, table: str, column: str, read: ToText | None, value: Json) -> str | None:
        if value is None:
            return None
        if read is None:
            raise BadValue(f"{table}.{column} has a type that can't be carried, or is not declared")
        if self._placeholder.is_in(value):
            raise BadValue(
                f"{table}.{column} came without its value (an unchanged TOAST value, FM-37): the"
                " table's replica identity is not FULL"
            )
        try:
            return printed(value) if is_gone(value) else read(value)
        except BadValue as error:
            raise BadValue(f"{table}.{column}: {error}") from None


class _Snapshot:
    """What was seen of a snapshot so far: it goes table by table, and comes to none twice."""

    def __init__(self, lsn: int) -> None:
        self.lsn = lsn
        self._tables: set[str] = set()
        self._current = ""

    def repeats(self, table: str, mark: str) -> bool:
        begins = table != self._current or mark.startswith("first")
        return begins and table in self._tables

    def note(self, table: str, mark: str) -> None:
        self._tables.add(table)
        self._current = "" if mark.startswith("last") else table


def _message(
    offset: int, message: _Message | None, *, xid: int, order: int
) -> MessageEvent | RowEvent | TruncateEvent:
    """Read a logical message: of DDL, of a table told anew, or of somebody else's, which only counts."""
    prefix = message.prefix if message is not None else ""
    if message is None or prefix not in (DDL_PREFIX, CLEAR_PREFIX, ROW_PREFIX):
        return MessageEvent(offset=offset, xid=xid, order=order)
    content = base64.b64decode(message.content)
    if prefix == DDL_PREFIX:
        return MessageEvent(offset=offset, xid=xid, order=order, content=content.decode())
    told = msgspec.json.decode(content, type=_Told)
    if prefix == CLEAR_PREFIX:
        return TruncateEvent(offset=offset, xid=xid, order=order, table=told.table)
    return RowEvent(offset=offset, xid=xid, order=order, table=told.table, op="snapshot", after=told.row)


def _name(source: _Source) -> str:
    return f"{source.schema}.{source.table}"
