"""Point 5: a restore fires no trigger: infrastructure rows are those that transactions of the history
wrote.

Judged are tables whose rows name their transaction. On a fresh cluster, and when a script dropped them,
they begin empty again. A row that a script's transaction wrote through a trigger is known by its
transaction id alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.judge.case import Case
from harness.judge.check import Check
from harness.judge.differences import Difference, Elsewhere, differences
from harness.judge.states import solve
from harness.judge.unowned import read_rows, steps_on
from harness.model.history import ClusterSeen
from harness.model.schema import Infrastructure
from harness.model.values import table_and_key, table_of
from harness.model.verdict import Finding


def _run(case: Case) -> Iterator[Finding]:
    if case.unowned is None:
        return  # the check on shared rows says so
    tables = {table.name: table for table in case.schema.infrastructure if _named(table.tenancy)}
    cluster = max((c.cluster for c in case.timeline.of(ClusterSeen)), default=1)
    dropped_s = _dropped_s(case, set(tables))
    same = case.timeline.same_rows
    scripts = {str(tx.xid) for tx in case.timeline.of_scripts if same(tx.cluster, cluster)}
    here = [
        tx
        for tx in case.timeline.beyond
        if same(tx.cluster, cluster) and (tx.actor == "script" or tx.sent_s > dropped_s)
    ]
    solution = solve(steps_on(here, tables), read_rows(case.unowned, tables), forced=True)
    for difference in differences(solution, Elsewhere(tenant="")):
        column = _named(tables[table_of(difference.row)].tenancy)
        writer = difference.found.get(column or "") if difference.found else None
        if difference.kind != "strange row" or writer not in scripts:
            yield _finding(difference, str(writer))


def _dropped_s(case: Case, tables: set[str]) -> float:
    """Return when the last COMMIT was sent that dropped infrastructure tables; a DROP takes all of them."""
    planned = {tx.name: tx for script in case.plan.scripts for tx in script.transactions}
    return max(
        (
            tx.sent_s
            for tx in case.timeline.of_scripts
            if tx.outcome != "refused"
            and tx.name in planned
            and any(e.mode == "drop" and tables & {*e.tables} for e in planned[tx.name].actual)
        ),
        default=-1.0,
    )


def _named(tenancy: object) -> str | None:
    return tenancy.xid_column if isinstance(tenancy, Infrastructure) else None


def _finding(difference: Difference, writer: str) -> Finding:
    table, key = table_and_key(difference.row)
    expected, found = difference.cells
    words = {
        "strange row": f"row of transaction {writer}, which is none of the history's: a restore wrote it",
        "missing row": f"row written by {difference.operation} is missing",
    }
    return Finding(
        check="outbox",
        point=5,
        verdict="broken",
        message=words.get(difference.kind, f"row differs from the history: {difference.kind}"),
        table=table,
        key=key,
        column=difference.column,
        expected=expected,
        found=found,
        operation=difference.operation,
    )


CHECK = Check(name="outbox", point=5, run=_run)
