"""Tables whose columns change: what event triggers tell of it, and what becomes of rows. Pure.

Columns are followed by the number that the database gives each for ever, so that a rename is no drop. A row
that was written before a change becomes what the change made of it: cells under new names, without those
dropped, with those added at the value that the database keeps for rows from before. Where the database
wrote the rows anew (another type, a volatile default), it tells the whole table anew, and nothing is made
up.

Carried are changes of columns through which neither a key nor a tenant is found; others are named, with the
reason, and stop the archiver.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from harness.model.schema import ByColumn, ByPath, Column, ForeignKey, Schema, Table
from harness.model.values import RawRow
from harness.subject.reference.conditions import cure, unmet
from harness.subject.reference.values import refused


class ShapeColumn(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A column as the database tells of it; ``missing``: its value in rows from before it was added."""

    number: int
    name: str
    type: str
    nullable: bool = False
    given_by: Literal["client", "identity", "serial", "default", "generated"] = "client"
    missing: str | None = None


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """A table's columns in their order, its key, and its valid CHECKs (None: it was not told)."""

    table: str
    columns: tuple[ShapeColumn, ...]
    key: tuple[str, ...]
    checks: tuple[str, ...] | None = None

    @property
    def names(self) -> dict[int, str]:
        """The columns' names by number."""
        return {column.number: column.name for column in self.columns}


class Altered(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One change of a table; ``was`` is None when it was created."""

    now: Shape
    was: Shape | None = None

    @property
    def renamed(self) -> dict[str, str]:
        """Old name to new one, of the columns that were there before and still are."""
        now = self.now.names
        before = self.was.names if self.was is not None else {}
        return {name: now[number] for number, name in before.items() if number in now}

    @property
    def moves_columns(self) -> bool:
        """Whether rows from before look different: not when keys or defaults came, or the table itself."""
        was = self.was.columns if self.was is not None else self.now.columns
        return [(c.number, c.name, c.type) for c in was] != [
            (c.number, c.name, c.type) for c in self.now.columns
        ]

    def row(self, row: RawRow) -> RawRow:
        """Return what the change makes of a row from before."""
        renamed = self.renamed
        kept = {renamed[name]: cell for name, cell in row.items() if name in renamed}
        known = self.was.names if self.was is not None else {}
        added = {c.name: c.missing for c in self.now.columns if c.number not in known}
        return {**kept, **{name: cell for name, cell in added.items() if name not in kept}}


def shaped(table: Table, altered: Altered) -> Table:
    """Return the declared table as it is after a change; what hung on a column that is gone is gone."""
    names, renamed = {c.name for c in altered.now.columns}, altered.renamed
    unique = (tuple(renamed.get(c, c) for c in columns) for columns in table.unique)
    return msgspec.structs.replace(
        table,
        columns=tuple(
            Column(name=c.name, type=c.type, nullable=c.nullable, given_by=c.given_by)
            for c in altered.now.columns
        ),
        unique=tuple(columns for columns in unique if {*columns} <= names),
        foreign_keys=tuple(_kept(table.foreign_keys, renamed, names)),
    )


def _kept(
    keys: Sequence[ForeignKey], renamed: Mapping[str, str], names: Collection[str]
) -> Iterator[ForeignKey]:
    for key in keys:
        columns = tuple(renamed.get(c, c) for c in key.columns)
        if {*columns} <= {*names}:
            yield msgspec.structs.replace(key, columns=columns)


def objection(schema: Schema, table: Table, altered: Altered) -> str | None:
    """Return why a change can't be carried, None if it can.

    A table that is built anew gets its key after its columns; one that had it has to keep it.
    """
    was, now = altered.was, altered.now
    if was is not None and was.table != now.table:
        return f"it was renamed to {now.table}"
    if was is not None and was.key == table.key and now.key != table.key:
        return f"its key is {list(now.key)} now, and was {list(table.key)}"
    names = {c.name for c in now.columns}
    for name in sorted(_bearing(schema, table)):
        if altered.renamed.get(name, name) != name or name not in names:
            return f"column {name}, through which rows find their tenant, was renamed or dropped"
    for column in now.columns if table.owned else ():
        if found := refused(column.type, schema):
            return (
                f"column {column.name} is of type {column.type} now, whose values arrive changed:"
                f" {found.why}"
            )
        if now.checks is not None and (lacking := unmet(column.name, column.type, schema, now.checks)):
            return f"column {column.name} {lacking[0].why}: it lacks CHECK ({cure(column.name, lacking)})"
    return None


def _bearing(schema: Schema, table: Table) -> set[str]:
    """Return the columns by which rows of this table, or those below it, find their tenant."""
    found: set[str] = set()
    match table.tenancy:
        case ByColumn(column=column):
            found.add(column)
        case ByPath(columns=columns):
            found |= {*columns}
    for child in schema.owned:
        for step in schema.path(child)[:1]:
            if step.parent == table.name:
                found |= {*step.parent_columns}
    return found
