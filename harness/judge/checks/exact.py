"""Point 1: each restored row equals, value for value, an image that the history holds."""

from __future__ import annotations

from collections.abc import Iterator

from harness.judge.case import Case
from harness.judge.check import Check
from harness.judge.explain import restore_findings
from harness.model.verdict import Finding


def _run(case: Case) -> Iterator[Finding]:
    return restore_findings(case, "exact", 1, ("wrong cell",))


CHECK = Check(name="exact", point=1, run=_run)
