"""Point 5: shared rows equal the history. On a fresh cluster they equal what the archive may hold of it."""

from __future__ import annotations

from collections.abc import Iterator

from harness.judge.case import Case
from harness.judge.check import Check, unknown
from harness.judge.differences import Difference, Elsewhere, differences
from harness.judge.incidents import Incident
from harness.judge.losses import loss_of
from harness.judge.states import Solution, solve
from harness.judge.timeline import NEVER
from harness.judge.unowned import read_rows, steps_on
from harness.model.values import table_and_key
from harness.model.verdict import Finding

NAME = "shared rows"


def _run(case: Case) -> Iterator[Finding]:
    if case.unowned is None:
        yield unknown(NAME, "shared and infrastructure rows were not read at the end")
        return
    tables = {table.name: table for table in case.schema.shared}
    steps = steps_on(case.timeline.beyond, tables)
    wiped = case.timeline.wiped_s < NEVER
    solution = solve(steps, read_rows(case.unowned, tables), forced=not wiped)
    for difference in differences(solution, Elsewhere(tenant="")):
        if difference.kind == "missing row" and case.plan.outside and _nobody_came_back(case):
            yield unknown(
                NAME, "shared rows are missing, and nobody was brought back in place, as they are with"
            )
            break
        yield _finding(difference)
    if wiped:
        yield from _lost(case, solution)


def _nobody_came_back(case: Case) -> bool:
    """Whether restores in place were asked for and none was made: shared rows come with one.

    Outside the envelope they may be refused rightly, for what a fault took.
    """
    asked = [judged.restore for judged in case.restores if judged.restore.asked.place == "live"]
    return bool(asked) and not any(restore.in_place for restore in asked)


def _lost(case: Case, solution: Solution) -> Iterator[Finding]:
    incident = Incident(at_s=case.timeline.wiped_s, why="the cluster was destroyed")
    loss = loss_of(solution, incident)
    if loss.step is not None and loss.seconds > case.plan.budget_s:
        table, key = table_and_key(next(iter(loss.step.writes)))
        yield Finding(
            check=NAME,
            point=5,
            verdict="broken",
            message=f"shared rows of {loss.step.tx.name} are not in the fresh cluster",
            table=table,
            key=key,
            operation=loss.step.tx.name,
            loss_s=loss.seconds,
        )


def _finding(difference: Difference) -> Finding:
    table, key = table_and_key(difference.row)
    expected, found = difference.cells
    return Finding(
        check=NAME,
        point=5,
        verdict="broken",
        message=f"shared row differs from the history: {difference.kind}",
        table=table,
        key=key,
        column=difference.column,
        expected=expected,
        found=found,
        operation=difference.operation,
    )


CHECK = Check(name=NAME, point=5, run=_run)
