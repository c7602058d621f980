"""What a second witness has of a tenant, held against what a restore from the archive brought back.

Both are rows at the same cut, read by the same reader: they agree when their canonical digests do. Where
they don't, a row is *excused* by a transaction that the judge found

- outside the restored state as a whole, if the witness has the row as that one left it: a loss, for which
  ``loss`` answers, or an open outcome, which the state may lack;
- inside it, if the archive has the row as that one left it, and it may have been committed between the
  bounds of the cut: any cut between them is right.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from harness.judge.states import Solution, Step
from harness.model.history import Cut, Witnessed
from harness.model.values import Image, Row, RowKey, row_if_any, row_of, same, table_and_key
from harness.model.verdict import Said

Rows = Mapping[RowKey, Image]


class Disagreement(msgspec.Struct, frozen=True, kw_only=True):
    """A row that nothing excuses, as either has it (None: not at all).

    ``step``: what wrote it as the witness has it, or else as the archive has it, as far as is known.
    """

    row: RowKey
    witness: Row | None
    archive: Row | None
    step: Step | None


class WitnessJudged(msgspec.Struct, frozen=True, kw_only=True):
    """One tenant's testimony. ``why_not``: why it can't be judged; ``unread``: its rows are not there.

    ``excuses``: names of the transactions that explain what differs.
    """

    heard: Witnessed
    why_not: str = ""
    unread: bool = False
    digest: str = ""
    excuses: tuple[str, ...] = ()
    differing: tuple[Disagreement, ...] = ()

    @property
    def said(self) -> Said:
        """What it comes to."""
        if self.why_not:
            return "not judged"
        if self.differing:
            return "differs"
        return "explained" if self.excuses else "agrees"


def digest(rows: Rows) -> str:
    """Return the canonical digest of a tenant's rows: in the order of tables and keys, columns by name."""
    canonical = [
        (table_and_key(row), sorted(row_of(rows[row]).items())) for row in sorted(rows, key=table_and_key)
    ]
    return hashlib.sha256(msgspec.json.encode(canonical)).hexdigest()


def compare(
    heard: Witnessed, witness: Rows, archive: Rows, solution: Solution | None, cut: Cut
) -> WitnessJudged:
    """Hold the witness's rows against the archive's. ``solution``: what the judge found these to be."""
    told = digest(witness)
    if told == digest(archive):
        return WitnessJudged(heard=heard, digest=told)
    excuses = list(_excuses(solution, cut))
    used: dict[str, None] = {}
    differing: list[Disagreement] = []
    for row in sorted(witness.keys() | archive.keys(), key=table_and_key):
        images = (witness.get(row), archive.get(row))
        if same(*images):
            continue
        by = next(
            (e for e in excuses if row in e.step.writes and same(e.step.writes[row], images[e.whose])), None
        )
        if by is not None:
            used[by.step.tx.name] = None
        else:
            writers = (step for image in images for step in _writers(solution, row, image))
            step = next(writers, None)
            there, back = map(row_if_any, images)
            differing.append(Disagreement(row=row, witness=there, archive=back, step=step))
    return WitnessJudged(heard=heard, digest=told, excuses=tuple(used), differing=tuple(differing))


class _Excuse(NamedTuple):
    """A row is excused as ``step`` left it, if the witness (``whose`` 0) or the archive (1) has it so."""

    step: Step
    whose: Literal[0, 1]


def _excuses(solution: Solution | None, cut: Cut) -> Iterator[_Excuse]:
    if solution is None:
        return
    for step, inside in zip(solution.steps, solution.inside, strict=True):
        if not inside:
            yield _Excuse(step, 0)
        elif _may_lie_within(step, cut):
            yield _Excuse(step, 1)


def _may_lie_within(step: Step, cut: Cut) -> bool:
    """Whether a step may have been committed between the bounds of a cut; an open one if sent in them."""
    last = step.tx.lsn_lower if step.tx.lsn_upper is None else step.tx.lsn_upper
    return step.role == "own" and last > cut.lsn_lower and step.tx.lsn_lower < cut.lsn_upper


def _writers(solution: Solution | None, row: RowKey, image: Image | None) -> Iterator[Step]:
    steps: Sequence[Step] = solution.steps if solution is not None else ()
    return (step for step in reversed(steps) if row in step.writes and same(step.writes[row], image))
