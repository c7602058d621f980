"""Drills whose primary is lost for good and whose standby takes over, on the simulator."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import msgspec
import pytest

from fixtures.handmade import QUIET, TENANTS, failover_plan, shop_plan
from harness import schemas
from harness.drive.campaign import Campaign
from harness.drive.injector import demand_available
from harness.judge import judge
from harness.model.attacks import Attack
from harness.model.errors import BadInput, TimedOut
from harness.model.history import (
    AnyEntry,
    ClusterSeen,
    Destroyed,
    Done,
    Entry,
    Note,
    NotSent,
    RestoreBegan,
    Sent,
    Settled,
    SwitchedOver,
)
from harness.model.plan import Plan, Survivors, SwitchOver
from harness.model.verdict import DrillVerdict
from harness.session import where_possible
from harness.simulate import simulate, simulate_series
from harness.simulate.faulty import FallsAsleep
from harness.simulate.tampered import ChainsAfterForged
from harness.simulate.world import Parts, SimulatedMachinery, Site

SHOP = schemas.load("shop").schema
E = TypeVar("E", bound=Entry)


def run(plan: Plan) -> tuple[tuple[AnyEntry, ...], DrillVerdict]:
    """Run a plan; return its history and its verdict."""
    left = simulate(plan, SHOP)
    return left.history, judge(plan, SHOP, left.history, left.restored)


def of(kind: type[E], history: tuple[AnyEntry, ...]) -> list[E]:
    """All entries of one kind."""
    return [entry for entry in history if isinstance(entry, kind)]


def outcomes(history: tuple[AnyEntry, ...], name: str) -> list[str]:
    """What was journalled of a transaction, in order."""
    return [entry.outcome for entry in history if isinstance(entry, Done | Settled) and entry.name == name]


@pytest.mark.parametrize("fenced", [False, True])
def test_everybody_goes_on_and_comes_back(fenced: bool) -> None:
    """Writers reconnect to the promoted standby, damaged tenants come back there, others into scratch."""
    history, verdict = run(failover_plan(after_s=1.5, fenced=fenced))
    (destroyed,) = of(Destroyed, history)
    assert (destroyed.survivors, destroyed.services) == ("standby", ("primary",))
    seen = [(c.cluster, c.timeline, c.epoch) for c in of(ClusterSeen, history) if c.epoch]
    assert seen == [(1, 1, 1), (2, 2, 2)]
    assert len({c.system_id for c in of(ClusterSeen, history)}) == 1
    places = {began.tenant: began.place for began in of(RestoreBegan, history)}
    assert {t for t, place in places.items() if place == "live"} == {QUIET, TENANTS[0], TENANTS[1]}
    assert any(s.cluster == 2 and s.actor == "writer" for s in of(Sent, history))
    assert verdict.verdict == "proven"


def test_a_script_ends_with_its_session_and_says_what_it_left() -> None:
    """Its operator sends nothing to the promoted standby."""
    history, verdict = run(failover_plan(after_s=0.3))
    assert [entry.name for entry in of(NotSent, history)] == ["first.1", "first.2"]
    assert verdict.verdict == "proven"


def test_a_script_goes_on_at_the_promoted_standby() -> None:
    """What was broken off before its COMMIT is sent again, and the rest after it."""
    history, verdict = run(failover_plan(after_s=0.3, goes_on=True))
    assert of(NotSent, history) == []
    assert outcomes(history, "first.1") == ["refused", "acked"]
    assert {s.cluster for s in of(Sent, history) if s.name in ("first.1", "first.2")} == {2}
    assert verdict.verdict == "proven"


def test_a_damage_that_the_standby_never_had_is_done_again() -> None:
    """Its COMMIT was under way at the crash; the first snapshot shows all rows still there."""
    for seed in range(1, 16):
        history, verdict = run(failover_plan(after_s=0.0, goes_on=True, seed=seed))
        assert verdict.verdict == "proven"
        if outcomes(history, "first.0") == ["unknown", "refused", "acked"]:
            return
    pytest.fail("no seed in which the damage was undone")


def test_every_open_outcome_at_a_crash_is_settled() -> None:
    """Each by the promoted primary's first snapshot; both ways come up, and neither breaks anything."""
    settled: set[str] = set()
    for seed in range(1, 16):
        history, verdict = run(failover_plan(after_s=0.0, seed=seed))
        open_ones = {done.name for done in of(Done, history) if done.outcome == "unknown"}
        assert {entry.name for entry in of(Settled, history)} == open_ones
        damaged = outcomes(history, "first.0") != ["unknown", "refused"]
        assert verdict.verdict == ("proven" if damaged else "unknown")
        settled |= {entry.outcome for entry in of(Settled, history)}
    assert settled == {"acked", "refused"}


def test_a_next_drill_has_a_standby_again() -> None:
    """On a warm stack one failover follows another, each from a pair."""
    plans = [failover_plan(after_s=0.5), failover_plan(after_s=0.1, fenced=True), shop_plan()]
    for plan, left in zip(plans, simulate_series(plans, SHOP), strict=True):
        assert judge(plan, SHOP, left.history, left.restored).verdict == "proven"


def test_a_plan_that_needs_a_failover_is_refused_by_name_where_there_is_none() -> None:
    """Before anything begins: the host's Postgres would lose the connector's slot (FM-21)."""

    class NoFailover(SimulatedMachinery):
        def refuses_failover(self) -> str:
            return "Postgres 16 loses the slot"

    for plan in (failover_plan(after_s=0.5), switching_plan()):
        machinery = NoFailover(Site(plan, SHOP, Parts()))
        with pytest.raises(BadInput, match=r"can't do a failover \(Postgres 16 loses the slot\)"):
            demand_available(plan, machinery)
    demand_available(shop_plan(), machinery)


def test_a_campaign_leaves_out_what_needs_a_failover_where_there_is_none() -> None:
    """The other plans are run, and the reason is told; a campaign of nothing else is left to be refused."""
    campaign = Campaign(
        plans=(shop_plan(), failover_plan(after_s=1.0), switching_plan()), seed=1, profile=""
    )
    assert where_possible(campaign, "") == campaign
    fewer = where_possible(campaign, "too old")
    assert (len(fewer.plans), list(fewer.unavailable.values())) == (1, ["too old"])
    alone = msgspec.structs.replace(campaign, plans=campaign.plans[1:])
    assert where_possible(alone, "too old") == alone


def switching_plan(**more: object) -> Plan:
    """Three switchovers under the first writes, each with the old primary back before the next one."""
    turns = (
        SwitchOver(after_s=0.5),
        SwitchOver(after_s=0.2, fenced=True, by="rewind"),
        SwitchOver(after_s=0.7),
    )
    return msgspec.structs.replace(shop_plan(budget_s=4.0, write_s=10.0), switchovers=turns, **more)


def test_primary_and_standby_change_places_three_times_in_a_row() -> None:
    """Each time the connector goes on, the slot is synced again and a heartbeat comes through (FM-23)."""
    history, verdict = run(switching_plan())
    assert [(e.number, e.archived) for e in of(SwitchedOver, history)] == [(1, True), (2, True), (3, True)]
    seen = [(c.cluster, c.timeline, c.epoch) for c in of(ClusterSeen, history) if c.epoch]
    assert seen == [(1, 1, 1), (2, 2, 2), (3, 3, 3), (4, 4, 4)]
    assert of(Destroyed, history) == []
    assert {s.cluster for s in of(Sent, history) if s.actor == "writer"} == {1, 2, 3, 4}
    assert verdict.verdict == "proven"


def test_a_primary_may_be_lost_for_good_after_switchovers() -> None:
    """The fourth failover is like the first one."""
    history, verdict = run(
        switching_plan(survivors="standby", destroy_after_s=0.6, budget_s=6.0, script_goes_on=True)
    )
    assert max(c.timeline for c in of(ClusterSeen, history)) == 5
    assert verdict.verdict == "proven"


def test_what_was_open_at_a_switchover_is_settled_at_once() -> None:
    """By the snapshot of the one promoted, not by a later one: there its rows may be gone again."""
    for seed in range(1, 6):
        history, verdict = run(switching_plan(seed=seed))
        open_ones = {done.name for done in of(Done, history) if done.outcome == "unknown"}
        assert {entry.name for entry in of(Settled, history)} == open_ones
        assert verdict.verdict == "proven"


FORGED = Attack(kind="forge entry", moment="write", after_s=4.0)


def judged(plan: Plan, parts: Parts) -> tuple[set[str], list[str]]:
    """Run a plan on a system that is wrong; return the checks that say so, and what the drill noted."""
    left = simulate(plan, SHOP, parts)
    verdict = judge(plan, SHOP, left.history, left.restored)
    findings = verdict.every_finding
    notes = [note.text for note in of(Note, left.history)]
    return {finding.check for finding in findings if finding.verdict == "broken"}, notes


@pytest.mark.parametrize("survivors", ["standby", "archive"])
def test_an_archive_that_its_own_reader_refuses_is_judged(survivors: Survivors) -> None:
    """Nobody learns an epoch from it once the primary is lost; the drill goes on, and restores say why."""
    plan = failover_plan(after_s=1.5) if survivors == "standby" else shop_plan(survivors="archive")
    plan = msgspec.structs.replace(plan, attacks=(FORGED,))
    checks, _ = judged(plan, Parts(archiver=ChainsAfterForged))
    assert {"untampered", "restored"} <= checks


def test_an_archive_that_never_knows_the_promoted_standby_is_judged() -> None:
    """Its archiver neither stops nor goes on."""
    checks, notes = judged(failover_plan(after_s=1.5), Parts(archiver=Sleeps))
    assert "archived again" in checks
    assert any(note.startswith("the archive never knew the cluster") for note in notes)


def test_an_archiver_that_stops_on_a_fresh_cluster_is_judged() -> None:
    """What came back there is archived no more: that is no failure of the harness."""
    plan = msgspec.structs.replace(
        shop_plan(survivors="archive"), attacks=(Attack(kind="plant next key", moment="restore"),)
    )
    checks, notes = judged(plan, Parts(archiver=ChainsAfterForged))
    assert checks == {"archived again"}
    assert any(note.startswith("the archiver did not go on") for note in notes)


def test_a_fresh_cluster_that_nobody_captures_is_the_harness_failing() -> None:
    """As long as the archiver does not say that it stopped, what did not start is the harness's own."""
    with pytest.raises(TimedOut, match="a heartbeat is in the bucket"):
        simulate(shop_plan(survivors="archive"), SHOP, Parts(machinery=StartsOnce))


class Sleeps(FallsAsleep):
    """Archives nothing that comes a tenth of a second after anything else."""

    after_s = 0.1


class StartsOnce(SimulatedMachinery):
    """Starts the capture once."""

    _started = False

    async def start_capture(self) -> None:
        """Start it, or wait for ever."""
        if self._started:
            await asyncio.Event().wait()
        self._started = True
        await super().start_capture()
