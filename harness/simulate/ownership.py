"""Whose rows a snapshot of the simulated database holds, found as the schema's tenancy says."""

from __future__ import annotations

from collections.abc import Callable, Collection

from harness.model.schema import ByColumn, ByPath, Schema, Table
from harness.model.values import RawRow
from harness.simulate.server import View

OwnedRows = dict[str, dict[str, list[RawRow]]]
"""Tenant to table to rows, in the order of their keys; every owned table is there."""

_Cells = tuple[str | None, ...]
_Owners = dict[tuple[str, tuple[str, ...]], dict[_Cells, str]]


def rows_by_tenant(schema: Schema, view: View, tenants: Collection[str]) -> OwnedRows:
    """Sort the rows of owned tables by tenant, for these tenants."""
    found: OwnedRows = {t: {table.name: [] for table in schema.owned} for t in tenants}
    owners: _Owners = {}
    for table in schema.owned:
        owner_of = _finder(table, owners)
        known = {
            columns: owners.setdefault((table.name, columns), {}) for columns in _referred(schema, table)
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


def _referred(schema: Schema, table: Table) -> list[tuple[str, ...]]:
    """Return the columns by which rows of other tables find their owner through this one."""
    steps = [
        child.foreign_key(child.tenancy.columns)
        for child in schema.owned
        if isinstance(child.tenancy, ByPath)
    ]
    return list(dict.fromkeys(s.parent_columns for s in steps if s.parent == table.name))
