"""A drill's floors: enough transactions of each tenant, each kind of operation, enough rows a second.

The rate is that of the time in which no fault blocked commits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, chain, islice

from harness.judge.blocking import blocked_s
from harness.judge.case import Case
from harness.judge.check import Check, unknown
from harness.judge.timeline import NEVER
from harness.model.history import Done
from harness.model.operations import Transaction
from harness.model.plan import TenantPlan
from harness.model.verdict import Finding

NAME = "floors"


ROLLBACK = "rollback"
"""The kind of a transaction that is not to be committed, whatever it does."""


def _run(case: Case) -> Iterator[Finding]:
    loaded = {tx.name for tx in case.timeline.by("load") if tx.acked}
    for tenant in case.plan.tenants:
        yield from _loaded(loaded, tenant)
        if not tenant.quiet:
            yield from _enough(case, tenant)
    yield from _kinds(case)
    yield from _rate(case)


def _loaded(loaded: set[str], tenant: TenantPlan) -> Iterator[Finding]:
    absent = [tx.name for tx in tenant.initial if tx.name not in loaded]
    if absent or not tenant.initial:
        message = f"initial rows were not loaded: {', '.join(absent) or 'none were planned'}"
        yield unknown(NAME, message, tenant=tenant.tenant)


def _enough(case: Case, tenant: TenantPlan) -> Iterator[Finding]:
    restores = case.restores_of(tenant.tenant)
    if not restores:
        return
    first = restores[0]
    floor = case.plan.floors.transactions_per_tenant
    streamed = (
        step
        for step in first.stretch.steps
        if step.tx.actor == "writer"
        and step.tx.outcome == "acked"
        and step.tx.ended_s < first.incident.at_s
    )
    count = sum(1 for _ in islice(streamed, floor))
    if count < floor:
        message = f"only {count} of {floor} streamed transactions before its incident"
        yield unknown(NAME, message, tenant=tenant.tenant)


def _kinds(case: Case) -> Iterator[Finding]:
    """Each kind of operation that writers were to perform in the write phase was performed and acked."""
    lacking, timeline = {"insert", *_wanted(case)}, case.timeline
    told = {entry.name: entry.outcome for entry in timeline.of(Done)}
    for tenant in case.plan.tenants:
        joined = timeline.joined(tenant.tenant)
        for tx in chain.from_iterable(tenant.writers):
            outcome = "acked" if tx.name in joined else told.get(tx.name)
            if outcome == ("acked" if tx.commit else "refused"):
                lacking -= _kinds_of([tx])
                if not lacking:
                    return
    yield unknown(NAME, f"no {', no '.join(sorted(lacking))} was seen to succeed")


def _wanted(case: Case) -> set[str]:
    counted = ((tenant.writers, tenant.write_counts) for tenant in case.plan.tenants)
    writers = (writer[:count] for of, counts in counted for writer, count in zip(of, counts, strict=True))
    return set().union(*map(_kinds_of, writers))


def _kinds_of(planned: Sequence[Transaction]) -> set[str]:
    operations = chain.from_iterable(tx.operations for tx in planned if tx.commit)
    kinds = {kind.__name__.lower() for kind in set(map(type, operations))}
    return kinds if all(tx.commit for tx in planned) else {*kinds, ROLLBACK}


def _rate(case: Case) -> Iterator[Finding]:
    began_s, ended_s = case.timeline.phase_s("write"), case.timeline.phase_s("script")
    if not began_s < ended_s < NEVER:
        yield unknown(NAME, "the write phase was not seen to begin and to end")
        return
    free_s = ended_s - began_s - blocked_s(case, "commits", began_s, ended_s)
    counts = (
        tx.rows
        for tx in case.timeline.tenant_by_tenant
        if tx.actor == "writer" and tx.outcome == "acked" and began_s <= tx.ended_s <= ended_s
    )
    for rows in accumulate(counts, initial=0):
        if rows >= case.plan.floors.rows_per_s * free_s:
            return
    yield unknown(NAME, f"only {rows / free_s:.1f} of {case.plan.floors.rows_per_s:g} rows a second")


CHECK = Check(name=NAME, point=0, run=_run)
