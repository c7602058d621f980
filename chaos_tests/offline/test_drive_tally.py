"""The tally: before which tenants have written what a proof needs no script may come."""

from __future__ import annotations

import msgspec
import pytest

from fixtures.handmade import QUIET, shop_plan
from harness.drive.tally import Tally
from harness.model.history import Done
from harness.model.operations import Transaction
from harness.model.plan import Floors, Plan

WRITER = "acme"
BUDGET_S = 5.0


def plan_with(floors: Floors, writes: int = 40) -> Plan:
    """Return a plan in which one tenant is to write so often, and the quiet one once."""
    plan = shop_plan()
    tx = tuple(Transaction(name=f"w.{n}", operations=(), pause_s=0.2) for n in range(writes))
    loud = next(tenant for tenant in plan.tenants if not tenant.quiet)
    quiet = next(tenant for tenant in plan.tenants if tenant.tenant == QUIET)
    tenants = (
        msgspec.structs.replace(loud, tenant=WRITER, writers=(tx,), write_counts=(writes,)),
        msgspec.structs.replace(quiet, writers=(tx[:1],), write_counts=(1,)),
    )
    return msgspec.structs.replace(plan, tenants=tenants, budget_s=BUDGET_S, floors=floors)


def heard(tally: Tally, tenant: str, *at_s: float) -> None:
    """Have the tally hear of writes acked at these times."""
    for ack_s in at_s:
        tally.heard(
            Done(
                at_s=ack_s, name=f"w.{ack_s}", actor="writer", tenant=tenant, outcome="acked", begun_s=ack_s
            )
        )


FLOORS = Floors(transactions_per_tenant=4, older_than_budget=2, younger_than_budget=2)


@pytest.mark.parametrize(
    ("acks_s", "short"),
    [
        ((1.0, 2.0, 8.0, 9.0), False),
        ((1.0, 2.0, 3.0, 9.0), True),  # it has fallen silent: one write is younger than the budget
        ((1.0, 6.0, 8.0, 9.0), True),  # one is older
        ((1.0, 2.0, 9.0), True),  # three in all
    ],
)
def test_a_script_waits_for_writes_on_both_sides_of_the_budget(
    acks_s: tuple[float, ...], short: bool
) -> None:
    """Two older than the budget, two younger, four in all; a quiet tenant's one is older."""
    tally = Tally(plan_with(FLOORS))
    heard(tally, WRITER, *acks_s)
    heard(tally, QUIET, 1.0)
    assert tally.short_of_floors(10.0) == [WRITER] * short


def test_a_quiet_tenant_needs_to_stay_quiet() -> None:
    """Its one write must be older than the budget; nothing of it need be younger."""
    tally = Tally(plan_with(FLOORS))
    heard(tally, WRITER, 1.0, 2.0, 8.0, 9.0)
    heard(tally, QUIET, 6.0)
    assert tally.short_of_floors(10.0) == [QUIET]


def test_nobody_is_waited_for_longer_than_a_plan_has_him_write() -> None:
    """A plan with fewer writes than the floors has none to wait for."""
    tally = Tally(plan_with(FLOORS, writes=1))
    heard(tally, QUIET, 1.0)
    heard(tally, WRITER, 1.0)
    assert tally.short_of_floors(3.0) == [WRITER, QUIET]
    assert tally.short_of_floors(10.0) == []
