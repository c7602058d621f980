"""Turns differences into findings, whose words name what was expected and found, and who wrote it."""

from __future__ import annotations

from collections.abc import Iterator

from harness.judge.case import Case, Judged, Living
from harness.judge.differences import Difference, Elsewhere, Kind, differences
from harness.model.values import Cell, Digest, row_key, row_of, table_and_key
from harness.model.verdict import Finding


def restore_differences(case: Case, judged: Judged) -> Iterator[Difference]:
    """Yield where the rows read back after one restore differ from the state they are."""
    if judged.solution is None or judged.found is None:
        return
    if not judged.solution.exact:
        yield from differences(judged.solution, _elsewhere(case, judged))
    for row in judged.found.repeated:
        yield Difference(kind="repeated row", row=row, found=row_of(judged.found.rows[row]))
    for stored in judged.found.foreign:
        yield Difference(kind="strange row", row=row_key(stored.table, ()), found=row_of(stored.row))


def living_differences(case: Case, living: Living) -> Iterator[Difference]:
    """Yield where a tenant's live rows at the end differ from the state they should be."""
    if living.solution is None or living.found is None:
        return
    if not living.solution.exact:
        yield from differences(living.solution, _elsewhere(case, living))
    for row in living.found.repeated:
        yield Difference(kind="repeated row", row=row, found=row_of(living.found.rows[row]))


def _elsewhere(case: Case, subject: Judged | Living) -> Elsewhere:
    stretches = case.lines[subject.tenant].stretches
    place = next(n for n, stretch in enumerate(stretches) if stretch is subject.stretch)
    return Elsewhere(
        tenant=subject.tenant,
        barred=subject.barred if isinstance(subject, Judged) else (),
        refused=case.refused.get(subject.tenant, ()),
        earlier=[step for stretch in stretches[:place] for step in stretch.steps],
        owners=case.owners,
    )


_WORDS: dict[Kind, str] = {
    "missing row": "row is missing",
    "stale row": "row lacks its latest write",
    "resurrection": "row was deleted for good reason and is back",
    "wrong cell": "cell differs",
    "strange row": "row was never written",
    "neighbour's row": "row belongs to another tenant",
    "the script's damage": "row is as the script left it",
    "after the cut": "row was written after the cut",
    "refused write": "row was written by a refused transaction",
    "earlier state": "row is of a state before the last restore",
    "repeated row": "row is there more than once",
}


def restore_findings(case: Case, check: str, point: int, kinds: tuple[Kind, ...]) -> Iterator[Finding]:
    """Yield a finding for each difference of these kinds, over all restores."""
    for judged in case.restores:
        for difference in restore_differences(case, judged):
            if difference.kind in kinds:
                yield finding(check, point, judged.tenant, judged.restore.number, difference)


def finding(check: str, point: int, tenant: str, restore: int, difference: Difference) -> Finding:
    """Return the finding, broken, that tells of one difference."""
    table, key = table_and_key(difference.row)
    expected, found = difference.cells
    return Finding(
        check=check,
        point=point,
        verdict="broken",
        message=_message(difference),
        tenant=tenant,
        restore=restore,
        table=table,
        key=key,
        column=difference.column,
        expected=expected,
        found=found,
        operation=difference.operation,
    )


def _message(difference: Difference) -> str:
    parts = [_WORDS[difference.kind]]
    if difference.column is not None:
        expected, found = difference.cells
        parts.append(f"expected {show(expected)}, found {show(found)}")
    if difference.operation is not None:
        parts.append(f"written by {difference.operation}")
    if difference.because is not None:
        parts.append(f"although {difference.because}")
    return "; ".join(parts)


def show(cell: Cell) -> str:
    """Write a cell for a person."""
    if isinstance(cell, Digest):
        return f"a text of {cell.chars} characters ({cell.sha256[:12]})"
    return "NULL" if cell is None else repr(cell)
