"""Point 8: what lay at or before the last watermark reported is restored, whatever the budget forgives.

The watermark that counts is the last one before the restore began, or before the archiver was destroyed
with the cluster. A write after the cut's lower bound is not asked for.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.judge.case import Case, Judged
from harness.judge.check import Check, unknown
from harness.judge.demands import Watermarks, before_watermark
from harness.judge.states import Step
from harness.model.history import WatermarkSeen
from harness.model.position import Position
from harness.model.values import table_and_key
from harness.model.verdict import Finding

NAME = "honest"


def _run(case: Case) -> Iterator[Finding]:
    watermarks = Watermarks(case.timeline)
    if not case.timeline.of(WatermarkSeen):
        yield unknown(NAME, "no watermark was ever reported")
    for judged in case.restores:
        watermark = watermarks.before(judged)
        if judged.solution is None or watermark is None:
            continue
        for step in judged.solution.lacking():
            if before_watermark(case, judged, step, watermark):
                yield _finding(judged, step, watermark)


def _finding(judged: Judged, step: Step, watermark: Position) -> Finding:
    table, key = table_and_key(next(iter(step.writes)))
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
