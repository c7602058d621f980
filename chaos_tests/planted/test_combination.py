"""A defect that needs a combination: a kind of script, a fault, and the moment of both.

Hypothesis draws plans over kinds of scripts, kinds of faults and their times, the simulator runs them, and
the first plan in which the defect shows itself is reduced as far as it goes. The reference system passes
every plan on the way.
"""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from harness import schemas
from harness.generate import Pins, plans
from harness.generate.reduced import operations, reduced
from harness.model.errors import HarnessFailed
from harness.model.faults import name_of
from harness.model.plan import Plan
from harness.simulate import drill
from harness.simulate.forgetful import ForgetsAmongRepetitions, NoticesRepetitions
from harness.simulate.world import Parts

HELPDESK = schemas.load("helpdesk").schema
KINDS = ("mode_flipped", "canary")
FAULTS = ("kill connect", "restart connector", "kill archiver", "kill minio")
DRAWS = range(100, 400)
DEFECT = Parts(archiver=ForgetsAmongRepetitions)


def broken(plan: Plan, parts: Parts) -> set[str]:
    """Return the checks that found something broken; none when the plan can't be run to its end."""
    try:
        verdict = drill(plan, HELPDESK, parts)
    except HarnessFailed:
        return set()
    found = verdict.every_finding
    return {finding.check for finding in found if finding.verdict == "broken"}


def shows(plan: Plan) -> bool:
    """Whether the defect loses something in it, and the system without it breaks nothing."""
    return bool({"honest", "prefix", "loss"} & broken(plan, DEFECT)) and not broken(plan, Parts())


@st.composite
def combinations(draw: st.DrawFn) -> Plan:
    """Draw a small plan with one script and one or two faults."""
    faults = draw(st.lists(st.sampled_from(FAULTS), min_size=1, max_size=2, unique=True))
    kind = draw(st.sampled_from(KINDS))
    pins = Pins(kind=kind, faults=tuple(faults), fault="none", survivors="all", again=False, rows=5)
    return draw(plans(HELPDESK, profile="hunt", tenants=6, pins=pins))


def drawn(number: int) -> Plan:
    """Draw one plan: Hypothesis's first example is always the minimal one, the next one is drawn."""
    found: list[Plan] = []

    @seed(number)
    @settings(
        max_examples=2,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(combinations())
    def collect(plan: Plan) -> None:
        found.append(plan)

    collect()
    return found[-1]


def test_a_defect_that_needs_a_combination_is_found_and_shown_small() -> None:
    """At most three tenants, five operations and two faults show it; without any of these it does not."""
    plan = next(plan for plan in map(drawn, DRAWS) if shows(plan))
    small = reduced(plan, shows)
    assert shows(small)
    assert len(small.tenants) <= 3
    assert operations(small) <= 5
    assert 1 <= len(small.faults) <= 2
    assert small.scripts[0].kind == "mode_flipped"
    assert {name_of(fault) for fault in small.faults} <= {"kill connect", "restart connector"}
    assert not broken(small, Parts(archiver=NoticesRepetitions))
