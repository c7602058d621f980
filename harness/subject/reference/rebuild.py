"""Which parts of an archived schema a database lacks, and the SQL that builds just those. Pure.

A schema is archived as pg_dump writes it: items under headers that name them. Built are tables that are
missing with all that hangs on them (identities, keys, indexes, triggers, comments, grants), and types,
functions, publications, memberships and event triggers that are missing. Nothing is done to a table that is
there, but for foreign keys of it that refer to one that was missing: those went with it. They come back NOT
VALID, since rows of tenants that are not restored yet have no parents, and are validated once they have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Set

import msgspec

_HEADER = re.compile(r"^--\n-- Name: (.*); Type: (.*); Schema: (.*); Owner: .*\n--\n", re.MULTILINE)
_ADDING = re.compile(r' ADD CONSTRAINT (\S+|"[^"]+") .*', re.DOTALL)
_ALONE = frozenset(
    {
        *("SCHEMA", "EXTENSION", "TYPE", "DOMAIN", "FUNCTION", "PROCEDURE", "AGGREGATE", "COLLATION"),
        *("TABLE", "VIEW", "MATERIALIZED VIEW", "SEQUENCE", "TABLE ATTACH", "INDEX ATTACH"),
        *("PUBLICATION", "PUBLICATION TABLE", "EVENT TRIGGER"),
    }
)
"""Kinds of items that are built if they are missing, whatever else is there."""

_OF_TABLES = frozenset(
    {
        *("CONSTRAINT", "FK CONSTRAINT", "CHECK CONSTRAINT", "DEFAULT", "TRIGGER", "RULE", "POLICY"),
        *("INDEX", "ROW SECURITY", "STATISTICS"),
    }
)
"""Kinds of items that go with their table, and are built with it."""

_OF_ITEMS = frozenset({"ACL", "COMMENT", "SECURITY LABEL", "SEQUENCE OWNED BY"})
"""Kinds of items that say more about another one."""


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One item of a dump: ``name`` within ``schema`` ('-' for none), as the dump's header has them."""

    kind: str
    schema: str
    name: str
    sql: str

    @property
    def id(self) -> str:
        """What it is called where present items are listed."""
        return f"{self.kind} {self.schema} {self.name}"


def items(ddl: str) -> list[Item]:
    """Take a dump apart, in its order; what stands before the first header are settings, left out."""
    headers = list(_HEADER.finditer(ddl))
    ends = [*(header.start() for header in headers[1:]), len(ddl)]
    return [
        Item(name=header[1], kind=header[2], schema=header[3], sql=ddl[header.end() : end].strip())
        for header, end in zip(headers, ends, strict=True)
    ]


def missing(ddl: str, present: Set[str]) -> list[Item]:
    """Return the items to be built in a database that has those of ``present`` (by ``Item.id``)."""
    found = items(ddl)
    absent = {item.id for item in found if item.kind in _ALONE and item.id not in present}
    tables = [item for item in found if item.kind == "TABLE" and item.id in absent]
    chosen = [item for item in found if item.id in absent or _goes_along(item, tables, absent, present)]
    wanted = [item if _of_missing(item, tables) else _not_valid(item) for item in chosen]
    late = [item for item in wanted if item.kind == "TABLE ATTACH" and not _with_its_root(item, tables)]
    return _later(wanted, late)


def unproven(ddl: str, not_valid: Set[str]) -> list[str]:
    """Return the SQL that validates those foreign keys (by ``Item.id``) that a dump has as valid."""
    found = {item.id: item.sql for item in items(ddl) if not item.sql.endswith("NOT VALID;")}
    return [
        _ADDING.sub(r" VALIDATE CONSTRAINT \1;", found[name]) for name in sorted(not_valid & found.keys())
    ]


def _of_missing(item: Item, tables: list[Item]) -> bool:
    """Whether it is no foreign key, or one of a table that is built anew and has no rows yet."""
    names = (f"{table.name} " for table in tables if table.schema == item.schema)
    return item.kind != "FK CONSTRAINT" or item.name.startswith(tuple(names))


def _not_valid(item: Item) -> Item:
    sql = item.sql if item.sql.endswith("NOT VALID;") else item.sql.removesuffix(";") + " NOT VALID;"
    return msgspec.structs.replace(item, sql=sql)


def _with_its_root(item: Item, tables: list[Item]) -> bool:
    """Whether the table that a leaf is attached to is missing as well."""
    return any(f" {_qualified(table)} ATTACH " in item.sql for table in tables)


def _later(wanted: list[Item], late: list[Item]) -> list[Item]:
    """Put the attaching of leaves to a root that is there after their own keys and indexes.

    Attached without them, they would be given others.
    """
    kept = [item for item in wanted if item not in late]
    place = next((n for n, item in enumerate(kept) if item.kind == "INDEX ATTACH"), len(kept))
    return [*kept[:place], *late, *kept[place:]]


def _goes_along(item: Item, tables: list[Item], absent: Set[str], present: Set[str]) -> bool:
    if item.kind in _OF_ITEMS:
        return any(whole in absent for whole in _whole(item))
    if item.kind not in _OF_TABLES or item.id in present:
        return False
    return any(_hangs_on(item, table) for table in tables)


def _whole(item: Item) -> Iterator[str]:
    """Yield what it may be about: ``TABLE notes``, ``COLUMN notes.body``, ``CONSTRAINT c ON notes``."""
    kind, _, name = item.name.partition(" ")
    if item.kind == "SEQUENCE OWNED BY":
        yield f"SEQUENCE {item.schema} {item.name}"
    elif kind == "COLUMN":
        yield f"TABLE {item.schema} {name.rpartition('.')[0]}"
    elif " ON " in name:
        yield f"TABLE {item.schema} {name.rpartition(' ON ')[2]}"
    else:
        yield f"{kind} {item.schema} {name}"


def _hangs_on(item: Item, table: Item) -> bool:
    """Whether the item is of the table, or a foreign key to it."""
    if item.schema == table.schema and item.name.startswith(f"{table.name} "):
        return True
    place = "REFERENCES" if item.kind == "FK CONSTRAINT" else "ON" if item.kind == "INDEX" else None
    named = re.escape(_qualified(table))
    return place is not None and re.search(rf" {place} (ONLY )?{named}[ (;]", item.sql) is not None


def _qualified(table: Item) -> str:
    return f"{_quoted(table.schema)}.{_quoted(table.name)}"


def _quoted(name: str) -> str:
    """Quote a name as pg_dump does, which is only where it must."""
    plain = re.fullmatch(r"[a-z_][a-z0-9_$]*", name)
    return name if plain else '"' + name.replace('"', '""') + '"'
