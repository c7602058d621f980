"""Point 8: what lay at or before the last watermark reported is restored, whatever the budget forgives.

The watermark that counts is the last one before the restore began, or before the archiver was destroyed
with the cluster. A write after the cut's lower bound is not asked for.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from harness.judge.case import Case, Judged
from harness.judge.check import Check, unknown
from harness.judge.states import Step
from harness.judge.timeline import Timeline
from harness.model.history import WatermarkSeen
from harness.model.position import Position
from harness.model.verdict import Finding

NAME = "honest"


def _run(case: Case) -> Iterator[Finding]:
    watermarks = _Watermarks(case.timeline)
    if not case.timeline.of(WatermarkSeen):
        yield unknown(NAME, "no watermark was ever reported")
    for judged in case.restores:
        watermark = watermarks.before(judged)
        if judged.solution is None or watermark is None:
            continue
        for step in judged.solution.lacking():
            position = case.timeline.position(step.tx.cluster, step.tx.lsn_upper)
            if position is not None and position <= watermark and _before_cut(position, judged):
                yield _finding(judged, step, watermark)


class _Watermarks:
    """All watermarks, in the order of their times."""

    def __init__(self, timeline: Timeline) -> None:
        self._wiped_s = timeline.wiped_s
        self._seen = sorted(timeline.of(WatermarkSeen), key=_at_s)

    def before(self, judged: Judged) -> Position | None:
        """Return the one that counts for a restore, None when none was reported before."""
        based_s = judged.stretch.base.done_s if judged.stretch.base else 0.0
        until_s = judged.restore.began_s
        if based_s <= self._wiped_s < until_s:
            place = bisect_left(self._seen, self._wiped_s, key=_at_s)
        else:  # one is asked for just before each restore, on a virtual clock at the same instant
            place = bisect_right(self._seen, until_s, key=_at_s)
        last = self._seen[place - 1] if place else None
        return Position(epoch=last.epoch, lsn=last.lsn) if last else None


def _at_s(entry: WatermarkSeen) -> float:
    return entry.at_s


def _before_cut(position: Position, judged: Judged) -> bool:
    cut = judged.restore.asked.cut
    return cut.xid == 0 or position <= Position(epoch=cut.epoch, lsn=cut.lsn_lower)


def _finding(judged: Judged, step: Step, watermark: Position) -> Finding:
    table, key = next(iter(step.writes))
    return Finding(
        check=NAME,
        point=8,
        verdict="broken",
        message=f"{step.tx.name} lay before the watermark {watermark}, and is not restored",
        tenant=judged.tenant,
        restore=judged.restore.number,
        table=table,
        key=key,
        operation=step.tx.name,
        loss_s=max(0.0, judged.incident.at_s - step.tx.ended_s),
    )


CHECK = Check(name=NAME, point=8, run=_run)
