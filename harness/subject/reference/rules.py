"""What a database must be like for its tenants to be carried, one rule a function. Pure.

``Seen`` is what a catalogue says; the rules compare it with the declared schema and with what change
capture can do. Each problem names its table and the SQL that cures it (a comment, where it is
``schema.toml`` that must change).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from harness.model.schema import ByColumn, ByPath, Column, Infrastructure, Schema, Table
from harness.subject.reference.conditions import cure, unmet
from harness.subject.reference.event_triggers import (
    EVENT_TRIGGERS,
    event_triggers_sql,
    functions_sql,
)
from harness.subject.reference.values import refused

FOREIGN_KEY_ACTIONS = {"a": "no action", "r": "no action", "c": "cascade", "n": "set null"}
"""confdeltype to the words of the model; RESTRICT refuses like NO ACTION, only sooner."""

STORED_COLUMNS_SINCE = 180000


MISSING = "it is declared, but the database has no such table"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a table can't be carried, or is not what was declared; ``cure_sql`` mends it."""

    table: str
    what: str
    cure_sql: str


class SeenColumn(msgspec.Struct, frozen=True, kw_only=True):
    """A column as the catalogue has it; codes are the catalogue's own."""

    name: str
    type: str
    not_null: bool
    identity: str
    generated: str
    default: str | None


class SeenForeignKey(msgspec.Struct, frozen=True, kw_only=True):
    """A foreign key as the catalogue has it."""

    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    deferrable: bool
    on_delete: str


class SeenTable(msgspec.Struct, frozen=True, kw_only=True):
    """A table: ``identities`` maps it and each of its partitions to relreplident.

    ``published``: None when it is not; else whether all its rows and columns are. ``checks``: its valid
    CHECK constraints, as the catalogue prints them.
    """

    name: str
    persistence: str
    row_security: bool
    columns: tuple[SeenColumn, ...]
    key: tuple[str, ...]
    unique: tuple[tuple[str, ...], ...]
    foreign_keys: tuple[SeenForeignKey, ...]
    identities: dict[str, str]
    published: bool | None
    checks: tuple[str, ...] = ()


class SeenPublication(msgspec.Struct, frozen=True, kw_only=True):
    """A publication: its name, which operations it lacks, and its options."""

    name: str
    lacks: tuple[str, ...]
    via_root: bool
    stored_columns: bool


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What a database's catalogue says, its own schemas of the system left out.

    ``event_triggers``: those that fire always.
    """

    version: int
    tables: dict[str, SeenTable]
    publication: SeenPublication | None
    enums: dict[str, tuple[str, ...]]
    domains: dict[str, str]
    event_triggers: frozenset[str] = frozenset()


def problems(seen: Seen, schema: Schema, publication: str) -> list[Problem]:
    """Return everything that stands in the way, table by table in the declared order."""
    found = [*_of_database(seen, schema), *_of_publication(seen, schema, publication)]
    found += _of_event_triggers(seen, publication)
    for table in schema.tables:
        there = seen.tables.get(table.name)
        if there is None:
            found.append(_declare(table.name, MISSING))
            continue
        for rule in (*RULES, _images):
            found += rule(there, table)
        found += _types(there, table, schema)
        found += _published(there, table, seen, publication)
    return found


def problems_unprepared(seen: Seen, schema: Schema) -> list[Problem]:
    """Return what preparing the capture would not cure: no publication and no full images are needed yet.

    A replica identity that somebody *chose* (NOTHING, an index) is a problem all the same.
    """
    found = [*_of_database(seen, schema)]
    for table in schema.tables:
        if there := seen.tables.get(table.name):
            for rule in RULES:
                found += rule(there, table)
            found += _types(there, table, schema)
            chosen = {name: code for name, code in there.identities.items() if code in "ni"}
            found += _images(msgspec.structs.replace(there, identities=chosen), table)
        else:
            found.append(_declare(table.name, MISSING))
    return found


def _of_database(seen: Seen, schema: Schema) -> Iterator[Problem]:
    declared = {table.name for table in schema.tables}
    for name in sorted(seen.tables.keys() - declared):
        yield _declare(name, "it has no tenancy and isn't declared shared or infrastructure")
    for name, labels in schema.enums.items():
        if seen.enums.get(name) != labels:
            yield _declare(
                name, f"the enum is declared as {labels}, the database has {seen.enums.get(name)}"
            )
    for name, base in schema.domains.items():
        if seen.domains.get(name) != base:
            yield _declare(name, f"the domain is declared over {base}, not {seen.domains.get(name)}")


def _of_publication(seen: Seen, schema: Schema, publication: str) -> Iterator[Problem]:
    if seen.publication is None:
        tables = ", ".join(quoted(table.name) for table in schema.tables)
        yield Problem(
            table="*",
            what=f"there is no publication {publication}",
            cure_sql=f"CREATE PUBLICATION {publication} FOR TABLE {tables}"
            f" WITH ({_options(seen.version)});",
        )
    elif seen.publication.lacks or not seen.publication.via_root:
        yield Problem(
            table="*",
            what=f"publication {publication} lacks"
            f" {', '.join(seen.publication.lacks) or 'publish_via_partition_root'}",
            cure_sql=f"ALTER PUBLICATION {publication} SET ({_options(seen.version)});",
        )


def _of_event_triggers(seen: Seen, publication: str) -> Iterator[Problem]:
    """Without them nobody hears of DDL (FM-7, FM-57)."""
    absent = [name for name in EVENT_TRIGGERS if name not in seen.event_triggers]
    if absent:
        yield Problem(
            table="*",
            what=f"event triggers {', '.join(absent)} are missing, or do not fire always",
            cure_sql=f"CREATE SCHEMA IF NOT EXISTS restoreproof;\n{functions_sql()}"
            f"\n{event_triggers_sql(publication)}",
        )


def _columns(there: SeenTable, table: Table) -> Iterator[Problem]:
    """Every column is declared as it is."""
    seen = {column.name: column for column in there.columns}
    declared = {column.name: column for column in table.columns}
    for name in sorted(seen.keys() - declared.keys()):
        yield _declare(table.name, f"column {name} ({seen[name].type}) is not declared")
    for name, column in declared.items():
        if name not in seen:
            yield _declare(table.name, f"column {name} is declared, but not there")
            continue
        for what in _differences(column, seen[name]):
            yield _declare(table.name, f"column {name} {what}")
    if seen.keys() == declared.keys() and list(seen) != list(declared):
        # a snapshot's own SELECT names the declared columns, and the connector takes them by position
        yield _declare(table.name, f"its columns are declared in another order than {', '.join(seen)}")


def _differences(declared: Column, seen: SeenColumn) -> Iterator[str]:
    if declared.type != seen.type:
        yield f"is declared as {declared.type}, but is {seen.type}"
    if declared.nullable == seen.not_null:
        yield f"is declared {'nullable' if declared.nullable else 'NOT NULL'}, but is not"
    if declared.given_by != (given := _given_by(seen)) and {declared.given_by, given} != {
        "client",
        "default",
    }:
        yield f"is declared to be given by {declared.given_by}, but is by {given}"


def _given_by(seen: SeenColumn) -> str:
    if seen.generated:
        return "generated"
    if seen.identity:
        return "identity"
    if seen.default is None:
        return "client"
    return "serial" if seen.default.startswith("nextval(") else "default"


def _key(there: SeenTable, table: Table) -> Iterator[Problem]:
    """The primary key is the declared one; without one, rows can't be told apart (FM-43)."""
    if there.key != table.key:
        columns = ", ".join(map(_ident, table.key))
        yield Problem(
            table=table.name,
            what=f"its primary key is {there.key or 'missing'}, declared is {table.key}",
            cure_sql=_alter(table.name, f"ADD PRIMARY KEY ({columns})")
            if not there.key
            else f"-- schema.toml: declare the key of {table.name} as {list(there.key)}",
        )


def _constraints(there: SeenTable, table: Table) -> Iterator[Problem]:
    """Foreign keys and unique columns are declared as they are."""
    declared = {
        (k.columns, k.parent, k.parent_columns, k.deferrable, k.on_delete) for k in table.foreign_keys
    }
    seen = {(k.columns, k.parent, k.parent_columns, k.deferrable, k.on_delete) for k in there.foreign_keys}
    for what, keys in (
        ("is declared, but not there", declared - seen),
        ("is not declared", seen - declared),
    ):
        for child, parent, parents, deferrable, action in sorted(keys):
            words = f"foreign key {list(child)} to {parent} {list(parents)}"
            yield _declare(table.name, f"{words}, deferrable {deferrable}, on delete {action}, {what}")
    for what, sets in (
        ("is declared unique, but is not", _sets(table.unique) - _sets(there.unique)),
        ("is unique, but not declared so", _sets(there.unique) - _sets(table.unique)),
    ):
        for columns in sorted(sets, key=sorted):
            yield _declare(table.name, f"{sorted(columns)} {what}")


def _sets(unique: Iterable[tuple[str, ...]]) -> set[frozenset[str]]:
    return {frozenset(columns) for columns in unique}


def _owner(there: SeenTable, table: Table) -> Iterator[Problem]:
    """The tenant's column, or each step to it, is NOT NULL: a row without an owner is nobody's backup."""
    needed: dict[str, str] = {}
    match table.tenancy:
        case ByColumn(column=column):
            needed = {column: "its tenant column"}
        case ByPath(columns=columns):
            needed = dict.fromkeys(columns, "the path to its tenant through")
    nullable = {column.name for column in there.columns if not column.not_null}
    for column, words in needed.items():
        if column in nullable:
            yield Problem(
                table=table.name,
                what=f"{words} {column} is nullable",
                cure_sql=_alter(table.name, f"ALTER COLUMN {_ident(column)} SET NOT NULL"),
            )


def _kinds(there: SeenTable, table: Table) -> Iterator[Problem]:
    """Nothing that logical decoding does not carry, or carries as something else (FM-35, FM-60)."""
    if there.persistence != "p":
        yield Problem(
            table=table.name,
            what="it is unlogged or temporary, so its changes are in no WAL",
            cure_sql=_alter(table.name, "SET LOGGED"),
        )
    for column in there.columns:
        name = _ident(column.name)
        if column.generated == "v":
            again = f"{name} {column.type} GENERATED ALWAYS AS ({column.default}) STORED"
            yield Problem(
                table=table.name,
                what=f"column {column.name} is generated and virtual: with full images, UPDATE fails",
                cure_sql=_alter(table.name, f"DROP COLUMN {name}, ADD COLUMN {again}"),
            )


def _types(there: SeenTable, table: Table, schema: Schema) -> Iterator[Problem]:
    """Every type arrives as it was; what is never restored may arrive as it likes (FM-58, FM-63 …)."""
    for column in there.columns if not isinstance(table.tenancy, Infrastructure) else ():
        name = _ident(column.name)
        if found := refused(column.type, schema):
            yield Problem(
                table=table.name,
                what=f"column {column.name} is of type {column.type}, whose values arrive changed:"
                f" {found.why}",
                cure_sql=_alter(table.name, f"ALTER COLUMN {name} TYPE {found.instead}"),
            )
        elif lacking := unmet(column.name, column.type, schema, there.checks):
            yield Problem(
                table=table.name,
                what=f"column {column.name} {'; it '.join(one.why for one in lacking)}",
                cure_sql=_alter(table.name, f"ADD CHECK ({cure(column.name, lacking)})"),
            )


def _images(there: SeenTable, table: Table) -> Iterator[Problem]:
    """Full row images on the table and each partition: else a delete has no owner (FM-37, FM-40)."""
    for name, identity in sorted(there.identities.items()):
        if identity != "f":
            yield Problem(
                table=table.name,
                what=f"the replica identity of {name} isn't FULL",
                cure_sql=_alter(name, "REPLICA IDENTITY FULL"),
            )


RULES: tuple[Callable[[SeenTable, Table], Iterator[Problem]], ...] = (
    _columns,
    _key,
    _constraints,
    _owner,
    _kinds,
)
"""The rules for one table, whether or not capture is prepared. To add one, add its function here."""


def _published(there: SeenTable, table: Table, seen: Seen, publication: str) -> Iterator[Problem]:
    """It is published, with all rows and columns, stored generated ones included (FM-34, FM-56, FM-60)."""
    if seen.publication is None:
        return
    if there.published is None:
        yield Problem(
            table=table.name,
            what=f"it is not in publication {publication}",
            cure_sql=f"ALTER PUBLICATION {publication} ADD TABLE {quoted(table.name)};",
        )
    elif not there.published:
        yield Problem(
            table=table.name,
            what=f"publication {publication} leaves out rows or columns of it",
            cure_sql=f"ALTER PUBLICATION {publication} DROP TABLE {quoted(table.name)};"
            f" ALTER PUBLICATION {publication} ADD TABLE {quoted(table.name)};",
        )
    stored = [column.name for column in there.columns if column.generated == "s"]
    if stored and seen.version >= STORED_COLUMNS_SINCE and not seen.publication.stored_columns:
        yield Problem(
            table=table.name,
            what=f"its generated columns {stored} are not published: with full images, UPDATE fails",
            cure_sql=f"ALTER PUBLICATION {publication} SET (publish_generated_columns = stored);",
        )


def quoted(name: str) -> str:
    """Quote a table's qualified name."""
    return ".".join(map(_ident, name.split(".", 1)))


def _options(version: int) -> str:
    options = "publish = 'insert, update, delete, truncate', publish_via_partition_root = true"
    return options + (", publish_generated_columns = stored" if version >= STORED_COLUMNS_SINCE else "")


def _declare(table: str, what: str) -> Problem:
    return Problem(table=table, what=what, cure_sql=f"-- schema.toml: mend the declaration of {table}")


def _alter(table: str, change: str) -> str:
    return f"ALTER TABLE {quoted(table)} {change};"


def _ident(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
