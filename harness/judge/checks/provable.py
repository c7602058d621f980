"""The budget was put to the test: streamed writes of each damaged tenant lie on both sides of it.

A quiet tenant has one streamed write older than the budget and none after; at least one damaged tenant is
quiet.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.judge.case import Case, Judged
from harness.judge.check import Check, unknown
from harness.model.verdict import Finding

NAME = "provable"


def _run(case: Case) -> Iterator[Finding]:
    damaged = [tenant for tenant in case.plan.tenants if case.damaged(tenant.tenant)]
    if damaged and not any(tenant.quiet for tenant in damaged):
        yield unknown(NAME, "no quiet tenant was damaged")
    for tenant in damaged:
        for judged in case.restores_of(tenant.tenant)[:1]:
            older, younger = _sides(judged, case.plan.budget_s)
            if tenant.quiet:
                yield from _quiet(judged, older, younger)
            else:
                yield from _streaming(case, judged, older, younger)


def _sides(judged: Judged, budget_s: float) -> tuple[int, int]:
    """Return how many streamed writes were acked longer than the budget before the incident, and since."""
    ages_s = [
        judged.incident.at_s - step.tx.ended_s
        for step in judged.stretch.steps
        if step.tx.actor == "writer"
        and step.tx.outcome == "acked"
        and step.tx.ended_s < judged.incident.at_s
    ]
    older = sum(age_s > budget_s for age_s in ages_s)
    return older, len(ages_s) - older


def _quiet(judged: Judged, older: int, younger: int) -> Iterator[Finding]:
    if older < 1 or younger:
        message = (
            f"the quiet tenant has {older} writes older than the budget and {younger} after; not 1 and 0"
        )
        yield unknown(NAME, message, tenant=judged.tenant)


def _streaming(case: Case, judged: Judged, older: int, younger: int) -> Iterator[Finding]:
    floors = case.plan.floors
    if older < floors.older_than_budget or younger < floors.younger_than_budget:
        message = (
            f"{older} streamed writes are older than the budget and {younger} younger;"
            f" {floors.older_than_budget} and {floors.younger_than_budget} are needed"
        )
        yield unknown(NAME, message, tenant=judged.tenant)


CHECK = Check(name=NAME, point=0, run=_run)
