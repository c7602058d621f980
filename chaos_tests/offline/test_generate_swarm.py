"""Faults in a storm: chosen towards what was not met yet, placed so that each can be shown to bite."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.generate import swarm
from harness.generate.campaigns import campaign, strata, with_swarms
from harness.generate.shapes import SwarmShape
from harness.generate.steps import STEPS
from harness.generate.strategies import SURVIVORS, Pins
from harness.generate.swarm import choose, made, phases_of, placed, possible_names, swarms
from harness.model import faults as f
from harness.model.coverage import Cell, cells_named
from harness.model.errors import UnknownName
from harness.schemas import load

HELPDESK, SHOP = load("helpdesk").schema, load("shop").schema
NAMES = swarm.all_names()


def anything(_: f.Fault) -> str:
    """A host that can do everything."""
    return ""


def nothing_but_kills(fault: f.Fault) -> str:
    """A host that can only kill."""
    return "" if isinstance(fault, f.Kill) else "not here"


@pytest.mark.parametrize("name", NAMES)
def test_each_name_makes_the_fault_that_has_it(name: str) -> None:
    """And that fault strikes in some phase, when everything survives."""
    fault = made(name, phase="write", after_s=1.0, down_s=0.5)
    assert f.name_of(fault) == name
    assert phases_of(name, "all")


def test_a_name_that_no_fault_has_is_refused() -> None:
    """With the names that there are."""
    with pytest.raises(UnknownName, match="kill archiver"):
        made("kill everybody", phase="write", after_s=0.0, down_s=0.0)


def test_what_touches_restores_alone_strikes_while_there_are_some() -> None:
    """Other faults strike before; where not everything survives, in the write phase alone."""
    assert phases_of("cut restorer-minio", "all") == ("restore",)
    assert phases_of("cut restorer-minio", "archive") == ()
    assert phases_of("kill archiver", "all") == ("write", "script")
    assert phases_of("kill archiver", "archive") == ("write",)
    assert phases_of("kill primary", "standby") == ()


def test_a_host_is_asked_for_nothing_that_it_can_not_do() -> None:
    """Nor for what is outside of every promise, unless that is what is asked for."""
    assert {name.split()[0] for name in possible_names(nothing_but_kills, "all")} == {"kill"}
    assert possible_names(nothing_but_kills, "all", outside=True) == ()
    outside = possible_names(anything, "all", outside=True)
    assert set(outside) == {"lose offsets", "drop slot", "advance slot"}
    assert not set(outside) & set(possible_names(anything, "all"))


def test_what_a_host_can_not_do_is_listed_with_its_reason() -> None:
    """By name, so that nothing is skipped in silence."""
    listed = swarm.listed(nothing_but_kills)
    assert listed["cut archiver-minio"] == "not here"
    assert not any(name.startswith("kill") for name in listed)
    assert swarm.listed(anything) == {}


def chosen(names: Sequence[str], count: int, seen: Sequence[Cell] = (), seed: int = 0) -> tuple[str, ...]:
    """Choose for a script of the canary kind."""
    return choose(Random(seed), names, "canary", count, seen)


@pytest.mark.parametrize("seed", range(5))
def test_kinds_that_were_never_met_go_first(seed: int) -> None:
    """Then names, then cells that are empty under this kind of script."""
    names = ("kill archiver", "kill kafka", "slow store")
    killed = cells_named("kill archiver", ["canary"])
    assert chosen(names, 1, killed, seed) == ("slow store",)
    slow = cells_named("slow store", ["canary"])
    assert chosen(names, 1, [*killed, *slow], seed)[0] in ("kill kafka", "slow store")
    assert chosen(names[:2], 1, killed, seed) == ("kill kafka",)
    restarted = cells_named("restart connector", ["canary"])  # it weighs thrice
    assert chosen(("slow store", "restart connector"), 1, [*slow, *restarted], seed) == (
        "restart connector",
    )
    elsewhere = [*cells_named("kill archiver", ["canary"]), *cells_named("kill kafka", ["blanked"])]
    assert chosen(names[:2], 1, elsewhere, seed) == ("kill kafka",)


def test_at_most_one_fault_of_a_plan_blocks_commits() -> None:
    """Writers must have most of the write phase; with nothing else left there are fewer faults."""
    both = ("kill primary", "cut clients-primary")
    assert len(chosen(both, 2)) == 1
    assert len(chosen((*both, "kill kafka"), 3)) == 2
    assert chosen((), 2) == ()


@given(
    st.sets(st.sampled_from(possible_names(anything, "all")), min_size=1, max_size=4).flatmap(
        lambda names: swarms(sorted(names), "all")
    )
)
def test_faults_of_a_phase_follow_each_other(shape: SwarmShape) -> None:
    """With a pause between, each as long as its kind may last, and in a phase that is its own."""
    for phase in swarm.PHASES:
        mine = [fault for fault in shape.faults if fault.phase == phase]
        for before, after in pairwise(mine):
            assert after.after_s - (before.after_s + before.down_s) >= 0.9
    for fault in shape.faults:
        low_s, high_s = f.KINDS[type(fault)].down_s
        assert low_s <= fault.down_s <= high_s
        assert fault.phase in phases_of(f.name_of(fault), "all")
        assert not f.misplaced(fault, "all")


@given(swarms(["restart connector"], "all"))
def test_a_connector_is_restarted_once_or_in_a_loop(shape: SwarmShape) -> None:
    """As often in a row as was drawn."""
    (restart,) = shape.faults
    assert isinstance(restart, f.RestartConnector)
    assert restart.times in swarm.RESTARTS


def a_kill(after_s: float, phase: f.FaultPhase = "write") -> f.Fault:
    """An archiver that is down for two seconds."""
    return made("kill archiver", phase=phase, after_s=after_s, down_s=2.0)


@pytest.mark.parametrize(
    ("shape", "begins_s"),
    [
        (SwarmShape(faults=(a_kill(1.0), a_kill(5.0)), late=True), [1.0, 19.0]),
        (SwarmShape(faults=(a_kill(1.0), a_kill(5.0))), [1.0, 5.0]),
        (SwarmShape(faults=(a_kill(1.0), a_kill(0.0, "script")), late=True), [1.0, 0.0]),
        (SwarmShape(faults=(a_kill(0.5, "script"),), late=True), [0.5]),
        (SwarmShape(late=True), []),
    ],
)
def test_a_late_fault_lasts_into_the_script(shape: SwarmShape, begins_s: list[float]) -> None:
    """Its middle is the end of the write phase, unless the script has a fault of its own."""
    assert [fault.after_s for fault in placed(shape, 20.0)] == begins_s


def a_storm(seed: int, towards: Sequence[Cell] = (), plans: int = 30) -> list[Pins]:
    """What is pinned in the plans of a storm."""
    pinned = strata(HELPDESK, Random(f"strata {seed}"), plans, None, storm=True, outside=True)
    return [*with_swarms(pinned, Random(f"swarms {seed}"), anything, towards)]


@pytest.mark.parametrize("seed", range(6))
def test_thirty_plans_meet_every_kind_of_fault(seed: int) -> None:
    """Those outside the envelope in a tenth of the plans, each alone, with a snapshot after it."""
    pins = a_storm(seed)
    met = {f.kind_words(type(made(n, phase="write", after_s=0, down_s=0))) for p in pins for n in p.faults}
    assert met == {f.kind_words(kind) for kind in f.KINDS}
    beyond = set(possible_names(anything, "all", outside=True))
    outside = [number for number, p in enumerate(pins) if set(p.faults) & beyond]
    assert len(outside) == 3
    for number in outside:
        assert len(pins[number].faults) == 1
        assert pins[number].survivors == "all"
        assert number + 1 == len(pins) or pins[number + 1].initial == "snapshot"


def test_storms_go_towards_what_was_not_met() -> None:
    """Two campaigns meet more faults together when the second one knows the first one's map."""
    steered = drawn_anew = 0
    for seed in range(6):
        first = a_storm(seed)
        cells = {cell for p in first for name in p.faults for cell in cells_named(name, [p.kind or ""])}
        steered += len(names(a_storm(seed, sorted(cells))) - names(first))
        drawn_anew += len(names(a_storm(seed + 100)) - names(first))
    assert steered > 1.1 * drawn_anew


def names(pins: Sequence[Pins]) -> set[str]:
    """Return the names of all faults in some plans."""
    return {name for p in pins for name in p.faults}


def test_plans_of_a_storm_hold_the_faults_that_were_chosen() -> None:
    """With a budget for the longest outage, and nothing that the host can't do."""
    plans = campaign(SHOP, seed=3, plans=5, profile="storm", tenants=3, unavailable=nothing_but_kills)
    struck = [fault for plan in plans for fault in plan.faults]
    assert len(struck) == 6
    assert all(isinstance(fault, f.Kill) for fault in struck)
    for plan in plans:
        assert plan.budget_s >= 10.0 + f.outage_s([x for x in plan.faults if x.phase == "write"])
        assert plan.outside == ()


def test_a_quick_campaign_has_no_swarm() -> None:
    """Only what it always had: an archiver that is killed now and then."""
    plans = campaign(SHOP, seed=3, plans=3, tenants=3)
    assert [f.name_of(x) for plan in plans for x in plan.faults] == ["kill archiver"]


@pytest.mark.parametrize("seed", range(1, 4))
def test_a_storm_switches_over_three_times_in_a_row_now_and_then(seed: int) -> None:
    """In every twelfth plan from the tenth on, with no fault; never where no standby takes over."""
    pins = a_storm(seed)
    switching = [number for number, pin in enumerate(pins) if pin.switchovers]
    assert switching == [9, 21]
    assert {(pins[number].switchovers, pins[number].faults) for number in switching} == {(3, ())}
    without = strata(HELPDESK, Random(f"strata {seed}"), 30, None, storm=True, failover=False)
    assert not any(pin.switchovers for pin in without)


def test_three_storms_of_thirty_plans_meet_every_step_and_every_kind_of_fault() -> None:
    """Seeds 1, 2 and 3 together, on a host that can do all."""
    pins = [pin for seed in (1, 2, 3) for pin in a_storm(seed)]
    assert {pin.kind for pin in pins} == {*STEPS}
    met = {name for pin in pins for name in pin.faults}
    assert all(met & {*f.names(kind)} for kind in f.KINDS), f.KINDS.keys()
    assert {pin.survivors for pin in pins} == {*SURVIVORS}
