"""Whose row is it? A row's tenant by its own column, or through the parents that its path leads to.

The index remembers, for every row that others find their tenant through, (table, key cells) to tenant. A
transaction's rows are learned shallowest first, so that a child that comes before its parent, or whose
parent goes in the same transaction, still finds it; deleted parents stay known (FM-42). What moves rows
between tenants with no event of their own (a parent re-homed) stops the archiver: it never passes unseen.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from harness.model.errors import ArchiverStopped
from harness.model.schema import ByColumn, ByPath, Schema, Shared, Table
from harness.model.values import RawRow
from harness.subject.reference.assembler import HEARTBEAT_TABLE, Transaction
from harness.subject.reference.format import SHARED, Global, Part, RowChange
from harness.subject.reference.ports import OwnerIndex, RowEvent, TruncateEvent


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction, taken apart: each tenant's part of it, and what concerns everybody."""

    parts: dict[str, Part]
    globals: tuple[Global, ...]


class Owners:
    """Finds the tenant of each row; ``index`` holds what must be remembered."""

    def __init__(self, *, schema: Schema, index: OwnerIndex) -> None:
        self._schema = schema
        self._index = index
        self._tables = {table.name: table for table in schema.tables}
        self._parent_columns = _parent_columns(schema)
        self._depth = {table.name: len(schema.path(table)) for table in schema.owned}

    def split(self, transaction: Transaction) -> Split:
        """Give each change to its tenant; raises ArchiverStopped for one that can't be given."""
        rows = [e for e in transaction.events if isinstance(e, RowEvent)]
        self._learn(rows)
        changes: dict[str, list[RowChange]] = {}
        for number, event in enumerate(rows, 1):
            for tenant, change in self._changes(event, event.order or number):
                changes.setdefault(tenant, []).append(change)
        return Split(
            parts={tenant: _part(transaction, found) for tenant, found in changes.items()},
            globals=tuple(self._globals(transaction)),
        )

    def remember(self, tenant: str, part: Part) -> None:
        """Put into the index what an archived part says about parents (rebuilding from the archive)."""
        for change in part.changes:
            table = self._tables.get(change.table)
            if table is None:
                continue  # of an older schema
            for row in (old_row(change), change.after):
                if row is not None:
                    self._put(table, row, tenant)

    def _learn(self, rows: list[RowEvent]) -> None:
        owned = [e for e in rows if e.table in self._depth]
        for event in sorted(owned, key=lambda e: self._depth[e.table]):
            table = self._tables[event.table]
            if self._parent_columns.get(table.name):
                for row in (event.before, event.after):
                    if row is not None:
                        self._put(table, row, self._tenant(table, row))

    def _put(self, table: Table, row: RawRow, tenant: str) -> None:
        for columns in self._parent_columns.get(table.name, ()):
            self._index.put(table.name, columns, _cells(table, row, columns), tenant)

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
            yield from self._moved(event, order, old, new)
        else:
            yield new or old or "", _change(event, order)

    def _require_known(self, table: str) -> None:
        if table not in self._tables and table != HEARTBEAT_TABLE:
            raise ArchiverStopped(
                f"table {table} is captured, but the schema does not say whose its rows are",
                cure="declare its tenancy, or take it out of the publication",
            )

    def _moved(self, event: RowEvent, order: int, old: str, new: str) -> Iterator[tuple[str, RowChange]]:
        """A row went to another tenant: gone from the one, new in the other. Not so for a parent."""
        if self._parent_columns.get(event.table):
            raise ArchiverStopped(
                f"a row of {event.table} went from tenant {old} to {new}, and its descendants with it:"
                f" {_key(self._tables[event.table], event.after)}",
                cure="re-homing can't be archived yet; begin a new epoch with a fresh snapshot",
            )
        table, before, after = event.table, event.before, event.after
        yield old, RowChange(order=order, table=table, op="delete", before=before)
        yield new, RowChange(order=order, table=table, op="insert", after=after)

    def _tenant(self, table: Table, row: RawRow) -> str:
        if isinstance(table.tenancy, ByColumn):
            return _cells(table, row, (table.tenancy.column,))[0]
        assert isinstance(table.tenancy, ByPath)  # owned tables only come here
        step = table.foreign_key(table.tenancy.columns)
        cells = _cells(table, row, step.columns)
        tenant = self._index.get(step.parent, step.parent_columns, cells)
        if tenant is None:
            raise ArchiverStopped(
                f"the tenant of row {_key(table, row)} of {table.name} is unknown: no parent in"
                f" {step.parent} with {dict(zip(step.parent_columns, cells, strict=True))} was ever seen",
                cure="begin a new epoch with a fresh snapshot",
            )
        return tenant

    def _globals(self, transaction: Transaction) -> Iterator[Global]:
        at = transaction.position
        if transaction.snapshot:
            yield Global(kind="snapshot", epoch=at.epoch, lsn=at.lsn)
        for event in transaction.events:
            if isinstance(event, TruncateEvent):
                yield Global(
                    kind="truncate",
                    epoch=at.epoch,
                    lsn=at.lsn,
                    xid=transaction.xid,
                    order=event.order,
                    table=event.table,
                    committed_ms=transaction.committed_ms,
                )


def old_row(change: RowChange) -> RawRow | None:
    """Return the whole image of the row before the change, None if there was none."""
    if change.op == "update":
        return {**(change.after or {}), **(change.before or {})}
    return change.before


def _parent_columns(schema: Schema) -> dict[str, set[tuple[str, ...]]]:
    """Per table, the sets of its columns by which children find their tenant."""
    found: dict[str, set[tuple[str, ...]]] = {}
    for table in schema.owned:
        for step in schema.path(table)[:1]:
            found.setdefault(step.parent, set()).add(step.parent_columns)
    return found


def _part(transaction: Transaction, changes: list[RowChange]) -> Part:
    return Part(
        epoch=transaction.position.epoch,
        lsn=transaction.position.lsn,
        xid=transaction.xid,
        changes=tuple(changes),
        committed_ms=transaction.committed_ms,
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


def _require_columns(table: Table, row: RawRow | None) -> None:
    known = {c.name for c in table.columns}
    if row is not None and not set(table.stored_columns) <= row.keys() <= known:
        raise ArchiverStopped(
            f"rows of {table.name} have columns {sorted(row)}, not those that were declared:"
            f" {sorted(c.name for c in table.columns)}",
            cure="a DDL can't be archived yet: begin a new epoch with the new schema",
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
