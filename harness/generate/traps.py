"""Traps of concurrency in what writers do: transactions that straddle the incident.

One is held open from before the script until some of the script's transactions are through, or until the
destruction strikes: its id is older than theirs, its place in commit order is not. Who holds is drawn from
a source of its own, so that a plan without traps is as it would be if nobody had thought of them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from random import Random
from typing import Final

import msgspec

from harness.model.operations import Transaction
from harness.model.plan import TenantPlan

STRADDLED_SHARE: Final = 0.35
"""Of the plans, in profiles with traps."""

STRADDLERS_MAX: Final = 3
STRADDLES_S: Final = (0.1, 1.5)
"""Least and most that such a transaction lasts into the script, if that begins on time."""

HELD_S_MAX: Final = 2.5
BEGUN_S_MIN: Final = 0.1
"""So long before the script it begins at the latest."""


def with_straddlers(
    tenants: Sequence[TenantPlan],
    damaged: Collection[str],
    rng: Random,
    script_s: float,
    *,
    share: float = STRADDLED_SHARE,
) -> tuple[TenantPlan, ...]:
    """Return the tenants, of whose writers some hold a transaction open when the script comes.

    ``script_s``: when that is, counted from when writers begin. Mostly they are of the ``damaged``; a quiet
    tenant's never are: it is silent then. ``share``: of the plans that come here.
    """
    if rng.random() >= share:
        return tuple(tenants)
    writers = [(t, n) for t in tenants if not t.quiet for n in range(len(t.writers))]
    hit = [(t, n) for t, n in writers if t.tenant in damaged]
    spared = [(t, n) for t, n in writers if t.tenant not in damaged]
    drawn = [*hit, *rng.sample(spared, min(1, len(spared)))]
    changed = {t.tenant: t for t in tenants}
    for tenant, number in rng.sample(drawn, min(rng.randint(1, STRADDLERS_MAX), len(drawn))):
        changed[tenant.tenant] = _straddling(changed[tenant.tenant], number, rng, script_s)
    return tuple(changed.values())


def _straddling(tenant: TenantPlan, number: int, rng: Random, script_s: float) -> TenantPlan:
    """Return the tenant, whose writer holds the last of its transactions that begins before the script."""
    due_s, last = 0.0, None
    for place, transaction in enumerate(tenant.writers[number]):
        due_s += transaction.pause_s
        if due_s > script_s - BEGUN_S_MIN:
            break
        if transaction.commit:
            last = place, due_s
    if last is None:
        return tenant
    place, begins_s = last
    hold_s = min(script_s - begins_s + rng.uniform(*STRADDLES_S), HELD_S_MAX)
    return _held(tenant, number, place, round(hold_s, 3))


def _held(tenant: TenantPlan, number: int, place: int, hold_s: float) -> TenantPlan:
    writer: list[Transaction] = [*tenant.writers[number]]
    writer[place] = msgspec.structs.replace(writer[place], hold_s=hold_s)
    writers = [*tenant.writers]
    writers[number] = tuple(writer)
    return msgspec.structs.replace(tenant, writers=tuple(writers))
