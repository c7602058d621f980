"""Each fault of the plan bit, and was healed, or was still biting when its target was destroyed."""

from __future__ import annotations

from collections.abc import Iterator

from harness.judge.case import Case
from harness.judge.check import Check, unknown
from harness.judge.timeline import NEVER
from harness.model.faults import name_of, outlives
from harness.model.history import FaultBegan, FaultHealed
from harness.model.verdict import Finding

NAME = "faults"


def _run(case: Case) -> Iterator[Finding]:
    began = {entry.fault: entry for entry in case.timeline.of(FaultBegan)}
    healed = {entry.fault for entry in case.timeline.of(FaultHealed)}
    for number, fault in enumerate(case.plan.faults):
        entry, words = began.get(number), f"fault {number} ({name_of(fault)})"
        if entry is None:
            yield unknown(NAME, f"{words} was never injected")
        elif not entry.bit:
            yield unknown(NAME, f"{words} was not seen to bite: {entry.proof}")
        elif number not in healed and (outlives(fault) or not _destroyed(case, entry)):
            yield unknown(NAME, f"{words} was not seen to be healed")


def _destroyed(case: Case, entry: FaultBegan) -> bool:
    """Whether a fault that never healed was still biting when its target was destroyed."""
    return entry.at_s <= case.timeline.wiped_s < NEVER


CHECK = Check(name=NAME, point=0, run=_run)
