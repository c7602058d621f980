"""What a restored state must hold: what is older than the budget, and what lay before a watermark.

``Watermarks``: which one counts, the last one reported before the restore began, or before the archiver was
destroyed with the cluster. ``owed``: whether anything at all of a tenant has to be there. A tenant all of
whose writes are younger than the budget, and past every watermark, may be unknown to the archive: then a
refusal to restore it loses nothing that was promised.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from harness.judge.case import Case, Judged
from harness.judge.states import Step
from harness.judge.timeline import Timeline
from harness.model.history import WatermarkSeen
from harness.model.position import Position


class Watermarks:
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


def before_watermark(case: Case, judged: Judged, step: Step, watermark: Position | None) -> bool:
    """Whether a step lay at or before the watermark, and before the cut's lower bound."""
    position = case.timeline.position(step.tx.cluster, step.tx.lsn_upper)
    if position is None or watermark is None or position > watermark:
        return False
    cut = judged.restore.asked.cut
    return cut.xid == 0 or position <= Position(epoch=cut.epoch, lsn=cut.lsn_lower)


def owed(case: Case, judged: Judged) -> bool:
    """Whether anything of the tenant has to be in the state asked for."""
    if judged.stretch.base is not None:
        return True
    watermark = Watermarks(case.timeline).before(judged)
    return any(
        step.required
        and (
            judged.incident.at_s - step.tx.ended_s > case.plan.budget_s
            or before_watermark(case, judged, step, watermark)
        )
        for step in judged.stretch.steps
    )
