"""Traps of concurrency in plans: what straddles the incident begins before it and ends after it."""

from __future__ import annotations

from itertools import accumulate
from random import Random

import msgspec
import pytest

from fixtures.handmade import QUIET, TENANTS, shop_plan
from harness.generate.campaigns import campaign
from harness.generate.reduced import reduced
from harness.generate.traps import HELD_S_MAX, STRADDLERS_MAX, with_straddlers
from harness.generate.validate import validate
from harness.model import plan as plans
from harness.model.errors import BadInput
from harness.model.operations import HOLD_S_MAX
from harness.model.plan import Plan
from harness.schemas import load

HELPDESK, SHOP = load("helpdesk").schema, load("shop").schema
ALWAYS = 1.0


def held(plan: Plan) -> dict[str, float]:
    """Return which writers' transactions are held open, and for how long."""
    return {
        tx.name: tx.hold_s
        for tenant in plan.tenants
        for writer in tenant.writers
        for tx in writer
        if tx.hold_s
    }


def straddled(seed: int, *, damaged: tuple[str, ...] = (TENANTS[0],), script_s: float = 8.0) -> Plan:
    """Return a plan by hand in which transactions straddle the script."""
    plan = shop_plan()
    tenants = with_straddlers(plan.tenants, damaged, Random(seed), script_s, share=ALWAYS)
    return msgspec.structs.replace(plan, tenants=tenants)


@pytest.mark.parametrize("profile", ["storm", "hunt", "chase"])
def test_some_plans_of_profiles_that_hunt_hold_transactions_over_the_script(profile: str) -> None:
    """Some do, most don't, and nothing else of a plan depends on it."""
    drawn = campaign(HELPDESK, seed=4, plans=12, profile=profile, tenants=4)
    assert 0 < sum(bool(held(plan)) for plan in drawn) < 8
    for plan in drawn:
        validate(plan, HELPDESK)


def test_a_quick_plan_holds_nothing() -> None:
    """What every quick drill is sure to prove has no traps."""
    assert [held(plan) for plan in campaign(HELPDESK, seed=4, plans=6, tenants=3)] == [{}] * 6


@pytest.mark.parametrize("seed", range(8))
def test_what_straddles_begins_before_the_script_and_ends_after_it(seed: int) -> None:
    """It is committed, soon enough, and of writers of whom most are damaged; who is quiet stays so."""
    plan = straddled(seed)
    assert 1 <= len(held(plan)) <= STRADDLERS_MAX
    for tenant in plan.tenants:
        for writer in tenant.writers:
            due = zip(writer, accumulate(tx.pause_s for tx in writer), strict=True)
            for tx, due_s in [(tx, due_s) for tx, due_s in due if tx.hold_s]:
                assert tenant.tenant != QUIET
                assert tx.commit
                assert due_s < 8.0 < due_s + tx.hold_s
                assert tx.hold_s <= HELD_S_MAX


def test_a_writer_who_begins_after_the_script_straddles_nothing() -> None:
    """Nor does one of whom nothing is committed before."""
    assert held(straddled(1, script_s=0.2)) == {}


def test_a_plan_of_nobody_but_the_quiet_is_left_as_it_is() -> None:
    """There is nobody who could hold anything open."""
    quiet = [tenant for tenant in shop_plan().tenants if tenant.quiet]
    assert with_straddlers(quiet, (QUIET,), Random(1), 8.0, share=ALWAYS) == tuple(quiet)


def test_a_hold_has_a_limit() -> None:
    """A script would stand still behind it: the plan is refused with what would do."""
    drawn = campaign(SHOP, seed=4, plans=8, profile="chase")
    plan = next(plan for plan in drawn if held(plan))
    name, hold_s = next(iter(held(plan).items()))
    text, hold = plans.encode(plan), f'"hold_s":{hold_s}'.encode()
    with pytest.raises(BadInput, match=f"{name} is to be held open for 60 s") as refused:
        validate(plans.decode(text.replace(hold, b'"hold_s":60')), SHOP)
    assert f"at most {HOLD_S_MAX:g} s" in refused.value.cure
    with pytest.raises(BadInput, match="hold_s"):
        plans.decode(text.replace(hold, b'"hold_s":-1'))


def test_what_is_held_open_for_nothing_is_not_in_the_smallest_plan() -> None:
    """One that matters stays."""
    plan = next(plan for seed in range(20) if len(held(plan := straddled(seed, damaged=TENANTS))) > 2)
    wanted = min(held(plan))

    def fails(smaller: Plan) -> bool:
        return wanted in held(smaller)

    assert [*held(reduced(plan, fails))] == [wanted]

    def begins(smaller: Plan) -> bool:
        return any(any(tenant.writers) for tenant in smaller.tenants)

    assert held(reduced(plan, begins)) == {}
