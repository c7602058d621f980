"""Natural keys: what a tenant's rows at their cut had for themselves, and somebody else has by now (FM-12).

Then a restore in place has to be refused. Only what is certain counts: rows that were there for sure at the
cut, and committed rows of others as they were when the restore was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from harness.judge.lines import Line
from harness.judge.states import Step, fold
from harness.judge.timeline import Restore
from harness.model.schema import Schema, Table
from harness.model.values import Cell, Image, Key, row_of, table_and_key


class Taking(msgspec.Struct, frozen=True, kw_only=True):
    """Row ``wanted`` of ``table`` can't come back: ``present`` of ``holder`` has its ``columns``."""

    table: str
    columns: tuple[str, ...]
    wanted: Key
    present: Key
    holder: str

    def named_in(self, words: str) -> bool:
        """Whether a refusal names both rows."""
        return all(cell in words for cell in (self.table, *self.wanted, *self.present))


def takings(
    schema: Schema, lines: Mapping[str, Line], restore: Restore, steps: Iterable[Step]
) -> Iterator[Taking]:
    """Yield what is in the way of ``restore``; ``steps``: those that may be in the tenant's state."""
    wanted = fold(step for step in steps if step.required and not step.maybe)
    held = _held(schema, lines, restore)
    for row, image in wanted.items():
        table, key = table_and_key(row)
        for columns, cells in _unique_cells(schema.table(table), image):
            holder = held.get((table, columns, cells))
            if holder is not None:
                tenant, present = holder
                yield Taking(table=table, columns=columns, wanted=key, present=present, holder=tenant)


_Held = dict[tuple[str, tuple[str, ...], tuple[Cell, ...]], tuple[str, Key]]


def _held(schema: Schema, lines: Mapping[str, Line], restore: Restore) -> _Held:
    """Return who else has which unique cells as ``restore`` begins, in which row."""
    held: _Held = {}
    for line in lines.values():
        if line.tenant != restore.asked.tenant:
            steps = line.before(restore).steps
            there = fold(s for s in steps if s.required and s.tx.ended_s < restore.began_s)
            for row, image in there.items():
                table, key = table_and_key(row)
                for columns, cells in _unique_cells(schema.table(table), image):
                    held[table, columns, cells] = (line.tenant, key)
    return held


def _unique_cells(table: Table, image: Image) -> Iterator[tuple[tuple[str, ...], tuple[Cell, ...]]]:
    row = row_of(image) if table.unique else {}
    for columns in table.unique:
        cells = tuple(row.get(column) for column in columns)
        if None not in cells:
            yield columns, cells
