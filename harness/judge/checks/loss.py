"""Point 1: nothing acked more than the budget before the incident is outside the restored state.

Over the drill's budget but under the promise, with a machine that stood still, is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.judge.budget import over_budget
from harness.judge.case import Case
from harness.judge.check import Check
from harness.model.verdict import Finding


def _run(case: Case) -> Iterator[Finding]:
    for judged in case.restores:
        if judged.loss is not None:
            yield from over_budget(case, "loss", judged, judged.loss)


CHECK = Check(name="loss", point=1, run=_run)
