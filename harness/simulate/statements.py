"""INSERT, UPDATE, DELETE and COMMIT on the simulated server: locks, defaults, constraints, triggers.

Each statement first takes the locks it needs, which may let others run, and then checks and changes
without a pause. A violated constraint raises Refused; the session rolls back the whole transaction.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence

from harness.drive.ports import Conflicted, Refused
from harness.model.history import Change
from harness.model.schema import Column, ForeignKey, Table
from harness.model.values import Key, RawRow, key_of, row_key, to_image
from harness.simulate.locks import Hold
from harness.simulate.server import Ddl, Server, Work, Written
from harness.simulate.storage import TableStore, cells_of, generated, leaf_of


class Statements:
    """Statements on one server. ``triggers`` False: as with session_replication_role = replica."""

    def __init__(self, server: Server, *, triggers: bool = True) -> None:
        self.server = server
        self._triggers = triggers

    async def insert(
        self, work: Work, table: Table, values: Mapping[str, str | None], *, forced: bool = False
    ) -> RawRow:
        """Add a row and return its image. ``forced``: identity columns take the client's values too."""
        await self._enter(work, table.name)
        row = self._filled(work, table, values, forced=forced)
        self._demand_leaf(table, row)
        self._demand_not_null(table, row)
        await self._own_uniques(work, table, row)
        await self._refer(work, table, row, deferrable=False)
        self._demand_unique(table, row, but=None)
        self._demand_parents(table, row, deferrable=False)
        self._write(work, Written(table=table, op="insert", after=row))
        return row

    async def update(
        self, work: Work, table: Table, key: Key, values: Mapping[str, str | None]
    ) -> RawRow | None:
        """Change the row with that key; None when there is no such row."""
        store = self._store(table)
        rekeyed = any(set(values) & set(columns) for columns in store.uniques)
        item = (table.name, table.key, key)
        await self._enter(work, table.name)
        await self.server.locks.take(work, item, Hold.OWN if rekeyed else Hold.CHANGE)
        _demand_fresh(work, table, key)
        before = store.rows.get(key)
        if before is None:
            return None
        self._demand_known(table, values)
        after = generated(table, {**before, **values})
        self._demand_leaf(table, after)
        self._demand_not_null(table, after)
        if rekeyed:
            await self._own_uniques(work, table, before)
            await self._own_uniques(work, table, after)
        await self._refer(work, table, after, deferrable=False, before=before)
        self._demand_unique(table, after, but=key)
        self._demand_parents(table, after, deferrable=False, before=before)
        self._write(work, Written(table=table, op="update", before=before, after=after))
        if rekeyed:
            self._demand_no_orphans([(table, before)])
        return after

    async def update_together(
        self, work: Work, rows: Sequence[tuple[Table, Key, Mapping[str, str | None]]]
    ) -> None:
        """Change rows, keys included, in one statement; constraints are checked once all are changed."""
        for table, key, _ in rows:
            await self._enter(work, table.name)
            await self.server.locks.take(work, (table.name, table.key, key), Hold.OWN)
        changes = [
            (table, before, generated(table, {**before, **values}))
            for table, key, values in rows
            if (before := self._store(table).rows.get(key)) is not None
        ]
        for table, before, after in changes:
            await self._own_uniques(work, table, before)
            await self._own_uniques(work, table, after)
        for table, before, after in changes:
            self._demand_unique(table, after, but=key_of(before, table.key))
            self._write(work, Written(table=table, op="update", before=before, after=after))
        for table, _, after in changes:
            await self._refer(work, table, after, deferrable=False)
            self._demand_parents(table, after, deferrable=False)
        self._demand_no_orphans([(table, before) for table, before, _ in changes])

    async def delete(self, work: Work, rows: Iterable[tuple[Table, Key]]) -> list[tuple[Table, RawRow]]:
        """Delete these rows and what cascades from them, in that order; return what was deleted."""
        doomed: dict[tuple[str, Key], Table] = {}
        pending = list(rows)
        while pending:
            for table, key in pending:
                await self._doom(work, table, key, doomed)
            pending = [] if work.unchecked else self._cascades(doomed)
        gone = [(table, self._store(table).rows[key]) for (_, key), table in doomed.items()]
        for table, row in gone:
            self._write(work, Written(table=table, op="delete", before=row))
        if not work.unchecked:
            self._demand_no_orphans(gone)
        return gone

    async def truncate(self, work: Work, tables: Iterable[Table]) -> None:
        """Empty whole tables, once nobody else works on them; no trigger fires for a row."""
        chosen = list(tables)
        for table in chosen:
            await self.server.locks.take(work, (table.name, (), ()), Hold.OWN)
        for table in reversed(chosen):
            for row in list(self._store(table).rows.values()):
                self.server.apply(work, Written(table=table, op="truncate", before=row))

    async def drop(self, work: Work, tables: Iterable[Table], tag: str) -> None:
        """Drop whole tables with their rows, once nobody else works on them; nothing may refer to them."""
        chosen = list(tables)
        for table in chosen:
            await self.server.locks.take(work, (table.name, (), ()), Hold.OWN)
            self._demand_there(table.name)
        for table in reversed(chosen):
            for row in list(self._store(table).rows.values()):
                self.server.apply(work, Written(table=table, op="drop", before=row))
        names = tuple(table.name for table in chosen)
        self.server.change(work, Ddl(tag=tag, dropped=names))
        self.server.built.gone |= {*names}
        self.server.built.unpublished |= {*names}

    async def detach(self, work: Work, table: Table, leaf: int) -> None:
        """Take one leaf of a partitioned table away with its rows; what stays is told anew."""
        await self.server.locks.take(work, (table.name, (), ()), Hold.OWN)
        self._demand_there(table.name)
        rows = self._store(table).rows
        for row in [row for row in rows.values() if leaf_of(table, row) == leaf]:
            self.server.apply(work, Written(table=table, op="drop", before=row))
        self.server.change(work, Ddl(tag="ALTER TABLE", anew={table.name: tuple(rows.values())}))
        self.server.built.lost.add((table.name, leaf))

    async def _enter(self, work: Work, table: str) -> None:
        """Keep the table from being truncated while this transaction works on it."""
        await self.server.locks.take(work, (table, (), ()), Hold.REFER)
        self._demand_there(table)

    def _demand_there(self, table: str) -> None:
        if table in self.server.built.gone:
            raise Refused(f'relation "{table}" does not exist')

    def _demand_leaf(self, table: Table, row: RawRow) -> None:
        leaf = leaf_of(table, row)
        if leaf is not None and (table.name, leaf) in self.server.built.lost:
            raise Refused(f'no partition of relation "{table.name}" found for row')

    async def settle(self, work: Work) -> None:
        """Check what was deferred to COMMIT."""
        if work.unchecked:
            return
        for one in tuple(work.written):
            store = self._store(one.table)
            if one.after is not None and store.rows.get(key_of(one.after, one.table.key)) is one.after:
                await self._refer(work, one.table, one.after, deferrable=True, before=one.before)
                self._demand_parents(one.table, one.after, deferrable=True, before=one.before)
        removed = [(one.table, one.before) for one in work.written if one.before is not None]
        self._demand_no_orphans(removed, deferrable=True)

    async def _doom(self, work: Work, table: Table, key: Key, doomed: dict[tuple[str, Key], Table]) -> None:
        await self._enter(work, table.name)
        await self.server.locks.take(work, (table.name, table.key, key), Hold.OWN)
        _demand_fresh(work, table, key)
        row = self._store(table).rows.get(key)
        if row is not None and (table.name, key) not in doomed:
            await self._own_uniques(work, table, row)
            doomed[table.name, key] = table

    def _cascades(self, doomed: dict[tuple[str, Key], Table]) -> list[tuple[Table, Key]]:
        return [
            (child, child_key)
            for (_, key), table in doomed.items()
            for child, foreign_key, child_key in self.server.built.children(
                table, self._store(table).rows[key]
            )
            if foreign_key.on_delete == "cascade" and (child.name, child_key) not in doomed
        ]

    def _filled(
        self, work: Work, table: Table, values: Mapping[str, str | None], *, forced: bool
    ) -> RawRow:
        self._demand_known(table, values)
        row: RawRow = {}
        for column in table.columns:
            if column.name not in values:
                row[column.name] = self._default(work, table, column)
            elif column.given_by == "identity" and not forced:
                raise Refused(f'cannot insert a value into identity column "{column.name}"')
            else:
                row[column.name] = values[column.name]
        return generated(table, row)

    def _default(self, work: Work, table: Table, column: Column) -> str | None:
        if column.given_by in ("identity", "serial"):
            return self.server.built.draw(f"{table.name}.{column.name}")
        if column.given_by != "default":
            return None
        match column.type:
            case "xid8":
                return str(work.xid)
            case "uuid":
                self.server.lsn += 1
                return str(uuid.UUID(int=(work.xid << 64) | self.server.lsn, version=4))
            case "jsonb" | "json":
                return "{}"
        return None if column.nullable else "0"

    def _store(self, table: Table) -> TableStore:
        return self.server.built.tables[table.name]

    async def _own_uniques(self, work: Work, table: Table, row: RawRow) -> None:
        for columns in self._store(table).uniques:
            if (cells := cells_of(row, columns)) is not None:
                await self.server.locks.take(work, (table.name, columns, cells), Hold.OWN)

    async def _refer(
        self, work: Work, table: Table, row: RawRow, *, deferrable: bool, before: RawRow | None = None
    ) -> None:
        """Keep the parents of ``row`` from going; those that it had ``before`` need no check."""
        for foreign_key in table.foreign_keys:
            cells = cells_of(row, foreign_key.columns)
            if before is not None and cells == cells_of(before, foreign_key.columns):
                continue
            if cells is not None and foreign_key.deferrable == deferrable:
                await self._enter(work, foreign_key.parent)
                item = (foreign_key.parent, foreign_key.parent_columns, cells)
                await self.server.locks.take(work, item, Hold.REFER)

    def _demand_known(self, table: Table, values: Mapping[str, str | None]) -> None:
        known = self._store(table).columns
        for name in values:
            if name not in known:
                raise Refused(f'column "{name}" of "{table.name}" does not exist')
            if known[name].given_by == "generated":
                raise Refused(f'cannot write to generated column "{name}"')

    def _demand_not_null(self, table: Table, row: RawRow) -> None:
        for name in self._store(table).not_null:
            if row[name] is None:
                raise Refused(f'null value in column "{name}" of "{table.name}"')

    def _demand_unique(self, table: Table, row: RawRow, *, but: Key | None) -> None:
        store = self._store(table)
        for columns in store.uniques:
            cells = cells_of(row, columns)
            holder = None if cells is None else store.holder(columns, cells)
            if holder is not None and holder != but:
                raise Refused(f"duplicate key in {table.name}: {columns} = {cells}")

    def _demand_parents(
        self, table: Table, row: RawRow, *, deferrable: bool, before: RawRow | None = None
    ) -> None:
        """Raise Refused when a parent is missing; one that the row had ``before`` is not looked for."""
        missing = self.server.built.missing_parent(table, row, deferrable=deferrable)
        if missing is None or _refers_to_itself(table, missing, row):
            return
        if before is None or cells_of(row, missing.columns) != cells_of(before, missing.columns):
            cells = cells_of(row, missing.columns)
            raise Refused(f"{table.name}: {missing.columns} = {cells} is not in {missing.parent}")

    def _demand_no_orphans(
        self, removed: Iterable[tuple[Table, RawRow]], *, deferrable: bool = False
    ) -> None:
        """Raise Refused when a row still refers to one that is gone (or has other cells by now)."""
        storage = self.server.built
        for table, row in removed:
            for child, foreign_key, child_key in storage.children(table, row):
                cells = cells_of(row, foreign_key.parent_columns)
                assert cells is not None  # or it would have no children
                gone = storage.parent_key(foreign_key, cells) is None
                if gone and foreign_key.deferrable == deferrable:
                    raise Refused(f"{child.name} {child_key} still refers to {table.name} {cells}")

    def _write(self, work: Work, one: Written) -> None:
        self.server.apply(work, one)
        if self._triggers and not work.unchecked:
            self._fire(work, one)

    def _fire(self, work: Work, one: Written) -> None:
        """Write the outbox row that a trigger on the busiest table makes of each of its changes."""
        for outbox in self.server.built.told.get(one.table.name, ()):
            image = one.after or one.before or {}
            values = _told(outbox, one, key_of(image, one.table.key))
            row = self._filled(work, outbox, values, forced=False)
            self.server.apply(work, Written(table=outbox, op="insert", after=row))
            key = key_of(row, outbox.key)
            work.triggered.append(Change(op="insert", key=row_key(outbox.name, key), row=to_image(row)))


def _demand_fresh(work: Work, table: Table, key: Key) -> None:
    """Raise Conflicted when a serializable transaction would change what another one has since it began."""
    if work.stale and (table.name, key) in work.stale:
        raise Conflicted(f"could not serialize access due to concurrent update of {table.name} {key}")


def _told(outbox: Table, one: Written, key: Key) -> dict[str, str | None]:
    """Return what the trigger puts into the columns that no default fills: texts and numbers."""
    given = [c for c in outbox.columns if c.given_by == "client"]
    return {c.name: f"{one.table.name} {one.op}" if c.type == "text" else key[-1] for c in given}


def _refers_to_itself(table: Table, foreign_key: ForeignKey, row: RawRow) -> bool:
    return foreign_key.parent == table.name and cells_of(row, foreign_key.columns) == cells_of(
        row, foreign_key.parent_columns
    )
