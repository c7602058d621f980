"""How long commits stood still because a fault held them: floors are counted outside of that."""

from __future__ import annotations

from collections.abc import Iterator

from harness.judge.case import Case
from harness.judge.timeline import NEVER
from harness.model.faults import Blocked, blocks
from harness.model.history import FaultBegan, FaultHealed


def blocked_s(case: Case, what: Blocked, begin_s: float, end_s: float) -> float:
    """Return for how many seconds between two instants faults blocked ``what``, overlaps counted once."""
    total_s, done_s = 0.0, begin_s
    for began_s, healed_s in sorted(windows(case, what)):
        first_s, last_s = max(began_s, done_s), min(healed_s, end_s)
        if last_s > first_s:
            total_s, done_s = total_s + last_s - first_s, last_s
    return total_s


def windows(case: Case, what: Blocked) -> Iterator[tuple[float, float]]:
    """Yield from when to when each such fault bit, its injection included."""
    healed = {entry.fault: entry.at_s for entry in case.timeline.of(FaultHealed)}
    for entry in case.timeline.of(FaultBegan):
        known = entry.fault < len(case.plan.faults)
        if known and blocks(case.plan.faults[entry.fault], what):
            struck_s = entry.at_s if entry.struck_s is None else entry.struck_s
            yield struck_s, healed.get(entry.fault, NEVER)
