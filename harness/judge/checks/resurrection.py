"""Point 4, as far as exact equality shows it: a row deleted by a transaction that is in stays deleted."""

from __future__ import annotations

from collections.abc import Iterator

from harness.judge.case import Case
from harness.judge.check import Check
from harness.judge.explain import restore_findings
from harness.model.verdict import Finding


def _run(case: Case) -> Iterator[Finding]:
    return restore_findings(case, "resurrection", 4, ("resurrection",))


CHECK = Check(name="resurrection", point=4, run=_run)
