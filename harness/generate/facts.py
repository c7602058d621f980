"""What generation must know of a schema, worked out once: who makes each value, which links lead where.

A ``TableFacts`` answers the questions that are asked for every generated row (which columns are given
by the client, which links come from parents, what may be updated), so that making a row is a walk over
ready lists.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Literal

from harness.generate.makers import maker
from harness.generate.values import Maker
from harness.model.errors import BadInput
from harness.model.schema import (
    ByColumn,
    Column,
    ForeignKey,
    Ledger,
    Schema,
    Shared,
    Table,
    TableHint,
)

Form = Literal["text", "bytea", "json"]
FILLABLE: dict[str, Form] = {"text": "text", "character varying": "text", "bytea": "bytea", "jsonb": "json"}
"""Types that can hold a Filler, and the form it takes there."""


class Link:
    """One foreign key of one table, seen from generation.

    ``to_root``: it points at the tenant's own row. ``set_columns`` are those that a row must fill from
    the parent: all but the tenant's own column. ``later``: the parent comes later in the schema's order
    (a cycle), so it is left NULL and set by a later update.
    """

    def __init__(self, table: Table, key: ForeignKey, facts: SchemaFacts) -> None:
        self.key = key
        self.columns = key.columns
        self.parent = key.parent
        self.nullable = any(table.column(c).nullable for c in key.columns)
        self.to_root = key.parent == facts.root
        self.shared = isinstance(facts.schema.table(key.parent).tenancy, Shared)
        self.later = facts.order[key.parent] > facts.order[table.name]
        tenant = table.tenancy.column if isinstance(table.tenancy, ByColumn) else None
        pairs = zip(key.columns, key.parent_columns, strict=True)
        self.set_columns = tuple((own, theirs) for own, theirs in pairs if own != tenant)
        if self.later and not self.nullable:
            raise BadInput(
                f"{table.name} needs a row of {key.parent}, which comes after it",
                cure="order the tables so that parents come first; in a cycle one link must be nullable",
            )


class TableFacts:
    """One table, seen from generation. All tuples are in the table's column order."""

    def __init__(self, table: Table, facts: SchemaFacts) -> None:
        schema = facts.schema
        self.table = table
        self.name = table.name
        self.short = table.name.rpartition(".")[2]
        self.hint = schema.hints.get(table.name, TableHint())
        self.tenant_column = table.tenancy.column if isinstance(table.tenancy, ByColumn) else None
        self.is_root = table.name == facts.root
        self.links = tuple(Link(table, key, facts) for key in table.foreign_keys if facts.can_link(key))
        linked = {column for link in self.links for column in link.columns}
        uniques = (table.key, *table.unique)
        in_unique = {column for unique in uniques for column in unique}
        made = [c for c in table.columns if c.name not in linked and c.name != self.tenant_column]
        self._facts = facts
        self.marks = {e.mark_column for e in schema.script.entities if e.table == table.name}
        self.unique_columns = tuple(c for c in made if c.name in in_unique and c.given_by == "client")
        self.plain_columns = tuple(
            c
            for c in made
            if c.given_by in ("client", "default")
            and c not in self.unique_columns
            and not (c.name in self.marks and (c.nullable or c.given_by == "default"))
            and not (c.given_by == "default" and c.name in in_unique)
        )
        self.makers: dict[str, Maker] = {
            c.name: maker(schema, table, c) for c in (*self.unique_columns, *self.plain_columns)
        }
        self.narrow = {c for c in in_unique if self._is_scoped(c, uniques)}
        self.link_uniques = tuple(
            u for u in uniques if set(u) <= linked | {self.tenant_column} and set(u) != {self.tenant_column}
        )
        self.in_unique = frozenset(in_unique)

    def _is_scoped(self, column: str, uniques: tuple[tuple[str, ...], ...]) -> bool:
        """Whether each unique set with ``column`` holds the tenant too: two tenants may use one value."""
        return all(self.tenant_column in unique for unique in uniques if column in unique)

    @cached_property
    def fillable(self) -> tuple[tuple[str, Form], ...]:
        """Columns that can hold a long text, with its form."""
        return tuple(
            (column.name, FILLABLE[base])
            for column in self.plain_columns
            if (base := self._facts.base_type(column)) in FILLABLE
        )

    @cached_property
    def updatable(self) -> tuple[Column, ...]:
        """Columns that updates change, links and keys aside."""
        known = {c.name: c for c in (*self.plain_columns, *self.unique_columns)}
        return tuple(
            known[name] for name in self.hint.update if name in known and name not in self.table.key
        )

    @cached_property
    def wide(self) -> tuple[Column, ...]:
        """Those updatable columns that can always take a value they never had."""
        return tuple(c for c in self.updatable if self.makers[c.name].wide)

    @cached_property
    def movable(self) -> tuple[Link, ...]:
        """Links that an update may point at another row of the tenant."""
        names = {*self.hint.move}
        return tuple(k for k in self.links if k.columns[0] in names and not k.to_root and not k.shared)

    @cached_property
    def rekeyable(self) -> tuple[Column, ...]:
        """Client-given key columns that updates may change (links among the key are in ``relinkable``)."""
        return tuple(
            c for c in self.unique_columns if c.name in self.hint.rekey and self.makers[c.name].wide
        )

    @cached_property
    def relinkable(self) -> tuple[Link, ...]:
        """Links whose columns are part of the key and may change."""
        names = {*self.hint.rekey}
        return tuple(k for k in self.links if k.columns[0] in names and not k.to_root and not k.shared)

    @cached_property
    def copyable(self) -> bool:
        """Whether rows can be bulk-loaded: the client chooses every key column."""
        given = {c.name for c in self.table.columns if c.given_by == "client"}
        return self.hint.copy and set(self.table.key) <= given


class SchemaFacts:
    """A schema, seen from generation. Raises BadInput for one of which no plan can be drawn."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.root = schema.script.root
        self.order = {table.name: n for n, table in enumerate(schema.tables)}
        root = schema.table(self.root)
        if len(root.key) != 1:
            raise BadInput(f"the key of {self.root} is not one column", cure="a tenant's id is one value")
        self.root_column = root.column(root.key[0])
        self.tables = {t.name: TableFacts(t, self) for t in (*schema.shared, *schema.owned)}
        self.owned = [self.tables[t.name] for t in schema.owned]
        self.shared = [self.tables[t.name] for t in schema.shared]
        self.ledger: Ledger | None = schema.ledger
        self.referenced = {
            (key.parent, column)
            for t in schema.tables
            for key in t.foreign_keys
            for column in key.parent_columns
        }
        self.written = [
            t for t in self.owned if t.hint.weight > 0 and not t.is_root and not self.is_ledger(t)
        ]

    def base_type(self, column: Column) -> str:
        """Return the column's type, or the one its domain is made of."""
        return self.schema.domains.get(column.type, column.type)

    def names(self, fits: Callable[[TableFacts], bool]) -> tuple[str, ...]:
        """Return the owned tables that fit, the ledger aside."""
        return tuple(t.name for t in self.owned if fits(t) and not self.is_ledger(t))

    @cached_property
    def changeable(self) -> dict[str, tuple[str, ...]]:
        """For each kind of change of an existing row, the tables where it can happen."""
        return {
            "update": self.names(lambda t: bool(t.wide)),
            "toasted": self.names(lambda t: bool(t.wide and t.fillable)),
            "move": self.names(lambda t: bool(t.movable)),
            "rekey": self.names(lambda t: bool(t.rekeyable or t.relinkable)),
            "delete": self.names(lambda t: t.hint.delete),
        }

    def is_ledger(self, facts: TableFacts) -> bool:
        """Whether this is the table to which every transaction adds its name."""
        return self.ledger is not None and self.ledger.table == facts.name

    def can_link(self, key: ForeignKey) -> bool:
        """Whether the parent's rows are among those a plan makes."""
        table = self.schema.table(key.parent)
        return table.owned or isinstance(table.tenancy, Shared)
