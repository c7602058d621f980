"""The application's database as drives reach it: sessions by the clients' address, readings by their own.

Readings are one REPEATABLE READ transaction each, on a connection of their own; a table that does not exist
there holds no rows. The scratch database lies in the same cluster.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager

from psycopg.conninfo import make_conninfo

from harness.drive.ports import Cluster, Looked, Rows
from harness.model.errors import HarnessFailed
from harness.model.history import Place
from harness.model.schema import ByColumn, Schema, Table
from harness.model.values import RawRow
from harness.stack.world import catalogue, statements
from harness.stack.world.connection import Connection
from harness.stack.world.readings import Readings, connected
from harness.stack.world.right_of_way import RightOfWay
from harness.stack.world.session import PostgresOperator, PostgresSession
from harness.stack.world.text import array

SCRATCH = "scratch"
OPERATORS = {"deadlock_timeout": "10s"}
"""Who looks for a deadlock is its victim, and that shall be a writer. Setting this needs a grant."""

TENANTS_PER_DELETE = 16
"""How many tenants one transaction of ``clear`` removes; all of it goes through the feed, with images."""

_IDENTITY = """
SELECT (SELECT system_identifier FROM pg_control_system()) AS system_id,
       ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int AS timeline
"""
_THERE = """
SELECT to_regclass(t.name) IS NOT NULL AS found
FROM unnest(%s::text[]) WITH ORDINALITY AS t (name, place) ORDER BY t.place
"""
_SEQUENCES = """
SELECT coalesce(pg_get_serial_sequence(t.name, t.of), (
    SELECT d.refobjid::regclass::text FROM pg_attrdef AS f
    JOIN pg_attribute AS a ON a.attrelid = f.adrelid AND a.attnum = f.adnum
    JOIN pg_depend AS d ON d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid
    JOIN pg_class AS c ON c.oid = d.refobjid AND c.relkind = 'S'
    WHERE f.adrelid = t.name::regclass AND a.attname = t.of LIMIT 1)) AS name
FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS t (name, of, place) ORDER BY t.place
"""
_NEXT = """
SELECT CASE WHEN s.is_called THEN s.last_value + q.seqincrement ELSE s.last_value END AS next
FROM {name} AS s, pg_sequence AS q WHERE q.seqrelid = %s::regclass
"""


class PostgresDatabase:
    """A live database and a scratch one beside it (``drive.ports.Database``).

    ``app_dsn``: where writers go, as the owner of the tables. ``admin_dsn``: a superuser in the live
    database; it reads, and makes the scratch database.
    """

    def __init__(self, *, schema: Schema, app_dsn: str, admin_dsn: str) -> None:
        self._schema = schema
        self._app = app_dsn
        self._admin = admin_dsn
        self._readings = Readings({"live": admin_dsn, "scratch": make_conninfo(admin_dsn, dbname=SCRATCH)})

    async def cluster(self) -> Cluster:
        """Return who answers at the clients' address; raises HarnessFailed when nobody does."""
        async with connected(self._app, "say who it is") as connection:
            row = _one(await (await connection.run(_IDENTITY)).fetchone())
        return Cluster(system_id=str(row["system_id"]), timeline=int(row["timeline"] or 0))

    async def tables_there(self) -> int:
        """Return how many of the declared tables the live database has."""
        async with connected(self._admin, "look for the schema") as connection:
            return len(await _present(connection, self._schema.tables))

    async def session(self, name: str) -> PostgresSession:
        """Open a writer's session; raises ConnectionLost."""
        connection = Connection(self._app, name)
        await connection.open()
        return PostgresSession(connection, self._schema)

    async def operator(self) -> PostgresOperator:
        """Open an operator's session; raises ConnectionLost."""
        connection = Connection(self._app, "operator", settings=OPERATORS)
        await connection.open()
        watcher = Connection(self._admin, "restoreproof right of way")
        return PostgresOperator(connection, self._schema, RightOfWay(watcher))

    def readings(self) -> AbstractAsyncContextManager[None]:
        return self._readings.kept()

    async def read(self, tenants: Sequence[str], place: Place) -> dict[str, Rows]:
        async with self._readings.snapshot(place) as connection:
            return await self._read(connection, tenants)

    async def read_unowned(self, place: Place) -> Rows:
        unowned = (*self._schema.shared, *self._schema.infrastructure)
        found: Rows = {table.name: [] for table in unowned}
        async with self._readings.snapshot(place) as connection:
            for table in await _present(connection, unowned):
                cursor = await connection.run(statements.all_rows(table))
                found[table.name] = await cursor.fetchall()
        return found

    async def catalogue_digest(self, place: Place) -> str:
        async with self._readings.snapshot(place) as connection:
            return await _catalogue_digest(connection)

    async def next_values(self, place: Place) -> dict[str, int]:
        async with self._readings.snapshot(place) as connection:
            return await self._next_values(connection)

    async def look(self, tenant: str, place: Place) -> Looked:
        async with self._readings.snapshot(place) as connection:
            return Looked(
                rows=(await self._read(connection, [tenant]))[tenant],
                next_values=await self._next_values(connection) if place == "live" else {},
                catalogue_digest=await _catalogue_digest(connection),
            )

    async def clear(self) -> None:
        """Remove all rows by ordinary captured deletes: tenants some at a time, then what is left."""
        async with connected(self._app, "clear itself") as connection:
            tenants = await self._tenants(connection)
            for i in range(0, len(tenants), TENANTS_PER_DELETE):
                some = array(tenants[i : i + TENANTS_PER_DELETE])
                await self._delete(connection, some)
            await self._delete(connection, None)

    async def reset_scratch(self) -> None:
        """Drop the scratch database, whoever is in it, and make it again, empty."""
        async with connected(make_conninfo(self._admin, dbname="postgres"), "make scratch") as connection:
            await connection.run(f"DROP DATABASE IF EXISTS {SCRATCH} WITH (FORCE)")
            await connection.run(f"CREATE DATABASE {SCRATCH} TEMPLATE template0")

    async def _read(self, connection: Connection, tenants: Sequence[str]) -> dict[str, Rows]:
        owned, wanted = self._schema.owned, (array(tenants),)
        rows: dict[str, Rows] = {t: {table.name: [] for table in owned} for t in tenants}
        there = await _present(connection, owned)
        queries = [(statements.rows_of_tenants(self._schema, table), wanted) for table in there]
        for table, found in zip(there, await connection.run_together(queries), strict=True):
            for row in found:
                rows[str(row.pop(statements.OWNER))][table.name].append(row)
        return rows

    async def _next_values(self, connection: Connection) -> dict[str, int]:
        counted = [
            (table, column)
            for table in await _present(connection, self._schema.owned)
            for column in _counted(table)
        ]
        asked = (
            array(statements.qualified(table.name) for table, _ in counted),
            array(column for _, column in counted),
        )
        names = [row["name"] for row in await (await connection.run(_SEQUENCES, asked)).fetchall()]
        named = [(where, name) for where, name in zip(counted, names, strict=True) if name]
        told = await connection.run_together([(_NEXT.format(name=n), (n,)) for _, n in named])
        return {
            f"{table.name}.{column}": int(row["next"] or 0)
            for ((table, column), _), (row,) in zip(named, told, strict=True)
        }

    async def _tenants(self, connection: Connection) -> list[str]:
        found: set[str] = set()
        for table in self._schema.owned:
            if isinstance(table.tenancy, ByColumn):
                query = statements.all_tenants(table, table.tenancy.column)
                cursor = await connection.run(query)
                found |= {str(next(iter(row.values()))) async for row in cursor}
        return sorted(found)

    async def _delete(self, connection: Connection, tenants: str | None) -> None:
        """Delete these tenants' rows, or everything, in one transaction, children before parents."""
        await connection.run("BEGIN")
        for query in self._unlinking():
            await connection.run(query)
        ordered = tuple(reversed(self._schema.owned))
        if tenants is None:
            # plumbing first, in case it refers to others; and last, since triggers fill it meanwhile
            plumbing = self._schema.infrastructure
            ordered = (*plumbing, *ordered, *self._schema.shared[::-1], *plumbing)
        for table in ordered:
            if tenants is None:
                await connection.run(f"DELETE FROM {statements.qualified(table.name)}")
            else:
                await connection.run(statements.delete_of_tenants(self._schema, table), (tenants,))
        if (ack := await connection.commit()).outcome != "acked":
            raise HarnessFailed(f"clearing the database ended {ack.outcome}: {ack.detail}")

    def _unlinking(self) -> Iterator[str]:
        """Break those cycles of foreign keys that are not checked at COMMIT."""
        later: set[str] = set()
        for table in reversed(self._schema.tables):
            for key in table.foreign_keys:
                if key.parent in later and not key.deferrable:
                    yield statements.unlink(table, key)
            later.add(table.name)


async def _catalogue_digest(connection: Connection) -> str:
    """Digest the catalogue, in a transaction that needs its search path no more."""
    asked = [("SET LOCAL search_path = pg_catalog", None), *((q, None) for q in catalogue.QUERIES.values())]
    _, *found = await connection.run_together(asked)
    return catalogue.digest(
        f"{what} {next(iter(row.values()))}"
        for what, rows in zip(catalogue.QUERIES, found, strict=True)
        for row in rows
    )


async def _present(connection: Connection, tables: Sequence[Table]) -> list[Table]:
    """Return those tables that exist; a restore that never built them shall be judged, not crash."""
    names = array(statements.qualified(table.name) for table in tables)
    found = await (await connection.run(_THERE, (names,))).fetchall()
    return [table for table, row in zip(tables, found, strict=True) if row["found"] == "t"]


def _counted(table: Table) -> list[str]:
    return [c.name for c in table.columns if c.given_by in {"identity", "serial"}]


def _one(row: RawRow | None) -> RawRow:
    assert row is not None  # the queries here have always one row
    return row
