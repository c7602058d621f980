"""Each fault of the plan bit, and was healed, or was still biting when its target was destroyed."""

from __future__ import annotations

from collections.abc import Iterator

from harness.judge.case import Case
from harness.judge.check import Check, unknown
from harness.judge.timeline import NEVER
from harness.model.history import FaultBegan, FaultHealed
from harness.model.verdict import Finding

NAME = "faults"


def _run(case: Case) -> Iterator[Finding]:
    began = {entry.fault: entry for entry in case.timeline.of(FaultBegan)}
    healed = {entry.fault for entry in case.timeline.of(FaultHealed)}
    for number, fault in enumerate(case.plan.faults):
        entry, words = began.get(number), f"fault {number} ({type(fault).__name__})"
        if entry is None:
            yield unknown(NAME, f"{words} was never injected")
        elif not entry.bit:
            yield unknown(NAME, f"{words} was not seen to bite: {entry.proof}")
        elif number not in healed and not entry.at_s <= case.timeline.wiped_s < NEVER:
            yield unknown(NAME, f"{words} was not seen to be healed")


CHECK = Check(name=NAME, point=0, run=_run)
