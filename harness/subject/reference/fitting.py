"""A restored tenant's rows in the shape that tables have where they go to. Pure.

Rows come in the shape of the cut; the target may be of then, or of any time after. What the archive tells
of changes since is applied until the columns agree.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from harness.model.errors import RestoreRefused
from harness.model.schema import Schema, Table
from harness.subject.reference.ports import Swap
from harness.subject.reference.shapes import Altered, shaped


def fitted(swap: Swap, schema: Schema, there: Mapping[str, Collection[str]]) -> Swap:
    """Return ``swap`` for a target whose tables have the columns ``there``.

    A table that the target lacks is left out, if nothing is to go there: it was created later. Raises
    RestoreRefused.
    """
    rows, shared = dict(swap.rows), dict(swap.shared)
    tables = []
    for table in schema.tables:
        of = rows if table.name in rows else shared
        if table.name not in there and not of.get(table.name):
            continue
        before, after = _of(table, swap.earlier), _of(table, swap.later)
        fits = _at_the_cut(table, before, after)
        for one in (None, *after):
            if one is not None:
                fits = shaped(fits, one)
                of[table.name] = [one.row(row) for row in of.get(table.name, ())]
            if _agree(fits, there.get(table.name)):
                break
        else:
            raise _refusal(table, fits, there.get(table.name, ()))
        tables.append(fits)
    declared = msgspec.structs.replace(schema, tables=tuple(tables))
    return msgspec.structs.replace(swap, rows=rows, shared=shared, declared=declared)


def _of(table: Table, altered: Sequence[Altered]) -> list[Altered]:
    return [one for one in altered if one.now.table == table.name]


def _at_the_cut(table: Table, before: Sequence[Altered], after: Sequence[Altered]) -> Table:
    """Return the table as it was at the cut, whichever shape is declared now."""
    if before:
        return shaped(table, before[-1])
    if after and after[0].was is not None:
        return shaped(table, msgspec.structs.replace(after[0], now=after[0].was, was=None))
    return table


def _agree(table: Table, there: Collection[str] | None) -> bool:
    return there is None or {column.name for column in table.columns} == {*there}


def _refusal(table: Table, fits: Table, there: Collection[str]) -> RestoreRefused:
    return RestoreRefused(
        f"{table.name} has columns {sorted(there)} in the target, which it had at no time from the cut on;"
        f" the last ones known are {sorted(column.name for column in fits.columns)}",
        cure="restore beside, into a scratch database",
    )
