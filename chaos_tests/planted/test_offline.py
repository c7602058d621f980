"""Every planted defect is caught in the simulator by the check that names it; what looks like it is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from fixtures.handmade import TENANTS, failover_plan, shop_plan, shop_plan_at, straddled_plan
from harness import schemas
from harness.generate import pinned_plan, plans
from harness.generate.steps import STEPS
from harness.model.envelope import Allowed, Envelope
from harness.model.faults import Kill
from harness.model.layers import Layer
from harness.model.plan import Plan
from harness.model.schema import Schema
from harness.model.verdict import DrillVerdict
from harness.simulate import drill, faulty
from harness.simulate.defects import DEFECTS, Defect, defect
from harness.simulate.disputed import heard
from harness.simulate.neglectful import copied_after
from harness.simulate.vacuous import switched_over
from harness.simulate.world import Parts

HELPDESK = schemas.load("helpdesk").schema
SHOP = schemas.load("shop").schema
KILL = Kill(service="archiver", phase="write", after_s=4.5, down_s=0.5)
PROMISE_S = 300.0


ON_HELPDESK = {
    "resets sequences",
    "restarts sequences",
    "fires triggers",
    "overwrites shared rows",
    "sends months as days",
    "finds tenants by short names",
}
"""Defects that show themselves only on what the small schema lacks."""


def schema_for(planted: Defect) -> Schema:
    """Return the schema of its plan: the small one, if that can say it."""
    if planted.name in ON_HELPDESK:
        return HELPDESK
    return HELPDESK if planted.step and not STEPS[planted.step].means(SHOP) else SHOP


def plan_for(planted: Defect) -> Plan:
    """Return the plan in which the defect can show itself."""
    by_hand = BY_HAND.get(planted.name)
    if by_hand is not None:
        return by_hand()
    if planted.step is not None:
        return pinned_plan(
            schema_for(planted), kind=planted.step, seed=planted.seed, profile="simulated", survivors="all"
        )
    if planted.name in ON_HELPDESK:
        return pinned_plan(HELPDESK, kind="stale_list", seed=1, profile="simulated", survivors="all")
    return msgspec.structs.replace(
        shop_plan(), attacks=planted.attacks, watermark_checks=planted.watermark_checks
    )


def plan_that_loses(seconds: float) -> Plan:
    """Return a plan in which an archiver that falls asleep loses everything of the last ``seconds``."""
    first_lost_s = 330.0 - seconds
    before = [first_lost_s - 25.0 + n for n in range(12)]
    after = [first_lost_s + n for n in range(12)]
    return shop_plan_at([*before, *after], write_s=330.0, budget_s=PROMISE_S)


def plan_with_outage(down_s: float) -> Plan:
    """Return a plan in which nothing is archived for ``down_s`` seconds, long before the incident.

    Its envelope includes that; everything has come to the bucket by the time of the incident.
    """
    before = [1.0 + n for n in range(12)]
    after = [down_s + 12.0 + n for n in range(12)]
    plan = shop_plan_at([*before, *after], write_s=down_s + 28.0, budget_s=10.0)
    fault = Kill(service="archiver", phase="write", after_s=4.0, down_s=down_s)
    envelope = Envelope(faults=(Allowed(fault="kill archiver", longest_s=down_s),))
    return msgspec.structs.replace(plan, faults=(fault,), envelope=envelope)


def truncated() -> Plan:
    """Return a plan in which a table is truncated, and the bucket copied soon after."""
    return copied_after(pinned_plan(SHOP, kind="truncated", seed=0, profile="simulated", survivors="all"))


BY_HAND: dict[str, Callable[[], Plan]] = {
    "makes a new slot after a failover": lambda: failover_plan(after_s=1.5, goes_on=True),
    "flushes buffers when they are full": lambda: shop_plan(initial="snapshot", survivors="archive"),
    "skips each TRUNCATE": truncated,
    "ignores each TRUNCATE": truncated,
    "stays with the old primary": lambda: switched_over(shop_plan()),
    "mixes two rows up": lambda: heard(shop_plan()),
    "moves the offset before the write": lambda: shop_plan(faults=(KILL,)),
    "cuts all at the start of the script": lambda: shop_plan(script_pause_s=6.0),
    "never says that it is breached": lambda: plan_with_outage(310.0),
    "falls asleep": lambda: msgspec.structs.replace(plan_that_loses(301.0), survivors="all"),
    "names too little": lambda: shop_plan(survivors="archive", destroy_after_s=0.5),
    "loses a batch after a restart": lambda: shop_plan(
        faults=(Kill(service="connect", phase="write", after_s=4.5, down_s=0.5),)
    ),
    "faults never bite": lambda: shop_plan(faults=(KILL,)),
    "loses an acked write in a failover": lambda: failover_plan(after_s=1.5),
    "captures ahead of the standby": lambda: failover_plan(after_s=1.5, goes_on=True),
    "merges two histories": lambda: failover_plan(after_s=1.5, goes_on=True),
    "cuts by transaction id": straddled_plan,
    "folds away by LSN alone": lambda: shop_plan(
        survivors="archive", destroy_after_s=0.5, again=(TENANTS[0],)
    ),
}
"""Plans by hand for defects that need a special moment."""


def broken_checks(verdict: DrillVerdict) -> set[str]:
    """Return the names of the checks that found something broken."""
    return checks_that_say("broken", verdict)


def checks_that_say(what: str, verdict: DrillVerdict) -> set[str]:
    """Return the names of the checks that found something *broken*, or *unknown*."""
    findings = verdict.every_finding
    return {finding.check for finding in findings if finding.verdict == what}


ALSO: dict[str, tuple[Layer, ...]] = {
    "merges two histories": ("capture",),
    "forgets one child table": ("archiver",),
    "flushes half a transaction": ("restorer",),
    "takes keys for old rows": ("restorer",),
}
"""Layers that lose something too, where a defect shows itself only beside another layer's.

The later half of a transaction that was flushed in two may come to the archive after a restore: blame looks
at the drill's end, and finds it there.
"""


INSTEAD: dict[str, Layer] = {
    "names too little": "archiver",
    "goes on with an unasked snapshot": "restorer",
    "passes over NULLs": "restorer",
    "reads rows twice": "restorer",
    "skips each TRUNCATE": "archiver",
    "ignores each TRUNCATE": "archiver",
    "names the newest versions": "archiver",
}
"""Whom the findings blame where the layer at fault leaves no trace of its own: what is lost was archived by
nobody, whatever was named; what an unasked snapshot lacks is in the archive, before it; and a harness that
reads wrongly takes it for the restorer's doing. What a watermark promised, and which versions restores
need, is for the archiver to answer for.
"""


def layers_blamed(verdict: DrillVerdict, checks: Sequence[str]) -> set[Layer | None]:
    """Return whom the findings of these checks blame."""
    findings = verdict.every_finding
    return {f.blame.layer for f in findings if f.check in checks and f.blame is not None}


@pytest.mark.parametrize("planted", DEFECTS, ids=lambda planted: planted.name)
def test_each_defect_is_caught_by_its_check(planted: Defect) -> None:
    """The drill is broken, the checks that the table names say so, and blame the layer it sits in."""
    verdict = drill(plan_for(planted), schema_for(planted), planted.parts())
    assert verdict.verdict in (planted.says, "broken")
    assert set(planted.caught_by) <= checks_that_say(planted.says, verdict)
    if planted.says == "unknown":
        return  # nothing was lost that could be blamed on anybody
    blamed = layers_blamed(verdict, planted.caught_by)
    layer = INSTEAD.get(planted.name, planted.where)
    assert layer in blamed
    assert blamed <= {layer, None, *ALSO.get(planted.name, ())}


@pytest.mark.parametrize(
    "name",
    [
        "loses one row in the middle",
        "restores a neighbour's row",
        "brings back a deleted row",
        "flushes only when asked",
    ],
)
def test_some_defects_are_caught_whatever_the_plan(name: str) -> None:
    """Defects that wait for no special moment are caught on every drawn plan, on a schema of many kinds."""

    @settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(plans(HELPDESK, profile="simulated"))
    def catch(plan: Plan) -> None:
        verdict = drill(plan, HELPDESK, defect(name).parts())
        assert verdict.verdict == "broken"
        assert set(defect(name).caught_by) <= broken_checks(verdict)

    catch()


def test_a_system_that_brings_nothing_back_is_broken() -> None:
    """That no tenant at all comes out of the archive is a verdict, and no failure of the harness."""
    lost = drill(shop_plan(survivors="archive"), SHOP, defect("flushes only when asked").parts())
    assert {tenant.verdict for tenant in lost.tenants} == {"broken"}


@pytest.mark.parametrize("planted", DEFECTS, ids=lambda planted: planted.name)
def test_the_same_plans_are_proven_without_a_defect(planted: Defect) -> None:
    """What was found broken was the defect's doing: the reference system passes the very same plan."""
    assert drill(plan_for(planted), schema_for(planted)).verdict == "proven"


@pytest.mark.parametrize("planted", [d for d in DEFECTS if d.near_miss], ids=lambda planted: planted.name)
def test_each_near_miss_is_proven(planted: Defect) -> None:
    """What looks like the defect and is harmless is not held against anybody."""
    assert planted.near_miss is not None
    assert drill(plan_for(planted), schema_for(planted), planted.near_miss()).verdict == "proven"


def test_an_offset_moved_too_early_is_harmless_without_a_kill() -> None:
    """The near miss of the early offset: nothing ends the archiver at the wrong moment."""
    early = defect("moves the offset before the write")
    assert drill(shop_plan(), SHOP, early.parts()).verdict == "proven"


def test_one_cut_for_all_is_right_when_all_were_hit_at_once() -> None:
    """The near miss of the common cut: a script of one transaction has only one place to cut."""
    early = defect("cuts all at the start of the script")
    assert drill(shop_plan(at_once=True), SHOP, early.parts()).verdict == "proven"


def test_positions_only_go_on_where_nothing_ran_ahead_of_the_standby() -> None:
    """The near miss of the LSN alone: on one cluster no position of the archive is ever given again."""
    early = defect("folds away by LSN alone")
    assert drill(failover_plan(after_s=0.3, goes_on=True), SHOP, early.parts()).verdict == "proven"


@pytest.mark.parametrize("seed", [3, 5])
def test_one_cut_for_all_loses_what_was_written_during_a_long_run(seed: int) -> None:
    """Whoever takes the start of a long script for everybody's cut loses legitimate writes (FM-10)."""
    early = defect("cuts all at the start of the script")
    plan = pinned_plan(SHOP, kind="sequential", seed=seed, profile="simulated", survivors="all")
    verdict = drill(plan, SHOP, early.parts())
    assert verdict.verdict == "broken"
    assert "loss" in broken_checks(verdict)


@pytest.mark.parametrize(("seconds", "verdict"), [(301.0, "broken"), (299.0, "proven")])
def test_the_budget_is_as_sharp_as_a_second(seconds: float, verdict: str) -> None:
    """A write lost 301 s before the incident breaks a promise of 300 s; one lost 299 s before does not."""
    found = drill(plan_that_loses(seconds), SHOP, Parts(archiver=faulty.FallsAsleep))
    assert found.verdict == verdict
    assert found.worst_loss_s == pytest.approx(seconds, abs=0.9)
