"""The SQL that sessions and readers send, built from a declared schema. Pure text, no connection.

Values are always parameters; identifiers are always quoted. A row's tenant is found by joining along the
path of foreign keys that its table declares.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.model.schema import ByPath, ForeignKey, Infrastructure, Schema, Table

OWNER = "@owner"
"""Name of the column with the owning tenant's id in ``rows_of_tenants`` and ``keys_of_tenants``."""


XID, LSN = "@xid", "@lsn"
"""Names of the columns with the transaction's id and position in ``state``."""


def ident(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'


def qualified(name: str) -> str:
    """Quote a table's name, which is qualified with its schema."""
    return ".".join(ident(part) for part in name.split(".", 1))


def columns_of(table: Table, alias: str = "") -> str:
    """List all columns of a table, in their declared order."""
    return _list([column.name for column in table.columns], alias)


def insert(table: Table, columns: Sequence[str]) -> str:
    """Insert one row with these columns and return its image; defaults for the rest."""
    given = (
        f"({_list(columns)}) VALUES ({', '.join(['%s'] * len(columns))})" if columns else "DEFAULT VALUES"
    )
    return f"INSERT INTO {qualified(table.name)} {given} RETURNING {columns_of(table)}"


def copy_in(table: Table, columns: Sequence[str]) -> str:
    """Bulk-load rows with these columns."""
    return f"COPY {qualified(table.name)} ({_list(columns)}) FROM STDIN"


def by_keys(table: Table) -> str:
    """Read rows by their keys, in the order asked for; one array of texts per key column."""
    arrays = ", ".join(f"%s::{table.column(name).type}[]" for name in table.key)
    wanted = _list([f"k{i}" for i in range(len(table.key))])
    same = _and(f"t.{ident(name)} = wanted.k{i}" for i, name in enumerate(table.key))
    return (
        f"SELECT {columns_of(table, 't')} FROM unnest({arrays})"
        f" WITH ORDINALITY AS wanted ({wanted}, place)"
        f" JOIN {qualified(table.name)} AS t ON {same} ORDER BY wanted.place"
    )


def update(table: Table, key: Sequence[str], columns: Sequence[str]) -> str:
    """Update the row with this key and return its new image; parameters: values, then key."""
    changes = ", ".join(f"{ident(name)} = %s" for name in columns)
    where = f"WHERE {_matches(key)} RETURNING {columns_of(table)}"
    return f"UPDATE {qualified(table.name)} SET {changes} {where}"


def delete(table: Table, key: Sequence[str]) -> str:
    """Delete the row with this key, and say so by a row of the answer."""
    return f"DELETE FROM {qualified(table.name)} WHERE {_matches(key)} RETURNING 1"


def lock(table: Table, key: Sequence[str]) -> str:
    """Lock the row with this key, so that no other row can come to refer to it."""
    return f"SELECT 1 FROM {qualified(table.name)} WHERE {_matches(key)} FOR UPDATE"


def keys_below(table: Table, key: Sequence[str], path: Sequence[tuple[Table, ForeignKey]]) -> str:
    """Read the keys of the rows at the end of ``path`` that refer, step by step, to the row with this key.

    ``path`` leads away from ``table``: each step is a table and its foreign key to the one before.
    """
    joins = "".join(
        f" JOIN {qualified(child.name)} AS t{n} ON "
        + _and(
            f"t{n}.{ident(own)} = t{n - 1}.{ident(parent)}"
            for own, parent in zip(step.columns, step.parent_columns, strict=True)
        )
        for n, (child, step) in enumerate(path, 1)
    )
    keys = _list(path[-1][0].key, f"t{len(path)}")
    where = _and(f"t0.{ident(name)} = %s" for name in key)
    return f"SELECT {keys} FROM {qualified(table.name)} AS t0{joins} WHERE {where}"


def delete_of_tenants(schema: Schema, table: Table) -> str:
    """Delete the rows of some tenants; the parameter is an array of their ids."""
    keys = _list(table.key, "t0")
    return (
        f"DELETE FROM {qualified(table.name)} WHERE ({_list(table.key)}) IN"
        f" (SELECT {keys}{_from_tenants(schema, table)})"
    )


def rows_of_tenants(schema: Schema, table: Table) -> str:
    """Read the rows of some tenants, each behind its owner's id; the parameter is an array of ids."""
    return _by_tenant(schema, table, columns_of(table, "t0"))


def keys_of_tenants(schema: Schema, table: Table) -> str:
    """Read the keys of some tenants' rows, each behind its owner's id; parameter as above."""
    return _by_tenant(schema, table, _list(table.key, "t0"))


def marked_rows(schema: Schema, table: Table, mark_column: str) -> str:
    """Read those rows of some tenants whose mark this very transaction set; parameter as above."""
    return (
        f"SELECT {columns_of(table, 't0')}{_from_tenants(schema, table)}"
        f" AND t0.{ident(mark_column)} IS NOT NULL AND t0.xmin = pg_current_xact_id()::xid"
        f" ORDER BY {_list(table.key, 't0')}"
    )


def all_rows(table: Table) -> str:
    """Read a table that belongs to nobody."""
    return f"SELECT {columns_of(table)} FROM {qualified(table.name)} ORDER BY {_list(table.key)}"


def all_tenants(table: Table, column: str) -> str:
    """Read which tenants have rows in a table that has their id."""
    return f"SELECT DISTINCT {ident(column)} FROM {qualified(table.name)}"


def state(told: Table | None) -> str:
    """Read this very transaction's id and position beside each row of ``told`` that it wrote.

    Those are rows of an infrastructure table; without any, or without a table, there is one row of nulls.
    """
    mine = f"pg_current_xact_id()::xid AS {ident(XID)}, pg_current_wal_insert_lsn() AS {ident(LSN)}"
    if told is None:
        return f"SELECT {mine}"
    return (
        f"SELECT {mine}, {columns_of(told, 't')} FROM (SELECT) AS one"
        f" LEFT JOIN {qualified(told.name)} AS t ON {_of_this_transaction(told, 't.')}"
        f" ORDER BY {_list(told.key, 't')}"
    )


def written_here(table: Table) -> str:
    """Read the rows of an infrastructure table that this very transaction wrote."""
    return (
        f"SELECT {columns_of(table)} FROM {qualified(table.name)}"
        f" WHERE {_of_this_transaction(table)} ORDER BY {_list(table.key)}"
    )


def _of_this_transaction(table: Table, prefix: str = "") -> str:
    tenancy = table.tenancy
    assert isinstance(tenancy, Infrastructure)  # no other table is asked,
    assert tenancy.xid_column  # nor one without this
    kind = table.column(tenancy.xid_column).type
    return f"{prefix}{ident(tenancy.xid_column)} = pg_current_xact_id()::text::{kind}"


def unlink(table: Table, key: ForeignKey) -> str:
    """Set the nullable columns of a foreign key to null, wherever it is not."""
    nullable = [name for name in key.columns if table.column(name).nullable]
    changes = ", ".join(f"{ident(name)} = NULL" for name in nullable)
    return (
        f"UPDATE {qualified(table.name)} SET {changes}"
        f" WHERE {_and(f'{ident(name)} IS NOT NULL' for name in nullable)}"
    )


def _by_tenant(schema: Schema, table: Table, columns: str) -> str:
    return (
        f"SELECT {_owner(schema, table)} AS {ident(OWNER)}, {columns}{_from_tenants(schema, table)}"
        f" ORDER BY {_list(table.key, 't0')}"
    )


def _from_tenants(schema: Schema, table: Table) -> str:
    joins = "".join(
        f" JOIN {qualified(step.parent)} AS t{n} ON "
        + _and(
            f"t{n - 1}.{ident(child)} = t{n}.{ident(parent)}"
            for child, parent in zip(step.columns, step.parent_columns, strict=True)
        )
        for n, step in enumerate(schema.path(table), 1)
    )
    kind = _owning(schema, table).column(schema.tenant_column(table)).type
    return f" FROM {qualified(table.name)} AS t0{joins} WHERE {_owner(schema, table)} = ANY (%s::{kind}[])"


def _owner(schema: Schema, table: Table) -> str:
    return f"t{len(schema.path(table))}.{ident(schema.tenant_column(table))}"


def _owning(schema: Schema, table: Table) -> Table:
    while isinstance(table.tenancy, ByPath):
        table = schema.table(table.foreign_key(table.tenancy.columns).parent)
    return table


def _matches(key: Sequence[str]) -> str:
    return _and(f"{ident(name)} = %s" for name in key)


def _and(conditions: Iterable[str]) -> str:
    return " AND ".join(conditions)


def _list(names: Sequence[str], alias: str = "") -> str:
    prefix = f"{alias}." if alias else ""
    return ", ".join(prefix + ident(name) for name in names)
