"""The property: whatever plan is drawn, the reference backup system is proven on it, drill after drill.

The same runner, archiver, restorer and judge as on real services, on a simulated stack and a virtual clock:
a hundred plans, and Hypothesis shrinks one that fails as far as it can.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from harness import schemas
from harness.generate import plans
from harness.model.plan import Plan
from harness.model.verdict import DrillVerdict
from harness.simulate import drill

SCHEMAS = {name: schemas.load(name).schema for name in schemas.names()}
EXAMPLES = 50

many = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def story(verdict: DrillVerdict) -> str:
    """Return the findings of a verdict, a line each, for whoever reads a failure."""
    findings = [*verdict.findings, *(f for tenant in verdict.tenants for f in tenant.findings)]
    return "\n".join(f"{f.verdict}: {f.check}: {f.tenant}: {f.message}" for f in findings)


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_drill_on_the_reference_system_is_proven(name: str) -> None:
    """A drill of any plan, of any survivors, is proven: nothing broken, nothing left open."""

    @many
    @given(plans(SCHEMAS[name], profile="simulated"))
    def prove(plan: Plan) -> None:
        verdict = drill(plan, SCHEMAS[name])
        assert verdict.verdict == "proven", story(verdict)

    prove()
