"""Point 4: a row deleted by a transaction that is in stays deleted, and so does one deleted long ago.

What a transaction deleted that is in, exact equality shows. One that was acked more than the budget before
the incident has to be in: where it is not, although inside the envelope, each row is back that it deleted.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.judge.budget import verdict_over
from harness.judge.case import Case, Judged
from harness.judge.check import Check
from harness.judge.explain import restore_findings
from harness.judge.states import Solution, Step
from harness.model.values import RowKey, table_and_key
from harness.model.verdict import Finding

NAME = "resurrection"
POINT = 4


def _run(case: Case) -> Iterator[Finding]:
    yield from restore_findings(case, NAME, POINT, ("resurrection",))
    if not case.plan.outside:
        for judged in case.restores:
            if judged.solution is not None:
                yield from _long_gone(case, judged, judged.solution)


def _long_gone(case: Case, judged: Judged, solution: Solution) -> Iterator[Finding]:
    """Yield a finding for each row that is back since a deletion older than the budget is not in."""
    for step in solution.lacking():
        age_s = judged.incident.at_s - step.tx.ended_s
        if age_s > case.plan.budget_s:
            for row, image in step.writes.items():
                if image is None and row not in step.maybe and solution.expected(row) is not None:
                    yield _finding(case, judged, step, row, age_s)


def _finding(case: Case, judged: Judged, step: Step, row: RowKey, age_s: float) -> Finding:
    table, key = table_and_key(row)
    return Finding(
        check=NAME,
        point=POINT,
        verdict=verdict_over(case, age_s),
        message=(
            f"row was deleted for good reason by {step.tx.name}, acked {age_s:.3f} s before the incident"
            f" ({judged.incident.why}), and is back; the budget is {case.plan.budget_s:g} s"
        ),
        tenant=judged.tenant,
        restore=judged.restore.number,
        table=table,
        key=key,
        operation=step.tx.name,
        loss_s=age_s,
    )


CHECK = Check(name=NAME, point=POINT, run=_run)
