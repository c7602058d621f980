"""What DDL does to everybody's rows at once: SQL and effects of dropping tables, schemas and partitions.

Dropped are a table and all that refer to it, so that no foreign key is left dangling.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.generate.steps.ground import Ground
from harness.generate.steps.partial import Said, referring
from harness.model.plan import Effect
from harness.model.schema import Schema


def droppable(schema: Schema) -> list[tuple[str, ...]]:
    """Return the sets of tables that one DROP TABLE can remove, each with all that refer to it."""
    sets = [referring(schema, table.name) for table in schema.owned]
    return [names for names in sets if all(schema.table(name).owned for name in names)]


def namespace(schema: Schema) -> str | None:
    """Return the database's schema that holds every declared table; None for several, or the public one."""
    found = {table.name.partition(".")[0] for table in schema.tables}
    return found.pop() if len(found) == 1 and found != {"public"} else None


def detachable(schema: Schema) -> list[str]:
    """Return the owned tables with partitions to which no other table refers."""
    return [t.name for t in schema.owned if t.partitioned and len(referring(schema, t.name)) == 1]


def drop(ground: Ground, names: Sequence[str], tables: Sequence[str]) -> Said:
    """Drop tables, or the schema of that name with all of them; whoever has rows there loses them."""
    whole = names[0] == namespace(ground.schema)
    said = f"DROP SCHEMA {names[0]} CASCADE" if whole else f"DROP TABLE {', '.join(tables)}"
    return [said], [
        Effect(tenant=tenant, mode="drop", tables=tuple(tables)) for tenant in ground.layout.tenants
    ]


def detach(ground: Ground, leaves: Sequence[str], tables: Sequence[str]) -> Said:
    """Detach partitions, given by their numbers, and drop them; whose rows they hold only it knows."""
    said = [_detach_sql(tables[0], int(leaf)) for leaf in leaves]
    return said, [
        Effect(tenant=tenant, mode="detach", tables=tuple(tables), leaf=int(leaf))
        for leaf in leaves
        for tenant in ground.layout.tenants
    ]


def _detach_sql(table: str, leaf: int) -> str:
    chosen = (
        f"SELECT relid::regclass FROM pg_partition_tree('{table}') WHERE isleaf AND level > 0"
        f" ORDER BY relid::regclass::text LIMIT 1 OFFSET {leaf}"
    )
    return (
        f"DO $$ DECLARE leaf regclass := ({chosen}); BEGIN"
        f" EXECUTE format('ALTER TABLE {table} DETACH PARTITION %s', leaf);"
        " EXECUTE format('DROP TABLE %s', leaf); END $$"
    )
