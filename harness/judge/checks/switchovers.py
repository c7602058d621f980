"""Each switchover of the plan came, and the pair was whole again before the next one, or the incident.

Whole: the old primary follows, the connector's slot would survive the next failover, and the archive has
heard a heartbeat of the new timeline.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.judge.case import Case
from harness.judge.check import Check, unknown
from harness.model.history import SwitchedOver
from harness.model.verdict import Finding

NAME = "switchovers"


def _run(case: Case) -> Iterator[Finding]:
    seen = {entry.number: entry for entry in case.timeline.of(SwitchedOver)}
    for number in range(1, len(case.plan.switchovers) + 1):
        if number not in seen:
            yield unknown(NAME, f"switchover {number} was not seen to come to its end")
        elif not seen[number].archived:
            yield unknown(NAME, f"no heartbeat came through after switchover {number}")


CHECK = Check(name=NAME, point=0, run=_run)
