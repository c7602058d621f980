"""Neighbours wrote until the last restore: without their writes no restore could disturb anybody.

Neighbours are tenants that the script did not hit; a quiet one may be silent. On a fresh cluster nobody
writes before the first round of restores is over.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.judge.case import Case
from harness.judge.check import Check, unknown
from harness.judge.timeline import NEVER
from harness.model.history import WriterEnded
from harness.model.verdict import Finding

NAME = "writers"


def _run(case: Case) -> Iterator[Finding]:
    neighbours = {
        tenant.tenant
        for tenant in case.plan.tenants
        if not (tenant.quiet or case.damaged(tenant.tenant) or case.rightly_deleted(tenant.tenant))
    }
    yield from _ran_dry(case, neighbours)
    if neighbours and case.restores and case.timeline.wiped_s == NEVER:
        yield from _silent(case, neighbours)


def _ran_dry(case: Case, neighbours: set[str]) -> Iterator[Finding]:
    last_s = max((r.began_s for r in case.timeline.restores), default=0.0)
    for entry in case.timeline.of(WriterEnded):
        if entry.ran_dry and entry.tenant in neighbours and entry.at_s < last_s:
            message = f"its writer {entry.writer} ran dry before the last restore"
            yield unknown(NAME, message, tenant=entry.tenant)


def _silent(case: Case, neighbours: set[str]) -> Iterator[Finding]:
    """Somebody must have written between the beginning of the first restore and the end of the last."""
    first_s = min(judged.restore.began_s for judged in case.restores)
    last_s = max(judged.restore.done_s for judged in case.restores)
    wrote = any(
        tx.acked and tx.sent_s <= last_s and first_s <= tx.ended_s
        for tenant in neighbours
        for tx in reversed(case.timeline.by_tenant.get(tenant, ()))
    )
    if not wrote:
        yield unknown(NAME, "no neighbour wrote while tenants were restored")


CHECK = Check(name=NAME, point=0, run=_run)
