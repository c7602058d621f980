"""Each script transaction that was sent changed exactly the rows that the model predicts, and somebody
was damaged.

Rows of transactions that ran at the same time may fall either way. A transaction that was to be killed sent
nothing; one that came after the cluster was destroyed may be missing, and one that its operator did not
send any more after a failover says so.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.judge.case import Case
from harness.judge.check import Check, unknown
from harness.judge.scripts import Forecast
from harness.judge.timeline import NEVER, Transaction
from harness.model.history import NotSent
from harness.model.plan import ScriptTransaction
from harness.model.values import table_and_key
from harness.model.verdict import Finding

NAME = "script"


def _run(case: Case) -> Iterator[Finding]:
    left = {entry.name for entry in case.timeline.of(NotSent)}
    sent = {tx.name: tx for tx in case.timeline.of_scripts}
    forecasts: dict[str, list[Forecast]] = {}
    for line in case.lines.values():
        for forecast in line.forecasts:
            forecasts.setdefault(forecast.tx.name, []).append(forecast)
    purges = {name for judged in case.restores for name in case.purges_beside(judged)}
    for script in case.plan.scripts:
        for planned in script.transactions:
            if planned.name in sent:
                tx, of_it = sent[planned.name], forecasts.get(planned.name, [])
                yield from _as_predicted(case, planned, tx, of_it, beside=tx.name in purges)
            elif not planned.killed and planned.name not in left and case.timeline.wiped_s == NEVER:
                yield unknown(NAME, f"{planned.name} was never sent")
    yield from _damaged_somebody(case)


def _damaged_somebody(case: Case) -> Iterator[Finding]:
    hit = sorted(tenant for tenant in case.lines if case.damaged(tenant))
    nobody = all(script.damages_nobody for script in case.plan.scripts)
    if nobody and hit:
        yield unknown(NAME, f"the script was to damage nobody, and damaged {', '.join(hit)}")
    elif not nobody and not hit:
        yield unknown(NAME, "the script damaged nobody")


def _as_predicted(
    case: Case, planned: ScriptTransaction, tx: Transaction, forecasts: list[Forecast], *, beside: bool
) -> Iterator[Finding]:
    """``beside``: it is a purge beside a restore: whose rows it met only the locks decided."""
    if tx.outcome == "refused":
        return
    if planned.killed:
        yield unknown(NAME, f"{tx.name} was to be killed, but sent its COMMIT")
    for forecast in forecasts:
        yield from _seen_otherwise(forecast)
    if tx.sight is None:
        yield unknown(NAME, f"nobody looked at what {tx.name} had done")
        return
    if beside:
        return
    changes_only = not any(effect.removes for effect in planned.actual)
    for table in (t.name for t in case.schema.owned):
        deleted = _sum(f.deleted.get(table, (0, 0)) for f in forecasts)
        yield from _compare(tx, f"deleted from {table}", deleted, tx.sight.deleted.get(table, 0))
        if changes_only:
            marked = _sum(f.marked.get(table, (0, 0)) for f in forecasts)
            yield from _compare(tx, f"updated in {table}", marked, tx.sight.updated.get(table, 0))


def _seen_otherwise(forecast: Forecast) -> Iterator[Finding]:
    for rows, words in ((forecast.spared, "left"), (forecast.taken, "changed, against the model,")):
        if rows:
            table, key = table_and_key(rows[0])
            yield Finding(
                check=NAME,
                point=0,
                verdict="unknown",
                message=f"{forecast.tx.name} {words} {len(rows)} rows, of {table} for one",
                tenant=forecast.tenant,
                table=table,
                key=key,
                operation=forecast.tx.name,
            )


def _sum(bounds: Iterator[tuple[int, int]]) -> tuple[int, int]:
    pairs = list(bounds)
    return sum(fewest for fewest, _ in pairs), sum(most for _, most in pairs)


def _compare(tx: Transaction, what: str, bounds: tuple[int, int], seen: int) -> Iterator[Finding]:
    fewest, most = bounds
    if not fewest <= seen <= most:
        yield unknown(NAME, f"{tx.name} {what}: {seen} rows, the model says {fewest} to {most}")


CHECK = Check(name=NAME, point=0, run=_run)
