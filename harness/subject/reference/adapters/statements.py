"""The SQL of a restore, built from the declared schema. Pure; values are parameters, as text.

A tenant's rows are found by its column, or along the path of foreign keys that leads to one. Lists of
values go as array literals of the column's own type, one array a column.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from harness.model.schema import ForeignKey, Schema, Table
from harness.model.values import RawRow


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A statement and its parameters."""

    sql: str
    parameters: tuple[str | None, ...] = ()


def quoted(*names: str) -> str:
    """Quote identifiers, joined by dots; ``schema.table`` counts as two."""
    parts = [part for name in names for part in name.split(".", 1)]
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def listed(columns: Iterable[str], prefix: str = "") -> str:
    """List columns, each with ``prefix`` (``t.``)."""
    return ", ".join(prefix + _column(column) for column in columns)


def array(values: Iterable[str | None]) -> str:
    """Return an array literal."""
    cells = ("NULL" if value is None else _element(value) for value in values)
    return "{" + ",".join(cells) + "}"


def rows_of(schema: Schema, table: Table, tenant: str, *, lock: bool = False) -> Query:
    """Select the tenant's rows, all columns; ``lock``: nobody else changes or removes them then."""
    columns = listed((c.name for c in table.columns), "t.")
    held = " FOR UPDATE OF t" if lock else ""
    return Query(sql=f"SELECT {columns} {_from_tenant(schema, table)}{held}", parameters=(tenant,))


def rows_with(table: Table, columns: Sequence[str], cells: Sequence[Sequence[str]]) -> Query:
    """Select rows, all columns, whosever they are, that hold any of these ``cells`` in ``columns``."""
    on = " AND ".join(f"t.{_column(c)} = d.{_column(c)}" for c in columns)
    all_columns = listed((c.name for c in table.columns), "t.")
    sql = f"SELECT {all_columns} FROM {quoted(table.name)} AS t JOIN {_unnest(table, columns, 'd')} ON {on}"
    return Query(sql=sql, parameters=tuple(array(of) for of in zip(*cells, strict=True)))


def delete(table: Table, rows: Sequence[RawRow]) -> Query:
    """Delete rows by their keys; return them, all columns, as they were."""
    on = " AND ".join(f"t.{_column(c)} = d.{_column(c)}" for c in table.key)
    sql = f"DELETE FROM {quoted(table.name)} AS t USING {_unnest(table, table.key, 'd')} WHERE {on}"
    sql += f" RETURNING {listed((c.name for c in table.columns), 't.')}"
    return Query(sql=sql, parameters=_arrays(rows, table.key))


def copy(table: Table) -> str:
    """Return the COPY that loads rows; it may give identity columns their values."""
    columns = listed(table.stored_columns).replace("%%", "%")  # COPY takes no parameters
    return f"COPY {quoted(table.name)} ({columns}) FROM STDIN"


def as_printed(table: Table, rows: Sequence[RawRow]) -> Query:
    """Select the rows' stored cells as the database prints them, in the same order."""
    columns = table.stored_columns
    source = _unnest(table, columns, "r", cast=False)
    cells = ", ".join(f"r.{_column(c)}::{table.column(c).type} AS {_column(c)}" for c in columns)
    return Query(sql=f"SELECT {cells} FROM {source}", parameters=_arrays(rows, columns))


def add(table: Table, rows: Sequence[RawRow]) -> Query:
    """Insert rows as COPY would, for those that are few: identity columns are given their values."""
    columns = table.stored_columns
    source = _unnest(table, columns, "r", cast=False)
    cells = ", ".join(f"r.{_column(c)}::{table.column(c).type}" for c in columns)
    sql = (
        f"INSERT INTO {quoted(table.name)} ({listed(columns)}) OVERRIDING SYSTEM VALUE"
        f" SELECT {cells} FROM {source}"
    )
    return Query(sql=sql, parameters=_arrays(rows, columns))


def add_absent(table: Table, rows: Sequence[RawRow]) -> Query:
    """Insert those rows whose key is not there."""
    every = add(table, rows)
    return Query(sql=f"{every.sql} ON CONFLICT DO NOTHING", parameters=every.parameters)


def orphan(schema: Schema, table: Table, key: ForeignKey, tenant: str) -> Query:
    """Select the key of one of the tenant's rows whose parent is missing."""
    parent = " AND ".join(
        f"p.{_column(p)} = t.{_column(c)}" for p, c in zip(key.parent_columns, key.columns, strict=True)
    )
    given = " AND ".join(f"t.{_column(c)} IS NOT NULL" for c in key.columns)
    sql = (
        f"SELECT {listed(table.key, 't.')} {_from_tenant(schema, table)} AND {given}"
        f" AND NOT EXISTS (SELECT FROM {quoted(key.parent)} AS p WHERE {parent}) LIMIT 1"
    )
    return Query(sql=sql, parameters=(tenant,))


def left_behind(schema: Schema, child: Table, key: ForeignKey, gone: Sequence[RawRow]) -> Query:
    """Select the key of a row, whosever it is, that refers to a row of ``gone`` that did not come back."""
    parent = schema.table(key.parent)
    pairs = list(zip(key.columns, key.parent_columns, strict=True))
    refers = " AND ".join(f"c.{_column(c)} = d.{_column(p)}" for c, p in pairs)
    there = " AND ".join(f"p.{_column(p)} = d.{_column(p)}" for _, p in pairs)
    sql = (
        f"SELECT {listed(child.key, 'c.')} FROM {_unnest(parent, key.parent_columns, 'd')}"
        f" JOIN {quoted(child.name)} AS c ON {refers}"
        f" WHERE NOT EXISTS (SELECT FROM {quoted(parent.name)} AS p WHERE {there}) LIMIT 1"
    )
    return Query(sql=sql, parameters=_arrays(gone, key.parent_columns))


def raise_sequences(high: Mapping[str, int]) -> Query:
    """Set each sequence behind a ``table.column`` that is there past the given value, if it is not yet."""
    places = [name.rpartition(".") for name in high]
    sql = (
        "SELECT setval(s.id, h.value) FROM unnest(%s::text[], %s::text[], %s::bigint[])"
        " AS h(table_name, column_name, value) JOIN pg_attribute AS a"
        " ON a.attrelid = to_regclass(h.table_name) AND a.attname = h.column_name AND NOT a.attisdropped,"
        " LATERAL (SELECT"
        " pg_get_serial_sequence(a.attrelid::regclass::text, a.attname)::regclass AS id) AS s"
        " WHERE coalesce(pg_sequence_last_value(s.id), 0) < h.value"
    )
    return Query(
        sql=sql,
        parameters=(
            array(quoted(table) for table, _, _ in places),
            array(column for _, _, column in places),
            array(str(value) for value in high.values()),
        ),
    )


def same_cells(table: Table, columns: Sequence[str], row: RawRow) -> Query:
    """Select the keys of rows that hold the same cells in ``columns`` as ``row``."""
    same = " AND ".join(f"{_column(c)} = %s" for c in columns)
    sql = f"SELECT {listed(table.key)} FROM {quoted(table.name)} WHERE {same}"
    return Query(sql=sql, parameters=tuple(row[c] for c in columns))


def _from_tenant(schema: Schema, table: Table) -> str:
    """``FROM table AS t`` and its parents, up to the one with the tenant's column, equal to a parameter."""
    joins, here = [], "t"
    for number, step in enumerate(schema.path(table), 1):
        above = f"p{number}"
        on = " AND ".join(
            f"{above}.{_column(p)} = {here}.{_column(c)}"
            for p, c in zip(step.parent_columns, step.columns, strict=True)
        )
        joins.append(f" JOIN {quoted(step.parent)} AS {above} ON {on}")
        here = above
    column = _column(schema.tenant_column(table))
    return f"FROM {quoted(table.name)} AS t{''.join(joins)} WHERE {here}.{column} = %s"


def _unnest(table: Table, columns: Sequence[str], alias: str, *, cast: bool = True) -> str:
    types = (table.column(c).type if cast else "text" for c in columns)
    arrays = ", ".join(f"%s::{kind}[]" for kind in types)
    return f"unnest({arrays}) AS {alias}({listed(columns)})"


def _arrays(rows: Sequence[RawRow], columns: Sequence[str]) -> tuple[str, ...]:
    return tuple(array(row[column] for row in rows) for column in columns)


def _column(name: str) -> str:
    return '"' + name.replace('"', '""').replace("%", "%%") + '"'


def _element(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
