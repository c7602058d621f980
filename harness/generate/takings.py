"""A natural key that a deleted tenant left free, and the neighbour that takes it before the restore."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from harness.generate.facts import SchemaFacts
from harness.model.operations import Insert, Transaction, Update
from harness.model.plan import Script, TenantPlan


def natural_keys(facts: SchemaFacts) -> tuple[str, ...]:
    """Return columns of the tenants' own row that are unique for all tenants, and stay as they began."""
    root = facts.tables[facts.root]
    alone = {columns[0] for columns in root.table.unique if len(columns) == 1}
    return tuple(c.name for c in root.unique_columns if c.name in alone and c.name not in root.hint.update)


def with_takers(
    facts: SchemaFacts, tenants: Sequence[TenantPlan], script: Script, victim: str
) -> tuple[TenantPlan, ...]:
    """Return the tenants, of whom one that the script leaves alone takes the natural key of ``victim``."""
    hit = {e.tenant for tx in script.transactions for e in (*tx.actual, *tx.intended)}
    free = [t for t in tenants if t.tenant not in hit and not t.quiet]
    if not free:
        return tuple(tenants)
    lost = next(t for t in tenants if t.tenant == victim)
    taker = msgspec.structs.replace(free[0], takes=(_taking(facts, free[0], lost),))
    return tuple(taker if t.tenant == taker.tenant else t for t in tenants)


def _taking(facts: SchemaFacts, taker: TenantPlan, lost: TenantPlan) -> Transaction:
    values = _own_row(facts, lost).values
    taken = Update(
        table=facts.root,
        handle=_own_row(facts, taker).handle,
        values={column: values[column] for column in natural_keys(facts)},
    )
    return Transaction(name=f"t{taker.tenant}.takes.0", operations=(taken,))


def _own_row(facts: SchemaFacts, tenant: TenantPlan) -> Insert:
    """Return the insert of the tenant's own row, which its load begins with."""
    operations = (operation for transaction in tenant.initial for operation in transaction.operations)
    return next(o for o in operations if isinstance(o, Insert) and o.table == facts.root)
