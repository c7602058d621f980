"""Writers' and operators' sessions on Postgres: the drive's ports over one connection each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.drive.ports import Ack, Ready, Refused
from harness.model.history import Change, Sight
from harness.model.plan import ScriptTransaction
from harness.model.position import parse_lsn
from harness.model.schema import ForeignKey, Infrastructure, Schema, Table
from harness.model.values import Key, RawRow, key_of, row_key, to_image
from harness.stack.world import statements
from harness.stack.world.connection import Connection
from harness.stack.world.right_of_way import RightOfWay
from harness.stack.world.text import array

_COUNTS = """
SELECT s.relid AS oid, n.nspname || '.' || c.relname AS "table",
       s.n_tup_del AS deleted, s.n_tup_upd AS updated
FROM pg_stat_xact_user_tables AS s
JOIN pg_class AS c ON c.oid = coalesce(pg_partition_root(s.relid), s.relid)
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE s.n_tup_del + s.n_tup_upd > 0
"""

_ABSENT = """
SELECT t.name FROM unnest(%s::text[], %s::text[]) AS t (quoted, name) WHERE to_regclass(t.quoted) IS NULL
"""

_OWNER = statements.OWNER
_BEGIN, _SERIALIZABLE = "BEGIN", "BEGIN ISOLATION LEVEL SERIALIZABLE"

Counts = dict[str, tuple[str, int, int]]
"""Relation's id to (table, rows deleted, rows updated); a leaf counts for its root."""


class _Transactions:
    """What writers' and operators' sessions share: one connection and its transactions."""

    def __init__(self, connection: Connection, schema: Schema) -> None:
        self._connection = connection
        self._schema = schema
        self._gone: set[str] = set()
        self._told = [
            table
            for table in schema.infrastructure
            if isinstance(table.tenancy, Infrastructure) and table.tenancy.xid_column
        ]

    async def ready(self) -> Ready:
        """Read xid, position and trigger-written rows in one round trip, mostly by one statement."""
        there = [table for table in self._told if table.name not in self._gone]
        stated, *told = await self._connection.run_together(_state_queries(there))
        (xid, lsn), *_ = [(row.pop(statements.XID), row.pop(statements.LSN)) for row in stated]
        return Ready(
            xid=int(xid or 0),
            lsn_lower=parse_lsn(lsn or ""),
            changes=tuple(
                Change(op="insert", key=row_key(table.name, key_of(row, table.key)), row=to_image(row))
                for table, rows in zip(there, [stated, *told], strict=False)
                for row in rows
                if row[table.key[0]] is not None
            ),
        )

    async def commit(self) -> Ack:
        return await self._connection.commit()

    async def reset(self) -> None:
        await self._connection.reset()

    async def close(self) -> None:
        await self._connection.close()


class PostgresSession(_Transactions):
    """A writer's connection (``drive.ports.Session``).

    What a deletion takes with it by cascade is read before, and told with what triggers wrote: a row that
    came back with a restore may lie below one that a writer believes to be without children.
    """

    def __init__(self, connection: Connection, schema: Schema) -> None:
        super().__init__(connection, schema)
        self._cascaded: dict[tuple[str, Key], Change] = {}

    async def begin(self, *, serializable: bool = False) -> None:
        await self._connection.run_script(_SERIALIZABLE if serializable else _BEGIN)
        self._cascaded = {}

    async def ready(self) -> Ready:
        ready = await super().ready()
        return Ready(
            xid=ready.xid, lsn_lower=ready.lsn_lower, changes=(*self._cascaded.values(), *ready.changes)
        )

    async def insert(self, table: Table, values: Mapping[str, str | None]) -> RawRow:
        cursor = await self._connection.run(statements.insert(table, tuple(values)), tuple(values.values()))
        return _only(await cursor.fetchone())

    async def copy(
        self, table: Table, columns: Sequence[str], rows: Sequence[Sequence[str | None]]
    ) -> list[RawRow]:
        if not set(table.key) <= set(columns):
            raise Refused(f"a bulk load of {table.name} must give the key {table.key}")
        await self._connection.copy(statements.copy_in(table, columns), rows)
        places = [tuple(columns).index(name) for name in table.key]
        keys = [array(row[place] for row in rows) for place in places]
        cursor = await self._connection.run(statements.by_keys(table), keys)
        return await cursor.fetchall()

    async def update(
        self, table: Table, key: Mapping[str, str], values: Mapping[str, str | None]
    ) -> RawRow | None:
        query = statements.update(table, tuple(key), tuple(values))
        cursor = await self._connection.run(query, (*values.values(), *key.values()))
        return await cursor.fetchone()

    async def delete(self, table: Table, key: Mapping[str, str]) -> bool:
        """Delete a row; note, in the same round trip, the rows below that go with it."""
        paths, wanted = cascades(self._schema, table), tuple(key.values())
        below = [(statements.keys_below(table, tuple(key), path), wanted) for path in paths]
        lock = [(statements.lock(table, tuple(key)), wanted)] if paths else []
        delete = (statements.delete(table, tuple(key)), wanted)
        *found, deleted = await self._connection.run_together([*lock, *below, delete])
        for path, rows in zip(paths, found[1:], strict=True):
            child = path[-1][0]
            for row in rows:
                gone = key_of(row, child.key)
                self._cascaded[child.name, gone] = Change(op="delete", key=row_key(child.name, gone))
        return bool(deleted)

    async def rollback(self) -> None:
        await self._connection.run_script("ROLLBACK")


class PostgresOperator(_Transactions):
    """The connection on which a script runs (``drive.ports.OperatorSession``).

    The statistics of a session's tables still hold counts of its earlier transactions until they are
    flushed, so what a transaction did is the difference to what they were when it began.
    """

    def __init__(self, connection: Connection, schema: Schema, right_of_way: RightOfWay) -> None:
        super().__init__(connection, schema)
        self._right_of_way = right_of_way
        self._before: Counts = {}
        self._marks = sorted({(e.table, e.mark_column) for e in schema.script.entities if e.mark_column})

    async def begin(self) -> None:
        _, counts = await self._connection.run_together([(_BEGIN, None), (_COUNTS, None)])
        self._gone = set()
        self._before = _read(counts)

    async def run(self, transaction: ScriptTransaction) -> None:
        async with self._right_of_way.given_to(self._connection.backend_pid):
            for statement in transaction.statements:
                await self._connection.run_script(statement.sql)

    async def look(self, tenants: Sequence[str]) -> tuple[Sight, tuple[Change, ...]]:
        """Read what the transaction did so far: two round trips, whatever the number of tables."""
        names = [table.name for table in self._schema.tables]
        all_names = (array(map(statements.qualified, names)), array(names))
        _, counted, absent = await self._connection.run_together(
            [("SET CONSTRAINTS ALL IMMEDIATE", None), (_COUNTS, None), (_ABSENT, all_names)]
        )
        counts = _less(_read(counted), self._before)
        self._gone = {str(row["name"]) for row in absent}
        wanted = (array(tenants),)
        owned = [table for table in self._schema.owned if table.name not in self._gone]
        marks = [(name, column) for name, column in self._marks if name not in self._gone]
        tables = [self._schema.table(name) for name, _ in marks]
        queries = [statements.keys_of_tenants(self._schema, table) for table in owned]
        queries += [
            statements.marked_rows(self._schema, self._schema.table(name), column) for name, column in marks
        ]
        found = await self._connection.run_together([(query, wanted) for query in queries])
        left = _left(tenants, self._schema.owned, owned, found[: len(owned)])
        sight = Sight(
            left=left,
            deleted={table: n for table, (n, _) in counts.items() if n},
            updated={table: n for table, (_, n) in counts.items() if n},
        )
        return sight, tuple(_marked(tables, found[len(owned) :]))

    async def break_off(self) -> None:
        await self._connection.break_off()

    async def close(self) -> None:
        await self._right_of_way.close()
        await super().close()


def _state_queries(told: Sequence[Table]) -> list[tuple[str, None]]:
    """Return what reads xid and position, and the rows of ``told`` that this transaction wrote."""
    first = statements.state(next(iter(told), None))
    return [(first, None), *((statements.written_here(table), None) for table in told[1:])]


def cascades(schema: Schema, table: Table) -> list[tuple[tuple[Table, ForeignKey], ...]]:
    """Return all ways in which deleting from ``table`` deletes elsewhere, each as steps away from it."""
    paths: list[tuple[tuple[Table, ForeignKey], ...]] = []
    open_paths: list[tuple[tuple[Table, ForeignKey], ...]] = [()]
    while open_paths:
        path = open_paths.pop()
        last = path[-1][0] if path else table
        for child in schema.tables:
            for step in child.foreign_keys:
                new = step.parent == last.name and step.on_delete == "cascade"
                if new and child not in [known for known, _ in path]:
                    paths.append((*path, (child, step)))
                    open_paths.append((*path, (child, step)))
    return paths


def _only(row: RawRow | None) -> RawRow:
    if row is None:
        raise Refused("INSERT returned no row: a trigger or a rule of the application swallowed it")
    return row


def _read(counts: Sequence[RawRow]) -> Counts:
    return {
        str(row["oid"]): (str(row["table"]), int(row["deleted"] or 0), int(row["updated"] or 0))
        for row in counts
    }


def _less(now: Counts, before: Counts) -> dict[str, tuple[int, int]]:
    """Return by table how many rows were deleted and updated since; a leaf that is gone counts no more."""
    none, sums = ("", 0, 0), dict[str, tuple[int, int]]()
    for oid, (table, deleted, updated) in now.items():
        _, was_deleted, was_updated = before.get(oid, none)
        so_far = sums.get(table, (0, 0))
        sums[table] = (so_far[0] + deleted - was_deleted, so_far[1] + updated - was_updated)
    return sums


def _left(
    tenants: Sequence[str],
    owned: Sequence[Table],
    tables: Sequence[Table],
    found: Sequence[Sequence[RawRow]],
) -> dict[str, dict[str, tuple[Key, ...]]]:
    """Sort keys by tenant and table; a tenant without rows in an ``owned`` table has an empty tuple there.

    ``tables``: those of them that are still there, of which rows were ``found``.
    """
    left: dict[str, dict[str, list[Key]]] = {t: {table.name: [] for table in owned} for t in tenants}
    for table, rows in zip(tables, found, strict=True):
        for row in rows:
            left[str(row[_OWNER])][table.name].append(key_of(row, table.key))
    return {t: {table: tuple(keys) for table, keys in of.items()} for t, of in left.items()}


def _marked(tables: Sequence[Table], found: Sequence[Sequence[RawRow]]) -> Iterator[Change]:
    for table, rows in zip(tables, found, strict=True):
        for row in rows:
            yield Change(op="update", key=row_key(table.name, key_of(row, table.key)), row=to_image(row))
