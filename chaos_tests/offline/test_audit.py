"""The audit: the real budget, a quarter of an hour, an outage of four minutes with the incident in it."""

from __future__ import annotations

from harness.generate.campaigns import campaign
from harness.judge import judge
from harness.model.faults import CutLink
from harness.model.history import FaultBegan, FaultHealed, WatermarkSeen
from harness.model.plan import Plan
from harness.schemas import load
from harness.simulate import simulate

SHOP = load("shop").schema


def an_audit() -> Plan:
    """A small one, whose course is that of a large one."""
    [plan] = campaign(SHOP, seed=1, plans=1, profile="audit", tenants=4, survivors="all")
    return plan


def test_an_audit_demands_the_real_budget_over_a_quarter_of_an_hour() -> None:
    """Nothing is scaled, the outage is within what is promised, and the plan stays small enough to keep."""
    plan = an_audit()
    assert (plan.budget_s, plan.promise_s) == (300.0, 300.0)
    assert plan.write_s >= 900.0
    [fault] = plan.faults
    assert isinstance(fault, CutLink)
    assert fault.down_s == 240.0
    assert fault.after_s < plan.write_s < fault.after_s + fault.down_s
    assert plan.outside == ()
    assert any(tenant.quiet for tenant in plan.tenants)


def test_a_campaign_of_audits_has_no_fault_beside_the_outage() -> None:
    """The plan that would have a fault drawn has the outage instead."""
    plans = campaign(SHOP, seed=1, plans=2, profile="audit", tenants=2, survivors="all")
    assert [len(plan.faults) for plan in plans] == [1, 1]


def test_an_audit_is_proven_on_the_simulator() -> None:
    """Three minutes of writes are exposed when the script comes, and none is lost once the link is back."""
    plan = an_audit()
    left = simulate(plan, SHOP)
    verdict = judge(plan, SHOP, left.history, left.restored)
    assert verdict.verdict == "proven"
    assert verdict.worst_loss_s == 0.0
    assert verdict.worst_exposure_s is not None
    assert 195.0 < verdict.worst_exposure_s < 240.0
    assert "behind" in {e.state for e in left.history if isinstance(e, WatermarkSeen)}
    outage_s = [e.at_s for e in left.history if isinstance(e, FaultBegan | FaultHealed)]
    assert outage_s[1] - outage_s[0] >= 240.0
