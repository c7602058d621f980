"""Whose row is it? A row's tenant by its own column, or through the parents that its path leads to.

``homes`` remembers the rows that others find their tenant through. A transaction's rows are learned before
any is given away, so that a child that comes before its parent, or whose parent goes in the same
transaction, still finds it; deleted parents stay known (FM-42). A row that changes hands (FM-41) is a
delete for the one tenant and an insert for the other, each naming the other; descendants that moved with
it, by no event of their own, are in ``Rehome`` entries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import msgspec

from harness.model.errors import ArchiverStopped
from harness.model.schema import ByColumn, ByPath, Schema, Shared, Table
from harness.model.values import RawRow
from harness.subject.reference.assembler import HEARTBEAT_TABLE, Transaction
from harness.subject.reference.catalogue import Told, told_in
from harness.subject.reference.format import SHARED, Global, Part, Rehome, RowChange
from harness.subject.reference.homes import Homes
from harness.subject.reference.ports import OwnerIndex, RowEvent, TruncateEvent
from harness.subject.reference.repair import RESNAPSHOT
from harness.subject.reference.shapes import Altered, objection, shaped


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction, taken apart: each tenant's part of it, and what concerns everybody."""

    parts: dict[str, Part]
    globals: tuple[Global, ...]


class Owners:
    """Finds the tenant of each row; ``index`` holds what must be remembered."""

    def __init__(self, *, schema: Schema, index: OwnerIndex) -> None:
        self._schema = schema
        self._homes = Homes(schema=schema, index=index)
        self._tables = {table.name: table for table in schema.tables}

    def split(self, transaction: Transaction) -> Split:
        """Give each change to its tenant; raises ArchiverStopped for one that can't be given."""
        rows = [e for e in transaction.events if isinstance(e, RowEvent)]
        rehomed = self._homes.learn(_images(rows), anew=transaction.snapshot)
        changes: dict[str, list[RowChange]] = {}
        told = told_in(transaction)
        for of, altered in _stretches(rows, told):
            for tenant, change in self._all_changes(of):
                changes.setdefault(tenant, []).append(change)
            for one in altered:
                self.alter(one)
        self._require_declared(told)
        for home in rehomed:
            for tenant in (home.origin, home.to):
                changes.setdefault(tenant, [])
        return Split(
            parts={tenant: _part(transaction, of, tenant, rehomed) for tenant, of in changes.items()},
            globals=tuple(self._globals(transaction)),
        )

    def alter(self, altered: Altered) -> None:
        """Know a table in its new shape; raises ArchiverStopped for one that can't be carried."""
        name = altered.now.table
        table = self._tables.get(altered.was.table if altered.was is not None else name)
        if table is None:
            return  # of others, or a leaf that will be attached
        if (why := objection(self._schema, table, altered)) is not None:
            raise ArchiverStopped(
                f"table {table.name} was changed by DDL that can't be carried: {why} (FM-57)",
                cure=f"mend schema.toml, then: {RESNAPSHOT}",
            )
        self._tables[name] = shaped(table, altered)

    def _require_declared(self, told: Sequence[Told]) -> None:
        """Stop at a table that a transaction left behind and nobody declared, but in others' schemas."""
        ours = {name.partition(".")[0] for name in self._tables}
        for name in (name for one in told for name in one.tables):
            if name not in self._tables and name.partition(".")[0] in ours:
                raise ArchiverStopped(
                    f"there is a table {name} now, and nobody has said whose its rows are (FM-56)",
                    cure="declare it in schema.toml, prepare the capture again (capture_sql), start anew",
                )

    def forget_shapes(self) -> None:
        """Know the tables as they are declared: a snapshot begins with that."""
        self._tables = {table.name: table for table in self._schema.tables}

    def remember(self, parts: Sequence[Part]) -> None:
        """Put into the index what archived parts say about parents (rebuilding from the archive)."""
        self._homes.remember(parts)

    def _all_changes(self, rows: Sequence[RowEvent]) -> Iterator[tuple[str, RowChange]]:
        """Yield each tenant's changes; a change of the key comes as a delete followed by an insert."""
        done = False
        for number, event in enumerate(rows):
            follows = rows[number + 1] if number + 1 < len(rows) else None
            if done:
                done = False  # it came with the delete before it
            elif follows is not None and self._is_one_row(event, follows):
                done = True
                yield from self._rekeyed(event, follows, number + 1)
            else:
                yield from self._changes(event, event.order or number + 1)

    def _is_one_row(self, gone: RowEvent, new: RowEvent) -> bool:
        """Whether a delete and the insert after it are one row, with another key now.

        It is one when it agrees in all that is neither key nor the way to its tenant; in a table that has
        nothing else, in all but that way.
        """
        table = self._tables.get(gone.table)
        if (gone.op, new.op, gone.table) != ("delete", "insert", new.table) or table is None:
            return False
        if gone.before is None or new.after is None or not table.owned:
            return False
        way = _way(table)
        others = [c for c in table.stored_columns if c not in way and c not in table.key]
        others = others or [c for c in table.stored_columns if c not in way]
        return all(gone.before.get(c) == new.after.get(c) for c in others)

    def _rekeyed(self, gone: RowEvent, new: RowEvent, number: int) -> Iterator[tuple[str, RowChange]]:
        assert gone.before is not None  # as _is_one_row saw
        assert new.after is not None
        table = self._tables[gone.table]
        for row in (gone.before, new.after):
            _require_columns(table, row)
        if self._tenant(table, gone.before) == (tenant := self._tenant(table, new.after)):
            one = msgspec.structs.replace(new, op="update", before=gone.before)
            yield tenant, _change(one, new.order or number)
        else:
            yield from self._moved(gone, new, number)

    def _changes(self, event: RowEvent, order: int) -> Iterator[tuple[str, RowChange]]:
        table = self._tables.get(event.table)
        if table is None or not (table.owned or isinstance(table.tenancy, Shared)):
            self._require_known(event.table)
            return
        _require_images(event)
        for row in (event.before, event.after):
            _require_columns(table, row)
        if not table.owned:
            yield SHARED, _change(event, order)
            return
        old = None if event.before is None else self._tenant(table, event.before)
        new = None if event.after is None else self._tenant(table, event.after)
        if old is not None and new is not None and old != new:
            yield from self._moved(event, event, order)
        else:
            yield new or old or "", _change(event, order)

    def _require_known(self, table: str) -> None:
        if table not in self._tables and table != HEARTBEAT_TABLE:
            raise ArchiverStopped(
                f"table {table} is captured, but the schema does not say whose its rows are",
                cure="declare its tenancy, or take it out of the publication",
            )

    def _moved(self, gone: RowEvent, new: RowEvent, number: int) -> Iterator[tuple[str, RowChange]]:
        """A row went to another tenant: gone from the one, new in the other."""
        table, before, after = self._tables[gone.table], gone.before, new.after
        assert before is not None  # as the callers saw
        assert after is not None
        old, now = self._tenant(table, before), self._tenant(table, after)
        became = {column: after[column] for column in table.key}
        name, order = table.name, gone.order or number
        yield old, RowChange(order=order, table=name, op="delete", before=before, moved=now, became=became)
        order = new.order or number
        yield now, RowChange(order=order, table=name, op="insert", after=after, moved=old)

    def _tenant(self, table: Table, row: RawRow) -> str:
        if isinstance(table.tenancy, ByColumn):
            return _cells(table, row, (table.tenancy.column,))[0]
        assert isinstance(table.tenancy, ByPath)  # owned tables only come here
        step = table.foreign_key(table.tenancy.columns)
        cells = _cells(table, row, step.columns)
        tenant = self._homes.tenant((step.parent, step.parent_columns, cells))
        if tenant is None:
            raise ArchiverStopped(
                f"the tenant of row {_key(table, row)} of {table.name} is unknown: no parent in"
                f" {step.parent} with {dict(zip(step.parent_columns, cells, strict=True))} was ever seen",
                cure=RESNAPSHOT,
            )
        return tenant

    def _globals(self, transaction: Transaction) -> Iterator[Global]:
        at = transaction.position
        everybodys = partial(
            Global,
            epoch=at.epoch,
            lsn=at.lsn,
            xid=transaction.xid,
            committed_ms=transaction.committed_ms,
        )
        if transaction.snapshot:
            yield everybodys(kind="snapshot")
        for event in transaction.events:
            if isinstance(event, TruncateEvent):
                yield everybodys(kind="truncate", order=event.order, table=event.table)
        for told in told_in(transaction):
            for table in told.dropped:
                if table in self._tables:
                    yield everybodys(kind="drop", order=told.order, table=table)
            for altered in told.altered:
                if altered.moves_columns and altered.now.table in self._tables:
                    name = altered.now.table
                    yield everybodys(kind="alter", order=told.order, table=name, altered=altered)
            if told.catalogue is not None:
                yield everybodys(kind="schema", order=told.order, catalogue=told.catalogue)


def _images(rows: Sequence[RowEvent]) -> Iterator[tuple[str, RawRow]]:
    for event in rows:
        for row in (event.before, event.after):
            if row is not None:
                yield event.table, row


def _way(table: Table) -> tuple[str, ...]:
    """Return the columns by which a row of an owned table finds its tenant."""
    return (table.tenancy.column,) if isinstance(table.tenancy, ByColumn) else table.tenancy.columns  # type: ignore[union-attr]


def _part(
    transaction: Transaction, changes: list[RowChange], tenant: str, rehomed: Sequence[Rehome]
) -> Part:
    return Part(
        epoch=transaction.position.epoch,
        lsn=transaction.position.lsn,
        xid=transaction.xid,
        changes=tuple(changes),
        committed_ms=transaction.committed_ms,
        rehomed=tuple(home for home in rehomed if tenant in (home.origin, home.to)),
    )


def _change(event: RowEvent, order: int) -> RowChange:
    before = event.before
    if event.op == "update" and before is not None and event.after is not None:
        after = event.after
        before = {column: cell for column, cell in before.items() if after[column] != cell}
    return RowChange(order=order, table=event.table, op=event.op, before=before, after=event.after)


def _require_images(event: RowEvent) -> None:
    if event.op in ("update", "delete") and event.before is None:
        raise ArchiverStopped(
            f"{event.op} of a row of {event.table} came without the old row (transaction {event.xid})",
            cure=f"ALTER TABLE {event.table} REPLICA IDENTITY FULL, on each of its partitions too",
        )


def _stretches(
    rows: Sequence[RowEvent], told: Sequence[Told]
) -> Iterator[tuple[list[RowEvent], tuple[Altered, ...]]]:
    """Yield the rows up to each change of a table, with that change; at last the rows after all of them."""
    left = list(rows)
    for one in told:
        if one.altered:
            yield [row for row in left if row.order < one.order], one.altered
            left = [row for row in left if row.order > one.order]
    yield left, ()


def _require_columns(table: Table, row: RawRow | None) -> None:
    if row is None or row.keys() == table.column_names:  # as nearly all are
        return
    if not set(table.stored_columns) <= row.keys() <= table.column_names:
        raise ArchiverStopped(
            f"rows of {table.name} have columns {sorted(row)}, not those that were declared:"
            f" {sorted(c.name for c in table.columns)}",
            cure=f"mend schema.toml, then: {RESNAPSHOT}",
        )


def _cells(table: Table, row: RawRow, columns: tuple[str, ...]) -> tuple[str, ...]:
    cells = tuple(row.get(column) for column in columns)
    if any(cell is None for cell in cells):
        raise ArchiverStopped(
            f"row {_key(table, row)} of {table.name} has a NULL in {columns}, which lead to its tenant",
            cure="declare those columns NOT NULL",
        )
    return cells  # type: ignore[return-value]  # narrowed by the check above


def _key(table: Table, row: RawRow | None) -> dict[str, str | None]:
    return {column: (row or {}).get(column) for column in table.key}
