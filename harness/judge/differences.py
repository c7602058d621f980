"""Where found rows differ from the state they should be, and what each difference is.

A difference is named after its cause as far as the history tells it: what the script did, a write after
the cut, a write that was refused, a neighbour's row, a deletion undone, a hole in the prefix. Only what
nothing explains is called a strange row or a wrong cell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from harness.judge.states import Hole, Solution, Step
from harness.judge.timeline import Transaction
from harness.judge.wording import row_words
from harness.model.values import Cell, Image, Row, RowKey, row_of, same, table_of

Kind = Literal[
    "missing row",
    "stale row",
    "resurrection",
    "wrong cell",
    "strange row",
    "neighbour's row",
    "the script's damage",
    "after the cut",
    "refused write",
    "earlier state",
    "repeated row",
]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One row, or one cell of it, that is not as it should be.

    ``expected`` and ``found``: of a wrong cell the rows that it stands in; of a strange row what was found.
    ``operation``: the transaction that wrote what was expected (or found, where nothing was).
    ``because``: for a hole, what shows that the operation is in: a later one, or another row of its own.
    """

    kind: Kind
    row: RowKey
    expected: Row | None = None
    found: Row | None = None
    column: str | None = None
    operation: str | None = None
    because: str | None = None

    @property
    def cells(self) -> tuple[Cell, Cell]:
        """The expected and the found cell, for a difference of one cell."""
        if self.column is None:
            return None, None
        expected = self.expected.get(self.column) if self.expected else None
        return expected, self.found.get(self.column) if self.found else None


class Elsewhere(msgspec.Struct, frozen=True, kw_only=True):
    """What else may explain a row: steps barred from the state, refused writes, earlier states, owners."""

    tenant: str
    barred: Sequence[Step] = ()
    refused: Sequence[Transaction] = ()
    earlier: Sequence[Step] = ()
    owners: Mapping[RowKey, str] = {}


def differences(solution: Solution, elsewhere: Elsewhere) -> Iterator[Difference]:
    """Yield every difference between what was found and the state that the solution says it is."""
    undone = _undone_by_script(solution, elsewhere.barred)
    for hole in solution.holes:
        yield _hole(solution, hole, undone)
    for row in solution.strange:
        yield from _strange(solution, row, elsewhere)


def _undone_by_script(solution: Solution, barred: Iterable[Step]) -> dict[RowKey, str]:
    """Return rows that lag, as some step of the script left them, if none of its rows says otherwise."""
    holes = {hole.row for hole in solution.holes}
    undone: dict[RowKey, str] = {}
    for step in barred:
        certain = {row: image for row, image in step.writes.items() if row not in step.maybe}
        there = all(same(solution.found.get(row), image) for row, image in certain.items())
        if step.role == "damage" and there:
            undone |= dict.fromkeys(holes & certain.keys(), step.tx.name)
    return undone


def _hole(solution: Solution, hole: Hole, undone: Mapping[RowKey, str]) -> Difference:
    expected, found = solution.expected(hole.row), solution.found.get(hole.row)
    lacking = solution.chains[hole.row][hole.shown + 1 : hole.demanded + 1]
    absent = next(n for n in lacking if n in solution.reasons)  # no open one that only may be in
    if hole.row in undone:
        kind: Kind = "the script's damage"
    elif found is None:
        kind = "missing row"
    else:
        kind = "resurrection" if expected is None else "stale row"
    return Difference(
        kind=kind,
        row=hole.row,
        operation=undone.get(hole.row, solution.steps[absent].tx.name),
        because=_because(solution, absent),
    )


def _because(solution: Solution, absent: int) -> str | None:
    """Say why a step must be in; None when every committed one must."""
    witness = solution.witness(absent)
    if witness != absent:
        return f"{solution.steps[witness].tx.name}, which came after it, is in"
    shown = solution.reasons[absent].row
    return f"its own row {row_words(shown)} says that it is in" if shown else None


def _strange(solution: Solution, row: RowKey, elsewhere: Elsewhere) -> Iterator[Difference]:
    found, expected, last = solution.found[row], solution.expected(row), solution.last(row)
    known = _known(row, found, elsewhere)
    if known is not None:
        kind, operation = known
        yield Difference(kind=kind, row=row, operation=operation)
    elif expected is None or last is None:
        writer = last.tx.name if last else None
        yield Difference(kind="strange row", row=row, found=row_of(found), operation=writer)
    else:
        yield from _cells(row, row_of(expected), row_of(found), last.tx.name)


def _known(row: RowKey, found: Image, elsewhere: Elsewhere) -> tuple[Kind, str] | None:
    """Say where else this very image comes from, if the history knows."""
    for step in elsewhere.barred:
        if same(step.writes.get(row), found):
            return ("after the cut" if step.role == "own" else "the script's damage"), step.tx.name
    for step in elsewhere.earlier:
        if same(step.writes.get(row), found):
            return "earlier state", step.tx.name
    for tx in elsewhere.refused:
        if any(change.table == table_of(row) and same(change.row, found) for change in tx.changes):
            return "refused write", tx.name
    owner = elsewhere.owners.get(row, elsewhere.tenant)
    return ("neighbour's row", f"tenant {owner}") if owner != elsewhere.tenant else None


def _cells(row: RowKey, expected: Row, found: Row, operation: str) -> Iterator[Difference]:
    for column in sorted(expected.keys() | found.keys()):
        if expected.get(column) != found.get(column) or (column in expected) != (column in found):
            yield Difference(
                kind="wrong cell",
                row=row,
                expected=expected,
                found=found,
                column=column,
                operation=operation,
            )
