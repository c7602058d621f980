"""Point 6: a restored tenant is itself archived again.

The watermark passes the first write after each first restore in place, and the tenants drawn for it are
damaged and restored a second time (whose state all other checks judge).
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.judge.case import Case
from harness.judge.check import Check, unknown
from harness.judge.timeline import Transaction
from harness.model.history import WatermarkSeen
from harness.model.position import Position
from harness.model.verdict import Finding

NAME = "archived again"


def _run(case: Case) -> Iterator[Finding]:
    yield from _second_round(case)
    seen = [Position(epoch=e.epoch, lsn=e.lsn) for e in case.timeline.of(WatermarkSeen)]
    highest = max(seen, default=Position(epoch=0, lsn=0))
    for probe in _first_probes(case):
        position = case.timeline.position(probe.cluster, probe.lsn_upper)
        if position is None or position > highest:
            yield _not_archived(case, probe, highest)


def _second_round(case: Case) -> Iterator[Finding]:
    for tenant in case.plan.again:
        second = [j for j in case.restores_of(tenant) if j.restore.asked.round == 2]
        if not any(j.incident.tx is not None and j.restore.asked.place == "live" for j in second):
            yield unknown(NAME, "it was not damaged and restored a second time", tenant=tenant)


def _first_probes(case: Case) -> Iterator[Transaction]:
    """Yield the committed probes that came before any second restore."""
    second = [j.restore.began_s for j in case.restores if j.restore.asked.round == 2]
    until_s = min(second, default=float("inf"))
    for tx in case.timeline.by("probe"):
        if tx.acked and tx.ended_s < until_s:
            yield tx


def _not_archived(case: Case, probe: Transaction, highest: Position) -> Finding:
    message = f"the watermark never passed {probe.name}; the last one was {highest}"
    if not case.timeline.complete:
        return unknown(NAME, message, tenant=probe.tenant)
    return Finding(
        check=NAME,
        point=6,
        verdict="broken",
        message=message,
        tenant=probe.tenant,
        operation=probe.name,
    )


CHECK = Check(name=NAME, point=6, run=_run)
