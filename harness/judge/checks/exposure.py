"""Point 1: had only the bucket survived the incident, no more than the budget would have been lost."""

from __future__ import annotations

from collections.abc import Iterator

from harness.judge.budget import over_budget
from harness.judge.case import Case
from harness.judge.check import Check, unknown
from harness.model.verdict import Finding


def _run(case: Case) -> Iterator[Finding]:
    for judged in case.restores:
        if judged.exposure is not None:
            yield from over_budget(case, "exposure", judged, judged.exposure)
    if any(judged.exposure is None for judged in case.restores):
        yield unknown("exposure", "the subject never named the objects that its restores need")


CHECK = Check(name="exposure", point=1, run=_run)
