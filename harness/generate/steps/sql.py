"""The SQL of delete scripts, all of it, with values as literals in the text.

A script that deletes what writers are still writing to takes its locks first, from the root down: a
parent locked FOR UPDATE gets no new children, so deleting children first can't be overtaken. It waits for
whoever holds a row already; where both wait for each other, Postgres ends one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.generate.facts import SchemaFacts
from harness.model.schema import Entity, Schema, Table

Where = Callable[[str], str]
"""Makes a condition from the tenant column's name, as SQL."""


def literal(text: str) -> str:
    """Quote a text for SQL (standard_conforming_strings on)."""
    return "'" + text.replace("'", "''") + "'"


def name(column: str) -> str:
    """Quote a column's name."""
    return '"' + column.replace('"', '""') + '"'


def listed(tenants: Sequence[str]) -> Where:
    """Return the condition that the tenant is one of these."""
    values = ", ".join(literal(tenant) for tenant in tenants)
    return lambda column: f"{column} IN ({values})"


def between(first: str, last: str, *, is_text: bool) -> Where:
    """Return the condition that the tenant lies in a range, both ends included."""
    collate = ' COLLATE "C"' if is_text else ""
    return lambda column: f"{column}{collate} BETWEEN {literal(first)} AND {literal(last)}"


def delete_tables(
    facts: SchemaFacts, tables: Sequence[str], where: Where, *, locks: bool = True
) -> list[str]:
    """Delete a tenant's rows from ``tables``, children first."""
    schema = facts.schema
    doomed = [table for table in reversed(schema.owned) if table.name in tables]
    statements = _locks(facts, where) if locks else []
    if any(key.deferrable for table in doomed for key in table.foreign_keys):
        statements.append("SET CONSTRAINTS ALL DEFERRED")
    statements += [_unlink(schema, table, where, columns) for table, columns in _backward(doomed)]
    statements += [f"DELETE FROM {table.name} WHERE {_of_tenant(schema, table, where)}" for table in doomed]
    return statements


def delete_root(facts: SchemaFacts, where: Where) -> list[str]:
    """Delete the tenants' own rows, and let cascades do the rest."""
    return [f"DELETE FROM {facts.root} WHERE {where(name(facts.root_column.name))}"]


def lock_root(facts: SchemaFacts, tenants: Sequence[str]) -> list[str]:
    """Lock tenants' own rows, so that nobody adds to them meanwhile."""
    where = listed(tenants)(name(facts.root_column.name))
    return [f"SELECT 1 FROM {facts.root} WHERE {where} FOR UPDATE"] if tenants else []


UNCHECKED = "SET LOCAL session_replication_role = replica"
"""No trigger fires in this transaction any more, those that keep foreign keys included."""


def blank(facts: SchemaFacts, table: str, columns: Sequence[str], where: Where) -> str:
    """Set columns of a tenant's rows to NULL."""
    assigned = ", ".join(f"{name(column)} = NULL" for column in columns)
    return (
        f"UPDATE {table} SET {assigned} WHERE {_of_tenant(facts.schema, facts.schema.table(table), where)}"
    )


def truncate(tables: Sequence[str]) -> str:
    """Empty the first of these tables; the others are those that go with it."""
    return f"TRUNCATE {tables[0]}" + (" CASCADE" if len(tables) > 1 else "")


def move(
    schema: Schema, tables: Sequence[str], tenant: str, to: str, shifted: Sequence[tuple[str, str, int]]
) -> str:
    """Give all rows of a tenant in these tables to another, in one statement."""
    updates = []
    for table in tables:
        column = name(schema.tenant_column(schema.table(table)))
        sets = [f"{column} = {literal(to)}"]
        sets += [f"{name(c)} = {name(c)} + {by}" for of, c, by in shifted if of == table]
        updates.append(f"UPDATE {table} SET {', '.join(sets)} WHERE {column} = {literal(tenant)}")
    *first, last = updates
    named = ", ".join(f"m{number} AS ({update})" for number, update in enumerate(first))
    return f"WITH {named} {last}" if first else last


def marked_tenants(facts: SchemaFacts, entity: Entity, tenants: Sequence[str]) -> Where:
    """Return the condition that the tenant is one of these, and one of its entities is still marked."""
    assert entity.mark_column is not None  # callers ask for entities with one
    schema = facts.schema
    column = name(schema.tenant_column(schema.table(entity.table)))
    marked = f"SELECT {column} FROM {entity.table} WHERE {name(entity.mark_column)} IS NOT NULL"
    found = f"{marked} AND {listed(tenants)(column)}"
    return lambda own: f"{own} IN ({found})"


def purge(facts: SchemaFacts, entity: Entity, tables: Sequence[str], tenants: Sequence[str]) -> list[str]:
    """Remove those of these tenants that are still marked, once nobody can take the marks away any more."""
    where = marked_tenants(facts, entity, tenants)
    schema = facts.schema
    entities = where(name(schema.tenant_column(schema.table(entity.table))))
    return [
        *lock_root(facts, tenants),
        f"SELECT 1 FROM {entity.table} WHERE {entities} FOR UPDATE",
        *delete_tables(facts, tables, where, locks=False),
    ]


def call(function: str, ids: Sequence[str], mode: str) -> str:
    """Call the schema's own delete function."""
    array = literal("{" + ",".join(f'"{i}"' if not i.isalnum() else i for i in ids) + "}")
    return function.replace("{ids}", array).replace("{mode}", literal(mode))


def mark(entity: Entity, ids: Sequence[str]) -> str:
    """Mark rows of an entity as deleted."""
    assert entity.mark_column is not None  # callers ask for entities with one
    where = listed(ids)(name(entity.column))
    return f"UPDATE {entity.table} SET {name(entity.mark_column)} = now() WHERE {where}"


def _of_tenant(schema: Schema, table: Table, where: Where) -> str:
    """The condition that a row of ``table`` is the tenant's, through its path if need be."""
    path = schema.path(table)
    if not path:
        return where(name(schema.tenant_column(table)))
    step = path[0]
    own, theirs = (", ".join(map(name, columns)) for columns in (step.columns, step.parent_columns))
    parent = schema.table(step.parent)
    return f"({own}) IN (SELECT {theirs} FROM {parent.name} WHERE {_of_tenant(schema, parent, where)})"


def _locks(facts: SchemaFacts, where: Where) -> list[str]:
    """Lock the root, then each parent that could get children without going by the root."""
    schema = facts.schema
    loose = {
        key.parent
        for table in schema.owned
        for key in table.foreign_keys
        if key.on_delete != "cascade" and all(other.parent != facts.root for other in table.foreign_keys)
    }
    return [
        f"SELECT 1 FROM {table.name} WHERE {_of_tenant(schema, table, where)} FOR UPDATE"
        for table in schema.owned
        if table.name in {facts.root, *loose}
    ]


def _backward(doomed: Sequence[Table]) -> list[tuple[Table, tuple[str, ...]]]:
    """Links to a table that is emptied earlier and that Postgres would check at once: set NULL first."""
    names = [table.name for table in doomed]
    return [
        (table, tuple(c for c in key.columns if table.column(c).nullable))
        for place, table in enumerate(doomed)
        for key in table.foreign_keys
        if key.parent in names[:place] and not key.deferrable and key.on_delete == "no action"
    ]


def _unlink(schema: Schema, table: Table, where: Where, columns: tuple[str, ...]) -> str:
    assigned = ", ".join(f"{name(column)} = NULL" for column in columns)
    return f"UPDATE {table.name} SET {assigned} WHERE {_of_tenant(schema, table, where)}"
