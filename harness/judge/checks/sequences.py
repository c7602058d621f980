"""Point 6: sequences lie past every key ever archived for any tenant, so that the next insert is not
refused.

On the first cluster all committed keys count; on a fresh one those of the restored states and what was
written since.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, compress

from harness.judge.case import Case
from harness.judge.check import Check, unknown
from harness.judge.lines import Stretch
from harness.judge.states import Step
from harness.judge.timeline import NEVER
from harness.model.history import SequencesSeen
from harness.model.schema import Table
from harness.model.values import RowKey, keys_begin, rows_of
from harness.model.verdict import Finding

NAME = "sequences"


def _run(case: Case) -> Iterator[Finding]:
    owned = sorted(case.schema.owned, key=lambda table: table.name)
    columns = [(table, column) for table in owned for column in sorted(_numbered(table))]
    seen = [entry for entry in case.timeline.of(SequencesSeen) if entry.place == "live"]
    if columns and not seen:
        yield unknown(NAME, "the sequences were not read at the end")
        return
    archived = list(_archived(case)) if columns else []
    for table, column in columns:
        given = chain.from_iterable(_given(steps, table, column) for steps in archived)
        highest = max(map(int, given), default=None)
        next_value = seen[-1].next_values.get(f"{table.name}.{column}")
        if highest is None or (next_value is not None and highest < next_value):
            continue
        if next_value is None:
            yield unknown(NAME, f"the sequence of {table.name}.{column} was not read")
        else:
            steps = chain.from_iterable(archived)
            operation = next(s.tx.name for s in steps if str(highest) in _given([s], table, column))
            yield _finding(table.name, column, highest, next_value, operation)


def _numbered(table: Table) -> list[str]:
    return [column.name for column in table.columns if column.given_by in ("identity", "serial")]


def _given(steps: Sequence[Step], table: Table, column: str) -> Iterator[str]:
    """Yield what was given for a column, as text. What is gone now was given, too."""
    (begin,) = keys_begin((table.name,))
    if table.key == (column,):
        rows: dict[RowKey, object] = {}  # each once: most are written more than once
        for step in steps:
            rows.update(step.writes)
        return (row[len(begin) :] for row in rows if row.startswith(begin))
    written = chain.from_iterable(step.writes.items() for step in steps)
    images = (image for row, image in written if row.startswith(begin) and image is not None)
    return (cell for row in rows_of(images) if isinstance(cell := row.get(column), str))


def _archived(case: Case) -> Iterator[Sequence[Step]]:
    """Yield the steps that count, stretch by stretch."""
    if case.timeline.wiped_s == NEVER:
        for line in case.lines.values():
            yield from map(_committed, line.stretches)
        return
    for solution in (judged.solution for judged in case.restores if judged.solution is not None):
        yield [*compress(solution.steps, solution.inside)]
    for living in case.living:
        yield _committed(living.stretch)


def _committed(stretch: Stretch) -> list[Step]:
    return [step for step in stretch.steps if step.tx.outcome == "acked"]


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
