"""The smallest plan that still fails: parts are left out as long as what was found is found without them.

Hypothesis shrinks the shape of a plan, whose floors stay: no drawn plan has fewer transactions than a proof
needs. To *show* a defect needs far fewer. So whole tenants go first, then faults, attacks and checks, then
transactions in halves, quarters and one by one, then single operations; round after round until nothing
more can go. The result proves nothing when it passes, and replays like any other plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from harness.model.operations import Transaction
from harness.model.plan import Effect, Plan, Script, ScriptTransaction, TenantPlan

T = TypeVar("T")
Fails = Callable[[Plan], bool]
Less = Callable[[Plan], Iterator[Plan]]


def reduced(plan: Plan, fails: Fails, *, tries_max: int = 2_000) -> Plan:
    """Return a plan with nothing in it that ``fails`` (which must hold for ``plan``) does without.

    After ``tries_max`` tries it returns the smallest one found so far.
    """
    tries = 0
    while True:
        before = plan
        for less in _LESS:
            again = True
            while again:
                again = False
                for smaller in less(plan):
                    tries += 1
                    if tries > tries_max:
                        return plan
                    if fails(smaller):
                        plan, again = smaller, True
                        break
        if plan == before:
            return plan


def operations(plan: Plan) -> int:
    """Return how many operations a plan has: of tenants on rows, and transactions of scripts."""
    written = [tx for tenant in plan.tenants for tx in _transactions(tenant)]
    scripts = sum(len(script.transactions) for script in plan.scripts)
    return sum(len(tx.operations) for tx in (*plan.shared, *written)) + scripts


def _transactions(tenant: TenantPlan) -> Iterator[Transaction]:
    yield from tenant.initial
    for writer in tenant.writers:
        yield from writer
    yield from tenant.probes


def _fewer(items: Sequence[T], *, least: int = 0) -> Iterator[tuple[T, ...]]:
    """Yield the sequence without its halves, quarters, ..., single items, from the end on."""
    size = len(items)
    while size:
        for begin in range(len(items) - size, -1, -size):
            left = (*items[:begin], *items[begin + size :])
            if len(left) >= least:
                yield left
        size = min(size // 2, size - 1)


def _without_tenants(plan: Plan) -> Iterator[Plan]:
    for tenants in _fewer(plan.tenants, least=1):
        kept = {tenant.tenant for tenant in tenants}
        yield msgspec.structs.replace(
            plan,
            tenants=tenants,
            scripts=tuple(_script_for(script, kept) for script in plan.scripts),
            again=tuple(tenant for tenant in plan.again if tenant in kept),
            watermark_checks=(),
            witnessed=tuple(tenant for tenant in plan.witnessed if tenant in kept),
        )


def _script_for(script: Script, kept: set[str]) -> Script:
    transactions = (_only(tx, kept) for tx in script.transactions)
    return msgspec.structs.replace(script, transactions=tuple(tx for tx in transactions if tx.actual))


def _only(tx: ScriptTransaction, kept: set[str]) -> ScriptTransaction:
    def of(effects: Sequence[Effect]) -> tuple[Effect, ...]:
        return tuple(effect for effect in effects if effect.tenant in kept)

    return msgspec.structs.replace(tx, intended=of(tx.intended), actual=of(tx.actual))


def _without_extras(plan: Plan) -> Iterator[Plan]:
    for field in ("again", "attacks", "watermark_checks", "witnessed", "shared"):
        if getattr(plan, field):
            yield _with(plan, **{field: ()})
    if len(plan.scripts) > 1:
        yield _with(plan, scripts=plan.scripts[:1], again=())


def _without_traps(plan: Plan) -> Iterator[Plan]:
    """Yield it with no transaction that takes its time, or is serializable; then with fewer of them."""
    traps = [(n, w, p) for n, t in enumerate(plan.tenants) for w, p in _traps(t)]
    for left in _fewer(traps):
        smaller = plan
        for number, writer, place in traps:
            if (number, writer, place) not in left:
                smaller = _plain(smaller, number, writer, place)
        yield smaller


def _traps(tenant: TenantPlan) -> Iterator[tuple[int, int]]:
    for writer, transactions in enumerate(tenant.writers):
        for place, tx in enumerate(transactions):
            if tx.hold_s or tx.think_s or tx.serializable:
                yield writer, place


def _plain(plan: Plan, number: int, writer: int, place: int) -> Plan:
    writers = plan.tenants[number].writers
    plain = msgspec.structs.replace(writers[writer][place], hold_s=0.0, think_s=0.0, serializable=False)
    return _with_tenant(plan, number, writers=_put(writers, writer, _put(writers[writer], place, plain)))


def _without_faults(plan: Plan) -> Iterator[Plan]:
    for faults in _fewer(plan.faults):
        yield _with(plan, faults=faults)


def _without_script(plan: Plan) -> Iterator[Plan]:
    for number, script in enumerate(plan.scripts):
        for transactions in _fewer(script.transactions, least=1):
            yield _with_script(plan, number, transactions=transactions)


def _without_writes(plan: Plan) -> Iterator[Plan]:
    for number, tenant in enumerate(plan.tenants):
        for place, writer in enumerate(tenant.writers):
            for transactions in _fewer(writer):
                count = min(tenant.write_counts[place], len(transactions))
                yield _with_tenant(
                    plan,
                    number,
                    writers=_put(tenant.writers, place, transactions),
                    write_counts=_put(tenant.write_counts, place, count),
                )
        for probes in _fewer(tenant.probes):
            yield _with_tenant(plan, number, probes=probes)


def _without_rows(plan: Plan) -> Iterator[Plan]:
    for number, tenant in enumerate(plan.tenants):
        for initial in _fewer(tenant.initial):
            yield _with_tenant(plan, number, initial=initial)
        for place, tx in enumerate(tenant.initial):
            for operations_ in _fewer(tx.operations):
                smaller = msgspec.structs.replace(tx, operations=operations_)
                yield _with_tenant(plan, number, initial=_put(tenant.initial, place, smaller))


def _without_shared(plan: Plan) -> Iterator[Plan]:
    for place, tx in enumerate(plan.shared):
        for operations_ in _fewer(tx.operations):
            smaller = msgspec.structs.replace(tx, operations=operations_)
            yield _with(plan, shared=_put(plan.shared, place, smaller))


def _put(items: tuple[T, ...], place: int, item: T) -> tuple[T, ...]:
    return (*items[:place], item, *items[place + 1 :])


def _with(plan: Plan, **changes: Any) -> Plan:
    return msgspec.structs.replace(plan, **changes)


def _with_tenant(plan: Plan, number: int, **changes: Any) -> Plan:
    tenant = msgspec.structs.replace(plan.tenants[number], **changes)
    return _with(plan, tenants=_put(plan.tenants, number, tenant))


def _with_script(plan: Plan, number: int, **changes: Any) -> Plan:
    script = msgspec.structs.replace(plan.scripts[number], **changes)
    return _with(plan, scripts=_put(plan.scripts, number, script))


_LESS: tuple[Less, ...] = (
    _without_tenants,
    _without_extras,
    _without_faults,
    _without_traps,
    _without_script,
    _without_writes,
    _without_rows,
    _without_shared,
)
"""Ways to make a plan smaller, the boldest first."""
