"""An outage longer than the budget, the incident at its end: told in time, broken, and nothing lost."""

from __future__ import annotations

from msgspec import structs

from fixtures.breached import breached_plan, states_s
from harness.judge import judge
from harness.model.envelope import PROMISED
from harness.schemas import load
from harness.simulate import simulate

SHOP = load("shop").schema
BUDGET_S = 300.0


def test_a_breach_is_told_within_five_seconds_and_broken_with_its_exposure() -> None:
    """With the real promise, on the virtual clock; once the outage is over nothing acked is missing."""
    plan = breached_plan(BUDGET_S)
    left = simulate(plan, SHOP)
    said = states_s(left.history)
    first_s = next(at_s for at_s, state in said if state == "breached")
    assert BUDGET_S - 5.0 < first_s < BUDGET_S + 5.0
    assert said[-1][1] == "ok"
    verdict = judge(plan, SHOP, left.history, left.restored)
    found = verdict.every_finding
    assert verdict.outside == ()
    assert verdict.verdict == "broken"
    assert {finding.check for finding in found} == {"exposure"}
    assert verdict.worst_exposure_s is not None
    assert BUDGET_S < verdict.worst_exposure_s < BUDGET_S + 10.0
    assert all(f"{finding.loss_s:.3f} s before the incident" in finding.message for finding in found)
    assert verdict.worst_loss_s == 0.0


def test_the_same_outage_lies_outside_what_is_promised_to_everybody() -> None:
    """Without an envelope of its own the plan is told to be outside, and the exposure is not demanded."""
    plan = structs.replace(breached_plan(BUDGET_S), envelope=PROMISED)
    left = simulate(plan, SHOP)
    verdict = judge(plan, SHOP, left.history, left.restored)
    assert verdict.outside == ("cut archiver-minio for 310 s, more than 240 s",)
    assert verdict.verdict == "unknown"
    assert verdict.worst_exposure_s is not None
    assert verdict.worst_exposure_s > BUDGET_S
