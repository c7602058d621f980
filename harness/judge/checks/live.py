"""Point 5: at the end each tenant's live rows are its last restore in place and all it wrote since."""

from __future__ import annotations

from collections.abc import Iterator

from harness.judge.case import Case
from harness.judge.check import Check
from harness.judge.explain import finding, living_differences
from harness.model.verdict import Finding


def _run(case: Case) -> Iterator[Finding]:
    for living in case.living:
        for difference in living_differences(case, living):
            yield finding("live rows", 5, living.tenant, 0, difference)


CHECK = Check(name="live rows", point=5, run=_run)
