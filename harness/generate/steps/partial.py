"""What touches only some tables, or only some columns: the SQL and the effects of one mode on names.

Kept apart from ``how``, where whole tenants go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from harness.generate.steps import sql
from harness.generate.steps.ground import Ground
from harness.model.plan import Effect, Mode
from harness.model.schema import Schema, Table

Said = tuple[list[str], list[Effect]]
"""Statements, and what they do."""


def blankable(schema: Schema) -> dict[str, tuple[str, ...]]:
    """Return, by table, the columns that can be NULL and that nothing hangs on.

    Tables with generated columns are left out: what becomes of those only the database knows.
    """
    marks = {(entity.table, entity.mark_column) for entity in schema.script.entities}
    found = {}
    for table in schema.owned:
        bound = {c for columns in (table.key, *table.unique) for c in columns}
        bound |= {c for key in table.foreign_keys for c in key.columns}
        free = tuple(
            column.name
            for column in table.columns
            if column.nullable and column.name not in bound and (table.name, column.name) not in marks
        )
        if free and all(column.given_by != "generated" for column in table.columns):
            found[table.name] = free
    return found


def referring(schema: Schema, table: str) -> tuple[str, ...]:
    """Return the table and all that refer to it, however far: what a TRUNCATE of it has to take along."""
    found = [table]
    for name in found:
        found += [
            child.name
            for child in schema.tables
            if child.name not in found and any(key.parent == name for key in child.foreign_keys)
        ]
    return tuple(found)


def truncatable(schema: Schema) -> list[tuple[str, ...]]:
    """Return the sets of tables that one TRUNCATE can empty, all of them owned.

    None with partitions: what the feed tells of those differs between versions of Postgres.
    """
    sets = [referring(schema, table.name) for table in schema.owned]
    return [names for names in sets if all(_plain(schema.table(name)) for name in names)]


def _plain(table: Table) -> bool:
    return table.owned and not table.partitioned


def empty(ground: Ground, parent: str, tables: Sequence[str]) -> Said:
    """Delete all rows of a lookup table, and with them all that refer to it, of every tenant."""
    effects = [
        Effect(tenant=tenant, mode="permanent", tables=tuple(tables)) for tenant in ground.layout.tenants
    ]
    return [f"DELETE FROM {parent}"], effects


def _blank(ground: Ground, tenants: Sequence[str], tables: Sequence[str]) -> Said:
    columns = blankable(ground.schema)
    where = sql.listed(tenants)
    return [sql.blank(ground.facts, table, columns[table], where) for table in tables], [
        Effect(tenant=tenant, mode="blank", tables=(table,), columns=columns[table])
        for tenant in tenants
        for table in tables
    ]


def _remove(ground: Ground, tenants: Sequence[str], tables: Sequence[str]) -> Said:
    statements = sql.delete_tables(ground.facts, tables, sql.listed(tenants), locks=False)
    return statements, [Effect(tenant=tenant, mode="permanent", tables=tuple(tables)) for tenant in tenants]


def _truncate(ground: Ground, _: Sequence[str], tables: Sequence[str]) -> Said:
    """Touch every tenant of the plan: whoever has rows there loses them."""
    return [sql.truncate(tables)], [
        Effect(tenant=tenant, mode="truncate", tables=tuple(tables)) for tenant in ground.layout.tenants
    ]


Change = Callable[[Ground, Sequence[str], Sequence[str]], Said]
CHANGES: Mapping[Mode, Change] = {"blank": _blank, "permanent": _remove, "truncate": _truncate}
"""By mode: what it does to these tenants in these tables."""
