"""The smallest plan that still fails: all that what was found does without goes, and nothing else."""

from __future__ import annotations

import msgspec

from fixtures.handmade import QUIET, TENANTS, shop_plan
from harness.generate.reduced import operations, reduced
from harness.model.attacks import Attack
from harness.model.faults import Kill, Pause, name_of
from harness.model.operations import Insert, Transaction
from harness.model.plan import Plan

KILL = Kill(service="archiver", phase="write", after_s=1.0, down_s=1.0)
PAUSE = Pause(service="minio", phase="write", after_s=3.0, down_s=1.0)


def a_plan() -> Plan:
    """A plan with one or more of everything that can be left out."""
    shared = Transaction(
        name="shared.0",
        operations=tuple(Insert(table="shop.line", handle=f"h{n}", values={}) for n in range(3)),
    )
    return msgspec.structs.replace(
        shop_plan(faults=(KILL, PAUSE), again=(TENANTS[1],), at_once=True),
        shared=(shared,),
        witnessed=(TENANTS[1], QUIET),
        attacks=(Attack(kind="overwrite", moment="write", after_s=0.0, aims=(1,)),),
    )


def names(plan: Plan) -> list[str]:
    """Return the names of the tenants."""
    return [tenant.tenant for tenant in plan.tenants]


def test_nothing_that_is_needed_goes() -> None:
    """Here: a neighbour with one write, a kill, and a script that takes the quiet tenant."""

    def fails(plan: Plan) -> bool:
        kept = {tenant.tenant: tenant for tenant in plan.tenants}
        taken = {e.tenant for script in plan.scripts for tx in script.transactions for e in tx.actual}
        busy = kept.get(TENANTS[2])
        return KILL in plan.faults and QUIET in taken and busy is not None and any(busy.writers)

    small = reduced(a_plan(), fails)
    assert sorted(names(small)) == sorted([TENANTS[2], QUIET])
    assert [name_of(fault) for fault in small.faults] == ["kill archiver"]
    assert (small.attacks, small.shared, small.again, len(small.scripts)) == ((), (), (), 1)
    assert small.witnessed == ()
    by_name = {tenant.tenant: tenant for tenant in small.tenants}
    assert [len(writer) for writer in by_name[TENANTS[2]].writers] == [1]
    assert [len(writer) for writer in by_name[QUIET].writers] == [0]
    assert not any(tenant.initial or tenant.probes for tenant in small.tenants)
    assert operations(small) == len(by_name[TENANTS[2]].writers[0][0].operations) + 1


def test_single_operations_go_too() -> None:
    """Of a load only the row that matters stays, and of the lookup rows."""

    def fails(plan: Plan) -> bool:
        rows = [op for tenant in plan.tenants for tx in tenant.initial for op in tx.operations]
        looked_up = [op for tx in plan.shared for op in tx.operations]
        return any(op.table == "shop.merchant" for op in rows) and bool(looked_up)

    small = reduced(a_plan(), fails)
    assert [len(tx.operations) for tenant in small.tenants for tx in tenant.initial] == [1]
    assert [len(tx.operations) for tx in small.shared] == [1]
    assert small.faults == ()


def test_tries_have_a_limit() -> None:
    """The smallest plan found so far is what there is then."""
    tried: list[Plan] = []

    def fails(plan: Plan) -> bool:
        tried.append(plan)
        return len(plan.tenants) >= 3

    small = reduced(a_plan(), fails, tries_max=5)
    assert len(tried) == 5
    assert 3 <= len(small.tenants) <= 5


def test_a_script_of_several_transactions_keeps_what_is_needed() -> None:
    """Of a mass deletion, what hits one tenant; of what hits it twice, one transaction."""
    plan = shop_plan()
    script = plan.scripts[0]
    twice = msgspec.structs.replace(script, transactions=(*script.transactions, *script.transactions))

    def fails(plan: Plan) -> bool:
        return any(e.tenant == TENANTS[0] for s in plan.scripts for tx in s.transactions for e in tx.actual)

    small = reduced(msgspec.structs.replace(plan, scripts=(twice,)), fails)
    assert [len(script.transactions) for script in small.scripts] == [1]
    assert names(small) == [TENANTS[0]]
