"""The target database on Postgres: one tenant's rows swapped in one transaction.

Only rows that differ are touched. The session acts as a replica, so that no trigger, cascade or foreign
key of the application fires; the foreign keys are then checked by queries of our own. Rows in the way of
the restored ones are kept in ``restoreproof.set_aside``. Logical decoding sees all of it as ordinary
changes, so the restored tenant is archived again.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import msgspec
import psycopg

from harness.model.errors import NotWhole, RestoreRefused, SubjectFailed
from harness.model.schema import ByPath, ForeignKey, Schema, Table
from harness.model.values import RawRow
from harness.subject.reference.adapters import statements
from harness.subject.reference.adapters.present import NOT_VALID, PRESENT
from harness.subject.reference.adapters.sessions import Session, open_session, run, run_together
from harness.subject.reference.adapters.statements import Query
from harness.subject.reference.capture import HEARTBEAT, SET_ASIDE
from harness.subject.reference.ports import SchemaMissing, Swap, Swapped, Taken, TargetUnavailable
from harness.subject.reference.rebuild import missing, unproven

FEW_CHARS_MAX = 1 << 20
BUILD_LOCK = 0x5250_0001
"""Advisory lock under which a schema is built."""

_KEY_COLUMNS = """\
SELECT n.nspname || '.' || t.relname AS root, a.attname::text AS name
FROM pg_class AS c JOIN pg_index AS i ON i.indexrelid = c.oid
    JOIN pg_attribute AS a ON a.attrelid = c.oid
    JOIN pg_class AS t ON t.oid = coalesce(pg_partition_root(i.indrelid), i.indrelid)
    JOIN pg_namespace AS n ON n.oid = t.relnamespace
WHERE c.relname = %s AND c.relnamespace = %s::regnamespace ORDER BY a.attnum"""

_COLUMNS = """\
SELECT t.name, a.attname::text AS column FROM unnest(%s::text[], %s::text[]) AS t (quoted, name)
    JOIN pg_attribute AS a ON a.attrelid = to_regclass(t.quoted) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY t.name, a.attnum"""
_PRESENT = Query(sql=PRESENT)
_NOT_VALID = Query(sql=NOT_VALID)
_DIGESTS = Query(sql="SELECT to_regproc('restoreproof.catalogue_digest')::text AS function")
_DIGEST = Query(sql="SELECT restoreproof.catalogue_digest() AS digest")
_SETTINGS = "SET LOCAL search_path = ''; SET LOCAL check_function_bodies = false"
_TELL_REBUILT = "INSERT INTO restoreproof.ddl (tag) VALUES ('REBUILD')"
_NO_TABLE = (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName)
_AS_REPLICA = Query(sql="SET LOCAL session_replication_role = replica")


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What must happen in one table: present rows to ``remove``, wanted ones to ``add``."""

    table: Table
    remove: tuple[RawRow, ...]
    add: tuple[RawRow, ...]


class PostgresTarget:
    """The database at ``dsn``, reached as superuser."""

    def __init__(self, *, dsn: str, schema: Schema) -> None:
        self._dsn = dsn
        self._schema = schema

    async def build_schema(self, ddl: str, high: Mapping[str, int]) -> None:
        """Build what is missing in one transaction; into an empty database goes the DDL as it stands.

        Sequences are past ``high`` by its end: what was rebuilt begins anew, and others may write there
        before any row is back.

        DDL that was changed so tells of itself like any other, and event triggers that were missing are
        told of by hand.
        """
        async with self._session() as session, session.transaction():
            await session.execute(f"SELECT pg_advisory_xact_lock({BUILD_LOCK})".encode())
            present = {str(row["id"]) for row in await (await run(session, _PRESENT)).fetchall()}
            if f"TABLE {HEARTBEAT.replace('.', ' ')}" not in present:
                await session.execute(ddl.encode(), prepare=False)
            elif lacking := missing(ddl, present):
                await session.execute(_SETTINGS.encode(), prepare=False)
                for item in lacking:
                    await session.execute(item.sql.encode(), prepare=False)
                await session.execute(_TELL_REBUILT.encode())
            if high:
                await run(session, statements.raise_sequences(high))
            await self._validate(session, ddl)

    async def _validate(self, session: Session, ddl: str) -> None:
        """Validate foreign keys that were rebuilt, as far as every row has its parent by now."""
        not_valid = {str(row["id"]) for row in await (await run(session, _NOT_VALID)).fetchall()}
        for sql in unproven(ddl, not_valid) if not_valid else ():
            with suppress(psycopg.errors.ForeignKeyViolation):
                async with session.transaction():
                    await session.execute(sql.encode(), prepare=False)

    async def columns(self) -> dict[str, list[str]]:
        """Return the columns of each declared table that is there, in their order."""
        names = [table.name for table in self._schema.tables]
        quoted = statements.array(map(statements.quoted, names))
        query = Query(sql=_COLUMNS, parameters=(quoted, statements.array(names)))
        found: dict[str, list[str]] = {}
        async with self._session() as session:
            for row in await (await run(session, query)).fetchall():
                found.setdefault(str(row["name"]), []).append(str(row["column"]))
        return found

    async def catalogue_digest(self) -> str:
        """Return the digest of the catalogue as it is now, empty where nothing was built."""
        async with self._session() as session:
            row = await (await run(session, _DIGESTS)).fetchone()
            if row is None or row["function"] is None:
                return ""
            row = await (await run(session, _DIGEST)).fetchone()
        return str(row["digest"]) if row else ""

    async def swap(self, swap: Swap) -> Swapped:
        """Put the tenant's rows in place over one connection.

        Raises RestoreRefused naming what is in the way, SchemaMissing when a table is not there, and
        TargetUnavailable when it does not answer.
        """
        if swap.declared is not None and swap.declared != self._schema:
            return await type(self)(dsn=self._dsn, schema=swap.declared).swap(swap)
        async with self._session() as session:
            if absent := await self._absent(session):  # asked, so that psycopg needs not warn of an error
                raise SchemaMissing(f"the target database has no {absent}")
            changes: list[Change] = []
            swapped: list[Swapped] = []
            try:
                async with session.transaction():
                    swapped.append(await self._swap(session, swap, changes))
                return swapped[0]
            except psycopg.errors.UniqueViolation as taken:
                raise await self._refusal(session, taken, changes) from None
            except psycopg.OperationalError as error:
                raise _away(error, *swapped) from error

    async def _absent(self, session: Session) -> str | None:
        """Return a declared table that is not there, None if all are."""
        names = statements.array(statements.quoted(table.name) for table in self._schema.tables)
        query = Query(
            sql="SELECT name FROM unnest(%s::text[]) AS name WHERE to_regclass(name) IS NULL LIMIT 1",
            parameters=(names,),
        )
        row = await (await run(session, query)).fetchone()
        return row["name"] if row else None

    async def _swap(self, session: Session, swap: Swap, changes: list[Change]) -> Swapped:
        await self.begin(session)
        changes += await self._changes(session, swap)
        added = await self._add_shared(session, swap)
        removed = await self._remove(session, changes)
        if swap.set_aside:
            await self._keep_aside(session, swap.tenant, removed)
        await self._add(session, changes)
        await self._check_foreign_keys(session, swap.tenant, changes)
        if swap.high:
            await run(session, statements.raise_sequences(swap.high))
        return Swapped(
            rows=sum(map(len, swap.rows.values())),
            set_aside=tuple(removed) if swap.set_aside else (),
            shared_added=added,
        )

    async def begin(self, session: Session) -> None:
        """Have no trigger, cascade or foreign key of the application fire in this transaction."""
        await run(session, _AS_REPLICA)

    async def _changes(self, session: Session, swap: Swap) -> list[Change]:
        tables = self._schema.owned
        queries = [
            statements.rows_of(self._schema, table, swap.tenant, lock=swap.set_aside) for table in tables
        ]
        found = await run_together(session, queries)
        changes = [
            await self._change(session, table, present, swap.rows.get(table.name, ()))
            for table, present in zip(tables, found, strict=True)
        ]
        return await self._take_back(session, swap, changes, found) if swap.taken else changes

    async def _take_back(
        self,
        session: Session,
        swap: Swap,
        changes: Sequence[Change],
        present: Sequence[Sequence[RawRow]],
    ) -> list[Change]:
        """Remove rows that went from the tenant to others as well, and all below them, parents first."""
        taken: dict[str, list[RawRow]] = {}
        complete = []
        for change, mine in zip(changes, present, strict=True):
            known = {_key(change.table, row) for row in mine}
            others: dict[tuple[str | None, ...], RawRow] = {}
            for query in _queries_of_taken(change.table, swap.taken, taken):
                for row in await (await run(session, query)).fetchall():
                    if _key(change.table, row) not in known:
                        others[_key(change.table, row)] = row
            taken[change.table.name] = list(others.values())
            remove = (*change.remove, *others.values())
            complete.append(msgspec.structs.replace(change, remove=remove))
        return complete

    async def _change(
        self, session: Session, table: Table, present: Sequence[RawRow], wanted: Sequence[RawRow]
    ) -> Change:
        """Compare by key; rows that differ in text are compared again as the database prints them."""
        there = {_key(table, row): row for row in present}
        doubtful = [row for row in wanted if _differs(table, there.get(_key(table, row)), row)]
        printed = await self._printed(session, table, doubtful) if doubtful and there else doubtful
        add = [
            row
            for row, exact in zip(doubtful, printed, strict=True)
            if _differs(table, there.get(_key(table, exact)), exact)
        ]
        wanted_keys = {_key(table, row) for row in wanted}
        replaced = {_key(table, row) for row in add}
        remove = [row for key, row in there.items() if key in replaced or key not in wanted_keys]
        return Change(table=table, remove=tuple(remove), add=tuple(add))

    async def _printed(self, session: Session, table: Table, rows: Sequence[RawRow]) -> list[RawRow]:
        return await (await run(session, statements.as_printed(table, rows))).fetchall()

    async def _keep_aside(
        self, session: Session, tenant: str, removed: Sequence[tuple[str, RawRow]]
    ) -> None:
        if not removed:
            return
        query = Query(
            sql=f"INSERT INTO {SET_ASIDE} (tenant, table_name, row)"
            " SELECT %s, a.name, a.row FROM unnest(%s::text[], %s::jsonb[]) AS a(name, row)",
            parameters=(
                tenant,
                statements.array(table for table, _ in removed),
                statements.array(json.dumps(row) for _, row in removed),
            ),
        )
        await run(session, query)

    async def _remove(self, session: Session, changes: Sequence[Change]) -> list[tuple[str, RawRow]]:
        """Remove children first; return what went, parents first.

        Each as it was when it went: somebody may have written to it since it was read.
        """
        doomed = [change for change in reversed(changes) if change.remove]
        gone = await run_together(session, [statements.delete(c.table, c.remove) for c in doomed])
        found = zip(reversed(doomed), reversed(gone), strict=True)
        return [(change.table.name, row) for change, rows in found for row in rows]

    async def _add(self, session: Session, changes: Sequence[Change]) -> None:
        """Add parents first; all tables of few rows in one round trip, then the others."""
        few = [c for c in changes if c.add and _are_few(c.add)]
        many = [c for c in changes if not _are_few(c.add)]
        await run_together(session, [statements.add(c.table, c.add) for c in few])
        for change in many:
            await self._load(session, change.table, change.add)

    async def _load(self, session: Session, table: Table, rows: Sequence[RawRow]) -> None:
        async with (
            session.cursor() as cursor,
            cursor.copy(statements.copy(table).encode()) as copying,
        ):
            for row in rows:
                await copying.write_row([row[column] for column in table.stored_columns])

    async def _add_shared(self, session: Session, swap: Swap) -> dict[str, int]:
        """Add absent shared rows; what is there stays as it is."""
        added: dict[str, int] = {}
        for table in self._schema.shared:
            rows = swap.shared.get(table.name, ())
            if rows:
                cursor = await run(session, statements.add_absent(table, rows))
                if cursor.rowcount:
                    added[table.name] = cursor.rowcount
        return added

    async def _check_foreign_keys(self, session: Session, tenant: str, changes: Sequence[Change]) -> None:
        checks = [*self._upwards(tenant, changes), *self._downwards(changes)]
        found = await run_together(session, [query for _, _, query in checks])
        for (table, key, _), rows in zip(checks, found, strict=True):
            if rows:
                raise NotWhole(
                    f"row {rows[0]} of {table.name} would refer to a row of {key.parent} that is"
                    f" missing ({', '.join(key.columns)})",
                    cure="restore beside, into a scratch database, and compare",
                )

    def _upwards(self, tenant: str, changes: Sequence[Change]) -> Iterator[tuple[Table, ForeignKey, Query]]:
        """Each row of the tenant has its parents."""
        touched = {change.table.name for change in changes if change.add or change.remove}
        for change in changes:
            for key in change.table.foreign_keys:
                if change.table.name in touched or key.parent in touched:
                    query = statements.orphan(self._schema, change.table, key, tenant)
                    yield change.table, key, query

    def _downwards(self, changes: Sequence[Change]) -> Iterator[tuple[Table, ForeignKey, Query]]:
        """No row of anybody refers to one that is gone now."""
        gone = {change.table.name: change.remove for change in changes if change.remove}
        for child in self._schema.tables:
            for key in child.foreign_keys:
                if key.parent in gone:
                    rows = gone[key.parent]
                    yield child, key, statements.left_behind(self._schema, child, key, rows)

    async def _refusal(
        self, session: Session, taken: psycopg.errors.UniqueViolation, changes: Sequence[Change]
    ) -> RestoreRefused:
        """Name both rows: the archived one, and the one that has its natural key now (FM-12)."""
        detail = taken.diag.message_detail or str(taken)
        table_name, columns = await self._taken_key(session, taken)
        of_table = next((c for c in changes if c.table.name == table_name), None)
        wanted, present = await self._rivals(session, of_table, columns)
        return RestoreRefused(
            f"{table_name}: archived row {wanted} can't come back, row {present} has its key"
            f" ({taken.diag.constraint_name}: {detail})",
            cure="restore beside, into a scratch database; or move the present row away first",
        )

    async def _rivals(
        self, session: Session, change: Change | None, columns: tuple[str, ...]
    ) -> tuple[object, object]:
        """Find a row to add, and a present one that would stay, with the same cells in ``columns``."""
        if change is not None:
            leaving = {_key(change.table, row) for row in change.remove}
            for row in change.add:
                rivals = await run(session, statements.same_cells(change.table, columns, row))
                for rival in await rivals.fetchall():
                    if _key(change.table, rival) not in leaving:
                        return {c: row[c] for c in change.table.key}, rival
        return "(unknown)", "(unknown)"

    async def _taken_key(
        self, session: Session, taken: psycopg.errors.UniqueViolation
    ) -> tuple[str, tuple[str, ...]]:
        """Return the declared table, not its leaf, and the columns of the key that is taken."""
        where = (taken.diag.constraint_name or "", taken.diag.schema_name or "")
        found = await run(session, Query(sql=_KEY_COLUMNS, parameters=where))
        rows = await found.fetchall()
        return str(rows[0]["root"]) if rows else "", tuple(str(row["name"]) for row in rows)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Session]:
        """Hand out a connection, turning what goes wrong with the database into SubjectFailed."""
        try:
            async with open_session(self._dsn) as session:
                yield session
        except psycopg.Error as error:
            if isinstance(error, psycopg.OperationalError):
                raise _away(error) from error
            kind = SchemaMissing if _lacks_table(error) else SubjectFailed
            raise kind(f"the target database: {_words(error)}") from error


def _away(error: psycopg.OperationalError, swapped: Swapped | None = None) -> TargetUnavailable:
    """The database is away, or gave up what it did for us; ``swapped``: COMMIT had been sent."""
    away = TargetUnavailable(f"the target database: {_words(error)}")
    away.swapped = swapped
    return away


def _words(error: psycopg.Error) -> str:
    return f"{error.sqlstate or type(error).__name__}: {error}".strip()


def _queries_of_taken(
    table: Table, taken: Sequence[Taken], parents: Mapping[str, Sequence[RawRow]]
) -> Iterator[Query]:
    """Yield what finds rows of ``table`` that were taken, or that hang below ``parents`` that were."""
    for one in taken:
        if one.table == table.name:
            yield statements.rows_with(table, one.columns, one.cells)
    if isinstance(table.tenancy, ByPath):
        step = table.foreign_key(table.tenancy.columns)
        rows = [[row[c] or "" for c in step.parent_columns] for row in parents.get(step.parent, ())]
        if rows:
            yield statements.rows_with(table, step.columns, rows)


def _lacks_table(error: psycopg.Error) -> bool:
    """Whether a table is not there, or the partition for a row."""
    no_leaf = isinstance(error, psycopg.errors.CheckViolation) and "no partition of relation" in str(error)
    return no_leaf or isinstance(error, _NO_TABLE)


def _are_few(rows: Sequence[RawRow]) -> bool:
    """Whether rows are so little that an INSERT with them as parameters costs less than a COPY."""
    return sum(len(cell or "") for row in rows for cell in row.values()) <= FEW_CHARS_MAX


def _key(table: Table, row: RawRow) -> tuple[str | None, ...]:
    return tuple(row[column] for column in table.key)


def _differs(table: Table, present: RawRow | None, wanted: RawRow) -> bool:
    return present is None or any(present[c] != wanted[c] for c in table.stored_columns)
