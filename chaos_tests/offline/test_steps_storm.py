"""The wider grammar of the storm: what each of its steps says and does; drills of it are proven."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from harness.generate import Pins, campaign, pinned_plan, plans
from harness.generate.campaigns import strata
from harness.generate.steps import STEPS, possible
from harness.model.plan import Plan, Script
from harness.model.verdict import DrillVerdict
from harness.schemas import load, names
from harness.simulate import drill

SCHEMAS = {name: load(name).schema for name in names()}
SHOP, HELPDESK = SCHEMAS["shop"], SCHEMAS["helpdesk"]
SEEDS = range(8)
EXAMPLES = 6
CASES = [
    (name, kind)
    for name, schema in SCHEMAS.items()
    for kind, step in STEPS.items()
    if step.storm and step.means(schema)
]

some = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def script_of(schema: str, kind: str, seed: int) -> Script:
    """Return the incident of a drawn plan of that kind."""
    return pinned_plan(SCHEMAS[schema], kind=kind, seed=seed, profile="simulated").scripts[0]


def story(verdict: DrillVerdict) -> str:
    """Return the findings of a verdict, a line each."""
    findings = [*verdict.findings, *(f for tenant in verdict.tenants for f in tenant.findings)]
    return "\n".join(f"{f.verdict}: {f.check}: {f.tenant}: {f.message}" for f in findings)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_storm_on_the_reference_system_is_proven(name: str, kind: str) -> None:
    """Whatever plan is drawn around a step of the storm, the reference system is proven on it."""

    @some
    @given(plans(SCHEMAS[name], profile="simulated", pins=Pins(kind=kind)))
    def prove(plan: Plan) -> None:
        verdict = drill(plan, SCHEMAS[name])
        assert verdict.verdict == "proven", story(verdict)

    prove()


def test_quick_drills_take_no_step_of_the_storm() -> None:
    """What is not yet sure to be proven on every machine is drawn only where it was asked for."""
    assert {step.kind for step in possible(HELPDESK) if step.storm} == set()
    quick = campaign(HELPDESK, seed=1, plans=6, tenants=3)
    assert not any(STEPS[script.kind].storm for plan in quick for script in plan.scripts)


def test_a_storm_takes_every_step_that_has_a_weight() -> None:
    """Its covering array begins with each kind once; those of weight 0 come only when named."""
    from random import Random

    kinds = {step.kind for step in possible(HELPDESK, storm=True)}
    assert kinds == {step.kind for step in STEPS.values() if step.weight}
    pins = list(strata(HELPDESK, Random(5), len(kinds), None, storm=True))
    assert {p.kind for p in pins} == kinds


@pytest.mark.parametrize("seed", SEEDS)
def test_a_canary_is_right_and_alone(seed: int) -> None:
    """The first transaction removes only tenants that were to go; all damage is in later ones."""
    first, *others = [t for t in script_of("shop", "canary", seed).transactions if not t.killed]
    assert first.rightly_deleted
    assert first.damaged == ()
    assert any(other.damaged for other in others)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_sequential_run_lasts_longer_than_a_short_budget(seed: int) -> None:
    """It takes its tenants one by one, with pauses that make it 6 to 15 seconds long."""
    plan = pinned_plan(SHOP, kind="sequential", seed=seed, profile="simulated")
    transactions = plan.scripts[0].transactions
    lasts_s = sum(t.pause_s for t in transactions) * len(transactions) / max(1, len(transactions) - 1)
    assert 5.9 < lasts_s < 15.1
    assert all(len(t.damaged) <= 1 for t in transactions)
