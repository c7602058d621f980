"""Whether the parts of a declared schema name each other rightly: tables, columns, keys, paths.

Types check each value of ``schema.toml`` alone; here is what they can't see. Pure; every disagreement is
a sentence of its own, so that one reading of the message mends the whole file.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from harness.model.errors import BadInput
from harness.model.schema import ByColumn, ByPath, Infrastructure, Schema, Table


def disagreements(schema: Schema) -> list[str]:
    """Return what does not agree within ``schema``, in the order of the file; empty when all does."""
    names = [table.name for table in schema.tables]
    found = [f"table {name} is declared twice" for name in _twice(names)]
    found += [f"table {name} is not qualified with its schema" for name in names if "." not in name]
    for table in schema.tables:
        found += _of_columns(table)
        found += _of_foreign_keys(table, schema)
        found += _of_path(table, schema)
    found += _of_script(schema)
    found += _of_hints(schema)
    return found


def _of_columns(table: Table) -> Iterator[str]:
    known = {column.name for column in table.columns}
    yield from (
        f"{table.name}.{name} is declared twice" for name in _twice([c.name for c in table.columns])
    )
    if not table.key:
        yield f"table {table.name} has no key"
    named = {*table.key, *(column for unique in table.unique for column in unique)}
    match table.tenancy:
        case ByColumn(column=column):
            named.add(column)
        case Infrastructure(xid_column=str(column)):
            named.add(column)
    yield from (f"table {table.name} names a column {name!r} it lacks" for name in sorted(named - known))
    yield from (
        f"key column {table.name}.{column.name} is nullable"
        for column in table.columns
        if column.name in table.key and column.nullable
    )


def _of_foreign_keys(table: Table, schema: Schema) -> Iterator[str]:
    columns = {t.name: {c.name for c in t.columns} for t in schema.tables}
    for key in table.foreign_keys:
        words = f"foreign key {key.columns} of {table.name}"
        if key.parent not in columns:
            yield f"{words} refers to unknown table {key.parent}"
        elif not set(key.columns) <= columns[table.name]:
            yield f"{words} names columns it lacks"
        elif not set(key.parent_columns) <= columns[key.parent]:
            yield f"{words} names columns that {key.parent} lacks"
        elif len(key.columns) != len(key.parent_columns):
            yield f"{words} has another number of columns than what it refers to"
        elif _comes_late(table, key.parent, schema) and not any(
            table.column(c).nullable for c in key.columns
        ):
            yield f"{words} is NOT NULL, but {key.parent} comes after it: put parents first"


def _comes_late(table: Table, parent: str, schema: Schema) -> bool:
    names = [t.name for t in schema.tables]
    return names.index(parent) >= names.index(table.name)


def _of_path(table: Table, schema: Schema) -> Iterator[str]:
    if not table.owned:
        return
    try:
        schema.path(table)
    except BadInput as error:
        columns = table.tenancy.columns if isinstance(table.tenancy, ByPath) else ()
        cures = [f"ALTER COLUMN {c} SET NOT NULL" for c in columns if table.column(c).nullable]
        cure = f"ALTER TABLE {table.name} {', '.join(cures)};" if cures else error.cure
        yield f"{error.message} (cure: {cure})"


def _of_script(schema: Schema) -> Iterator[str]:
    columns = {t.name: {c.name for c in t.columns} for t in schema.tables}
    script = schema.script
    if script.root not in columns:
        yield f"script root {script.root} is no table"
    elif not isinstance(schema.table(script.root).tenancy, ByColumn):
        yield f"script root {script.root} has no tenant column"
    for entity in script.entities:
        needed = {entity.column, *filter(None, [entity.mark_column])}
        if not needed <= columns.get(entity.table, set()):
            yield f"entity {entity.name} names what is not in table {entity.table}"
        yield from (
            f"entity {entity.name} keeps unknown table {t}" for t in entity.keeps if t not in columns
        )
    if schema.ledger and schema.ledger.column not in columns.get(schema.ledger.table, set()):
        yield f"ledger {schema.ledger.table}.{schema.ledger.column} is no column"


def _of_hints(schema: Schema) -> Iterator[str]:
    columns = {t.name: {c.name for c in t.columns} for t in schema.tables}
    for name, hint in schema.hints.items():
        if name not in columns:
            yield f"hints name unknown table {name}"
            continue
        named = {*hint.update, *hint.rekey, *hint.move}
        yield from (f"hints for {name} name a column {c!r} it lacks" for c in sorted(named - columns[name]))
        first = {key.columns[0] for key in schema.table(name).foreign_keys if key.columns}
        yield from (
            f"hints move {name}.{c}, which begins no foreign key" for c in hint.move if c not in first
        )


def _twice(names: list[str]) -> list[str]:
    ordered = sorted(names)
    return sorted({one for one, other in pairwise(ordered) if one == other})
