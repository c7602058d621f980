"""A drill that was not run to its end proves nothing."""

from __future__ import annotations

from collections.abc import Iterator

from harness.judge.case import Case
from harness.judge.check import Check, unknown
from harness.model.history import Ended
from harness.model.verdict import Finding


def _run(case: Case) -> Iterator[Finding]:
    if not case.timeline.complete:
        reasons = [entry.reason for entry in case.timeline.of(Ended)]
        reason = reasons[-1] if reasons else "the history breaks off"
        yield unknown("ended", f"the drill was not run to its end: {reason}")


CHECK = Check(name="ended", point=0, run=_run)
