"""Neighbours wrote until the last restore: one that ran dry before could not be disturbed by it."""

from __future__ import annotations

from collections.abc import Iterator

from harness.judge.case import Case
from harness.judge.check import Check, unknown
from harness.model.history import WriterEnded
from harness.model.verdict import Finding


def _run(case: Case) -> Iterator[Finding]:
    quiet = {tenant.tenant for tenant in case.plan.tenants if tenant.quiet}
    last_s = max((r.began_s for r in case.timeline.restores), default=0.0)
    for entry in case.timeline.of(WriterEnded):
        neighbour = entry.tenant in case.lines and not case.damaged(entry.tenant)
        writes_on = neighbour and entry.tenant not in quiet and not case.rightly_deleted(entry.tenant)
        if entry.ran_dry and writes_on and entry.at_s < last_s:
            message = f"its writer {entry.writer} ran dry before the last restore"
            yield unknown("writers", message, tenant=entry.tenant)


CHECK = Check(name="writers", point=0, run=_run)
