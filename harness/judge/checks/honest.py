"""Point 8: what lay at or before the last watermark reported is restored, whatever the budget forgives.

The watermark that counts is the last one before the restore began, or before the archiver was destroyed
with the cluster. A write after the cut's lower bound is not asked for.
"""

from __future__ import annotations

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
    if not case.timeline.of(WatermarkSeen):
        yield unknown(NAME, "no watermark was ever reported")
    for judged in case.restores:
        watermark = _watermark(case.timeline, judged)
        if judged.solution is None or watermark is None:
            continue
        for step in judged.solution.lacking():
            position = case.timeline.position(step.tx.cluster, step.tx.lsn_upper)
            if position is not None and position <= watermark and _before_cut(position, judged):
                yield _finding(judged, step, watermark)


def _watermark(timeline: Timeline, judged: Judged) -> Position | None:
    based_s = judged.stretch.base.done_s if judged.stretch.base else 0.0
    until_s = judged.restore.began_s
    if based_s <= timeline.wiped_s < until_s:
        seen = [e for e in timeline.of(WatermarkSeen) if e.at_s < timeline.wiped_s]
    else:  # one is asked for just before each restore, on a virtual clock at the same instant
        seen = [e for e in timeline.of(WatermarkSeen) if e.at_s <= until_s]
    return Position(epoch=seen[-1].epoch, lsn=seen[-1].lsn) if seen else None


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
