"""Point 3: nothing never written, nothing of the script or of another tenant, nothing after the cut."""

from __future__ import annotations

from collections.abc import Iterator

from harness.judge.case import Case
from harness.judge.check import Check
from harness.judge.differences import Kind
from harness.judge.explain import restore_findings
from harness.model.verdict import Finding

KINDS: tuple[Kind, ...] = (
    "strange row",
    "neighbour's row",
    "the script's damage",
    "after the cut",
    "refused write",
    "earlier state",
    "repeated row",
)


def _run(case: Case) -> Iterator[Finding]:
    return restore_findings(case, "nothing else", 3, KINDS)


CHECK = Check(name="nothing else", point=3, run=_run)
