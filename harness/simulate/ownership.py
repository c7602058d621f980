"""Whose rows a snapshot of the simulated database holds, found as the schema's tenancy says."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from harness.model.schema import ByColumn, ByPath, Schema, Table
from harness.model.values import RawRow
from harness.simulate.server import View

OwnedRows = dict[str, dict[str, list[RawRow]]]
"""Tenant to table to rows, in the order of their keys; every owned table is there."""

_Cells = tuple[str | None, ...]
_Owners = dict[tuple[str, tuple[str, ...]], dict[_Cells, str]]


def rows_by_tenant(schema: Schema, view: View, tenants: Collection[str]) -> OwnedRows:
    """Sort the rows of owned tables by tenant, for these tenants."""
    tables = schema.owned
    found: OwnedRows = {t: {table.name: [] for table in tables} for t in tenants}
    owners: _Owners = {}
    referred = _referred(tables)
    for table in tables:
        owner_of = _finder(table, owners)
        known = {
            columns: owners.setdefault((table.name, columns), {})
            for columns in referred.get(table.name, ())
        }
        for key in sorted(view[table.name]):
            row = view[table.name][key]
            owner = owner_of(row)
            if owner in found:
                found[owner][table.name].append(row)
                for columns, by_cells in known.items():
                    by_cells[tuple(row[c] for c in columns)] = owner
    return found


def _finder(table: Table, owners: _Owners) -> Callable[[RawRow], str | None]:
    match table.tenancy:
        case ByColumn(column=column):
            return lambda row: row[column]
        case ByPath(columns=columns):
            step = table.foreign_key(columns)
            parents = owners.get((step.parent, step.parent_columns), {})
            return lambda row: parents.get(tuple(row[c] for c in step.columns))
    raise AssertionError(f"{table.name} is not owned")


def _referred(tables: Sequence[Table]) -> dict[str, dict[tuple[str, ...], None]]:
    """Return by table the columns through which rows of others find their owner."""
    found: dict[str, dict[tuple[str, ...], None]] = {}
    for child in tables:
        if isinstance(child.tenancy, ByPath):
            step = child.foreign_key(child.tenancy.columns)
            found.setdefault(step.parent, {})[step.parent_columns] = None
    return found
