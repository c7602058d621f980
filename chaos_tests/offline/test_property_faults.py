"""The property under faults: whichever of them strike, and whenever, the reference system is proven."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness import schemas
from harness.generate import Pins, plans
from harness.generate.swarm import possible_names
from harness.model.faults import name_of
from harness.model.plan import Plan, Survivors
from harness.simulate import drill, faults

SHOP = schemas.load("shop").schema
EXAMPLES = 25


@st.composite
def disturbed(draw: st.DrawFn, survivors: Survivors) -> Plan:
    """Draw a plan with one or two faults, of which one at most freezes commits."""
    names = possible_names(faults.reason, survivors)
    freezing = [name for name in names if name.split()[-1] in ("primary", "standby", "commit")]
    others = [name for name in names if name not in freezing]
    wanted = draw(st.lists(st.sampled_from(others), max_size=1))
    wanted += draw(st.lists(st.sampled_from(freezing), min_size=0 if wanted else 1, max_size=1))
    pins = Pins(faults=tuple(wanted), fault="none", survivors=survivors)
    return draw(plans(SHOP, profile="simulated", pins=pins))


@pytest.mark.parametrize("survivors", ["all", "archive"])
def test_every_disturbed_drill_is_proven(survivors: Survivors) -> None:
    """Nothing is lost, nothing is left open, and each fault is shown to have bitten and healed."""

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(disturbed(survivors))
    def prove(plan: Plan) -> None:
        verdict = drill(plan, SHOP)
        found = verdict.every_finding
        assert verdict.verdict == "proven", ([name_of(fault) for fault in plan.faults], found[:3])

    prove()
