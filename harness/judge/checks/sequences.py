"""Point 6: sequences lie past every key ever archived for any tenant, so that the next insert is not
refused.

On the first cluster all committed keys count; on a fresh one those of the restored states and what was
written since.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.judge.case import Case
from harness.judge.check import Check, unknown
from harness.judge.states import Step
from harness.judge.timeline import NEVER
from harness.model.history import SequencesSeen
from harness.model.schema import Table
from harness.model.verdict import Finding

NAME = "sequences"


def _run(case: Case) -> Iterator[Finding]:
    columns = {table.name: _numbered(table) for table in case.schema.owned if _numbered(table)}
    seen = [entry for entry in case.timeline.of(SequencesSeen) if entry.place == "live"]
    if columns and not seen:
        yield unknown(NAME, "the sequences were not read at the end")
        return
    for (table, column), (highest, operation) in sorted(_highest(case, columns).items()):
        next_value = seen[-1].next_values.get(f"{table}.{column}")
        if next_value is None:
            yield unknown(NAME, f"the sequence of {table}.{column} was not read")
        elif next_value <= highest:
            yield _finding(table, column, highest, next_value, operation)


def _numbered(table: Table) -> list[str]:
    return [column.name for column in table.columns if column.given_by in ("identity", "serial")]


def _highest(case: Case, columns: dict[str, list[str]]) -> dict[tuple[str, str], tuple[int, str]]:
    """Return for each column the highest value, and the operation that wrote it."""
    highest: dict[tuple[str, str], tuple[int, str]] = {}
    asked = [(table, column) for table, those in columns.items() for column in those]
    for step in _archived(case) if asked else ():
        for (table, _), row in step.writes.items():
            if row is None or table not in columns:
                continue
            for column in columns[table]:
                cell = row.get(column)
                if isinstance(cell, str):
                    value, best = int(cell), highest.get((table, column))
                    if best is None or value > best[0]:
                        highest[table, column] = (value, step.tx.name)
    return highest


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
