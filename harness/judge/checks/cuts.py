"""The cut asked for is the one that the history says; otherwise the drill asked the wrong question."""

from __future__ import annotations

from collections.abc import Iterator

from harness.judge.case import Case
from harness.judge.check import Check, unknown
from harness.model.verdict import Finding


def _run(case: Case) -> Iterator[Finding]:
    for judged in case.restores:
        asked, hit = judged.restore.asked, judged.incident.tx
        if asked.cut.xid != (hit.xid if hit else 0):
            yield unknown(
                "cuts",
                f"the restore was cut at transaction {asked.cut.xid}, but {judged.incident.why}",
                tenant=judged.tenant,
                restore=asked.restore,
            )


CHECK = Check(name="cuts", point=0, run=_run)
