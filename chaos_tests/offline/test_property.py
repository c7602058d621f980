"""The property: whatever plan is drawn, the reference backup system is proven on it, drill after drill.

The same runner, archiver, restorer and judge as on real services, on a simulated stack and a virtual clock:
a hundred plans, and Hypothesis shrinks one that fails as far as it can.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, assume, given, settings

from harness import schemas
from harness.generate import plans
from harness.judge import judge
from harness.model.history import Done, Entry
from harness.model.plan import Plan
from harness.model.verdict import DrillVerdict
from harness.simulate import simulate

SCHEMAS = {name: schemas.load(name).schema for name in schemas.names()}
EXAMPLES = 50

many = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def story(verdict: DrillVerdict) -> str:
    """Return the findings of a verdict, a line each, for whoever reads a failure."""
    findings = verdict.every_finding
    return "\n".join(f"{f.verdict}: {f.check}: {f.tenant}: {f.message}" for f in findings)


def stood_in_its_way(history: Sequence[Entry]) -> bool:
    """Whether a row that a writer wrote meanwhile had the script refused, by a foreign key.

    It then damaged nobody, and the drill is *unknown* for that reason: it proves nothing.
    """
    done = (entry for entry in history if isinstance(entry, Done) and entry.actor == "script")
    return any(entry.outcome == "refused" and "still refers to" in entry.detail for entry in done)


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_drill_on_the_reference_system_is_proven(name: str) -> None:
    """A drill of any plan, of any survivors, is proven: nothing broken, nothing left open."""

    @many
    @given(plans(SCHEMAS[name], profile="simulated"))
    def prove(plan: Plan) -> None:
        left = simulate(plan, SCHEMAS[name])
        assume(not stood_in_its_way(left.history))
        verdict = judge(plan, SCHEMAS[name], left.history, left.restored)
        assert verdict.verdict == "proven", story(verdict)

    prove()
