"""Point 6: sequences lie past every key ever archived for any tenant, so that the next insert is not
refused.

On the first cluster all committed keys count; on a fresh one those of the restored states and what was
written since.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from harness.judge.case import Case
from harness.judge.check import Check, unknown
from harness.judge.states import Step
from harness.judge.timeline import NEVER
from harness.model.history import SequencesSeen
from harness.model.schema import Table
from harness.model.values import keys_begin, rows_of
from harness.model.verdict import Finding

NAME = "sequences"


def _run(case: Case) -> Iterator[Finding]:
    owned = sorted(case.schema.owned, key=lambda table: table.name)
    columns = [(table, column) for table in owned for column in sorted(_numbered(table))]
    seen = [entry for entry in case.timeline.of(SequencesSeen) if entry.place == "live"]
    if columns and not seen:
        yield unknown(NAME, "the sequences were not read at the end")
        return
    steps = list(_archived(case)) if columns else []
    for table, column in columns:
        highest = max(map(int, _given(steps, table, column)), default=None)
        next_value = seen[-1].next_values.get(f"{table.name}.{column}")
        if highest is None or (next_value is not None and highest < next_value):
            continue
        if next_value is None:
            yield unknown(NAME, f"the sequence of {table.name}.{column} was not read")
        else:
            operation = next(s.tx.name for s in steps if str(highest) in _given([s], table, column))
            yield _finding(table.name, column, highest, next_value, operation)


def _numbered(table: Table) -> list[str]:
    return [column.name for column in table.columns if column.given_by in ("identity", "serial")]


def _given(steps: Sequence[Step], table: Table, column: str) -> Iterator[str]:
    """Yield what was given for a column, as text. What is gone now was given, too."""
    (begin,) = keys_begin((table.name,))
    if table.key == (column,):
        rows = chain.from_iterable(step.writes for step in steps)
        return (row[len(begin) :] for row in rows if row.startswith(begin))
    written = chain.from_iterable(step.writes.items() for step in steps)
    images = (image for row, image in written if row.startswith(begin) and image is not None)
    return (cell for row in rows_of(images) if isinstance(cell := row.get(column), str))


def _archived(case: Case) -> Iterable[Step]:
    if case.timeline.wiped_s == NEVER:
        stretches = (stretch for line in case.lines.values() for stretch in line.stretches)
        return (step for stretch in stretches for step in stretch.steps if step.required)
    restored = (judged.solution for judged in case.restores if judged.solution is not None)
    inside = (s for r in restored for s, there in zip(r.steps, r.inside, strict=True) if there)
    live = (step for living in case.living for step in living.stretch.steps if step.required)
    return (*inside, *live)


def _finding(table: str, column: str, highest: int, next_value: int, operation: str) -> Finding:
    return Finding(
        check=NAME,
        point=6,
        verdict="broken",
        message=f"the next value of {table}.{column} is {next_value}, but {highest} was given already",
        table=table,
        column=column,
        expected=str(highest + 1),
        found=str(next_value),
        operation=operation,
    )


CHECK = Check(name=NAME, point=6, run=_run)
