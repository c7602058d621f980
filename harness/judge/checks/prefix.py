"""Point 2: no hole: a write that is in brings along all that came before it, all of its own rows too."""

from __future__ import annotations

from collections.abc import Iterator

from harness.judge.case import Case
from harness.judge.check import Check
from harness.judge.explain import restore_findings
from harness.model.verdict import Finding


def _run(case: Case) -> Iterator[Finding]:
    return restore_findings(case, "prefix", 2, ("missing row", "stale row"))


CHECK = Check(name="prefix", point=2, run=_run)
