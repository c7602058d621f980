"""What restores from copies of the bucket brought back, held against the watermark before each copy."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from harness.judge.lines import Line
from harness.judge.states import Solution, Step, solve
from harness.judge.timeline import Timeline
from harness.model.history import BucketCopied, CopyRestored
from harness.model.position import Position
from harness.model.values import Image, RowKey


class CopyJudged(msgspec.Struct, frozen=True, kw_only=True):
    """One tenant as restored from one copy. ``promised``: its committed steps at or before the watermark.

    A restore that was refused brought no row: that is right where the script had removed them all by then.
    ``solution`` is None when it failed, or its rows are not there.
    """

    restored: CopyRestored
    watermark: Position
    promised: tuple[Step, ...]
    solution: Solution | None

    @property
    def unread(self) -> bool:
        """Whether it was restored, and its rows are not there."""
        return self.restored.result == "restored" and self.solution is None

    @property
    def lacking(self) -> list[Step]:
        """Return the promised steps that the copy did not give back."""
        if self.solution is None:
            return list(self.promised)
        lacking = {id(step) for step in self.solution.lacking()}
        return [step for step in self.promised if id(step) in lacking]


def judge_copies(
    timeline: Timeline, lines: Mapping[str, Line], found: Mapping[str, Mapping[RowKey, Image]]
) -> tuple[CopyJudged, ...]:
    """Judge each restore from a copy; ``found``: the rows read, by the file that holds them."""
    copied = {entry.copy: entry for entry in timeline.of(BucketCopied)}
    return tuple(
        _judge(entry, copied[entry.copy], lines[entry.tenant], timeline, found.get(entry.file))
        for entry in timeline.of(CopyRestored)
        if entry.copy in copied and entry.tenant in lines
    )


def _judge(
    restored: CopyRestored,
    copied: BucketCopied,
    line: Line,
    timeline: Timeline,
    rows: Mapping[RowKey, Image] | None,
) -> CopyJudged:
    """A copy is made before anything is restored, so that all of the tenant's line is its first stretch."""
    steps = [step for step in line.stretches[0].steps if step.tx.sent_s <= copied.at_s]
    watermark = Position(epoch=copied.epoch, lsn=copied.lsn)
    promised = [step for step in steps if step.required and _lies_before(step, watermark, timeline)]
    is_known = rows is not None if restored.result == "restored" else restored.result == "refused"
    return CopyJudged(
        restored=restored,
        watermark=watermark,
        promised=tuple(promised),
        solution=solve(steps, rows or {}) if is_known else None,
    )


def _lies_before(step: Step, watermark: Position, timeline: Timeline) -> bool:
    position = timeline.position(step.tx.cluster, step.tx.lsn_upper)
    return position is not None and position <= watermark
