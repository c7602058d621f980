"""What gives rows of one tenant to another: the SQL and the effects.

Only whole tables of a tenant are moved, in one statement, so that foreign keys that hold the tenant's
column as well are whole again when they are checked. A number that is unique for each tenant only is raised
on the way, by a step of the tenant's own, since the new one may have that number too.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.generate.steps import sql
from harness.generate.steps.ground import Ground
from harness.model.plan import Effect
from harness.model.schema import ByColumn, Schema, Table

STEP_OF_NUMBERS = 1_000_000
NUMBERS = ("bigint", "integer")
GLOBAL = ("text", "character varying", "uuid")
"""Types of which generated unique values differ for all tenants, not only within one."""

Moved = tuple[list[str], list[Effect]]


def leaves(schema: Schema) -> list[str]:
    """Return tables to whose rows nobody refers, and that refer only to the tenant or to nobody's rows."""
    referred = {key.parent for table in schema.tables for key in table.foreign_keys}
    return [
        table.name
        for table in _movable(schema)
        if table.name not in referred
        and all(
            key.parent == schema.script.root or _shared(schema, key.parent) for key in table.foreign_keys
        )
    ]


def estate(schema: Schema) -> list[str]:
    """Return all tables that a merge of two tenants moves: those with the tenant's column, but its own.

    None when something else refers to them, or they to it, by the tenant's column too.
    """
    names = [table.name for table in _movable(schema)]
    kept = [t for t in schema.owned if t.name not in names and isinstance(t.tenancy, ByColumn)]
    for table in kept:
        if any(key.parent in names for key in table.foreign_keys):
            return []
    for table in map(schema.table, names):
        bound = (key for key in table.foreign_keys if key.parent in {t.name for t in kept})
        if any(key.parent != schema.script.root for key in bound):
            return []
    return names if set(names) >= {t.name for t in schema.owned if _unmovable(schema, t)} else []


def along(schema: Schema, tables: Sequence[str]) -> tuple[str, ...]:
    """Return the tables whose rows find their tenant through ``tables``, and go with them."""
    return tuple(t.name for t in schema.owned if any(step.parent in tables for step in schema.path(t)))


def move(ground: Ground, tenant: str, to: str | None, tables: Sequence[str]) -> Moved:
    """Return the statement that gives all rows of ``tenant`` in ``tables`` to ``to``, and its effect."""
    assert to is not None  # orders to move say to whom
    schema = ground.schema
    by = STEP_OF_NUMBERS * (1 + ground.layout.tenants.index(tenant))
    shifted = tuple((name, column, by) for name in tables for column in _own_numbers(schema.table(name)))
    effect = Effect(
        tenant=tenant,
        mode="move",
        tables=tuple(tables),
        to=to,
        along=along(schema, tables),
        shifted=shifted,
    )
    return [sql.move(schema, tables, tenant, to, shifted)], [effect]


def _movable(schema: Schema) -> list[Table]:
    """Return tables with the tenant's column, of whose unique values none can be in the way."""
    entities = {entity.table for entity in schema.script.entities}
    return [
        table
        for table in schema.owned
        if isinstance(table.tenancy, ByColumn)
        and table.name not in {schema.script.root, *entities}
        and not _unmovable(schema, table)
    ]


def _unmovable(schema: Schema, table: Table) -> bool:
    """Whether a unique set with the tenant holds something that can neither be raised nor is global."""
    if not isinstance(table.tenancy, ByColumn):
        return False
    tenant = table.tenancy.column
    for columns in (table.key, *table.unique):
        others = [table.column(c) for c in columns if c != tenant]
        types = {schema.domains.get(c.type, c.type) for c in others}
        if tenant in columns and others and not types <= {*NUMBERS, *GLOBAL}:
            return True
    return False


def _own_numbers(table: Table) -> list[str]:
    """Return numbers that the client gives and that are unique beside the tenant only."""
    assert isinstance(table.tenancy, ByColumn)  # as _movable saw
    tenant = table.tenancy.column
    sets = [set(columns) for columns in (table.key, *table.unique)]
    linked = {c for key in table.foreign_keys for c in key.columns}
    return [
        column.name
        for column in table.columns
        if column.type in NUMBERS
        and column.given_by == "client"
        and column.name not in {tenant, *linked}
        and any({tenant, column.name} <= columns for columns in sets)
    ]


def _shared(schema: Schema, name: str) -> bool:
    return not schema.table(name).owned
