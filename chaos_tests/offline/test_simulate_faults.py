"""Every fault that the simulator can do, in every phase: it bites, it is healed, and all is proven."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from fixtures.handmade import TENANTS, shop_plan
from harness import schemas
from harness.generate.campaigns import campaign, pinned_plan
from harness.model.envelope import Allowed, Envelope
from harness.model.errors import BadInput
from harness.model.faults import (
    KINDS,
    CancelCommit,
    ClockJump,
    CutLink,
    Fault,
    FaultPhase,
    FullDisk,
    Kill,
    LoseOffsets,
    Pause,
    ResetLink,
    RestartConnector,
    TerminateCommit,
    misplaced,
    name_of,
)
from harness.model.history import Destroyed, Done, FaultBegan, FaultHealed, Sent, WriterSkipped
from harness.model.plan import Plan, Survivors
from harness.simulate import drill, faults, gaps, simulate
from harness.simulate.world import Parts

SHOP = schemas.load("shop").schema
HELPDESK = schemas.load("helpdesk").schema


def every_fault(phase: FaultPhase, after_s: float, down_s: float) -> Iterator[Fault]:
    """One fault of every name that the simulator can do, of those for which the promise is made."""
    for kind, traits in KINDS.items():
        if not traits.in_envelope:
            continue
        for target in traits.targets or (None,):
            what: dict[str, Any] = {"link" if "-" in target else "service": target} if target else {}
            fault = kind(phase=phase, after_s=after_s, down_s=down_s, **what)
            if not faults.reason(fault):
                yield fault


def a_plan(*faults: Fault, survivors: Survivors = "all") -> Plan:
    """A plan whose budget allows for two seconds of outage, with a script that takes a while."""
    return shop_plan(
        survivors=survivors,
        faults=faults,
        budget_s=7.0,
        write_s=12.0,
        script_pause_s=0.3,
        destroy_after_s=0.2,
    )


WHEN: tuple[tuple[FaultPhase, float, Survivors], ...] = (
    ("write", 4.0, "all"),
    ("restore", 0.0, "all"),
    ("write", 11.0, "archive"),
    ("script", 0.1, "all"),
)
"""In the midst of writing, while tenants are restored, at the destruction, and under the script."""


def cases() -> Iterator[tuple[Fault, Survivors]]:
    """Every name once or twice, in turn with every instant."""
    ways = [[(f, s) for f in every_fault(phase, after_s, 2.0)] for phase, after_s, s in WHEN]
    for number, same in enumerate(zip(*ways, strict=True)):
        yield from (one for one in (same[number % 4], same[(number + 2) % 4]) if not misplaced(*one))


CASES = tuple(cases())


@pytest.mark.parametrize(
    ("fault", "survivors"), CASES, ids=[f"{name_of(f)} in {f.phase}, {s}" for f, s in CASES]
)
def test_a_fault_changes_no_verdict(fault: Fault, survivors: Survivors) -> None:
    """Whatever is disturbed, and also when it still is at the destruction, every tenant is proven."""
    verdict = drill(a_plan(fault, survivors=survivors), SHOP)
    assert verdict.verdict == "proven", verdict.every_finding


def losing_offsets(phase: FaultPhase, after_s: float, *others: Fault) -> Plan:
    """A plan in which the connector loses its offsets."""
    return a_plan(LoseOffsets(phase=phase, after_s=after_s, down_s=0.5), *others)


def test_lost_offsets_stop_the_archiver_and_every_tenant_is_proven_after_the_repair() -> None:
    """In an envelope of its own: long before the incident there is nothing that it takes (FM-82)."""
    plan = losing_offsets("write", 3.0)
    envelope = Envelope(faults=(Allowed(fault="lose offsets", longest_s=5.0),))
    plan = msgspec.structs.replace(plan, envelope=envelope)
    assert drill(plan, SHOP).verdict == "proven"
    [healed] = [e for e in simulate(plan, SHOP).history if isinstance(e, FaultHealed)]
    assert "that nobody asked for" in healed.proof


@pytest.mark.parametrize(("phase", "after_s"), [("write", 11.6), ("script", 0.0)])
def test_a_cut_between_lost_offsets_and_the_repair_is_refused_by_name(
    phase: FaultPhase, after_s: float
) -> None:
    """Nothing wrong comes back from there; outside the envelope that is no breach."""
    verdict = drill(losing_offsets(phase, after_s), SHOP)
    findings = verdict.every_finding
    assert verdict.verdict == "unknown"
    assert {f.check for f in findings} == {"envelope", "restored", "census"}
    refused = [f.message for f in findings if f.check == "restored"]
    assert all("capture was interrupted from" in words for words in refused)


def test_who_did_not_come_back_is_asked_for_as_of_the_first_damage_when_damaged_again() -> None:
    """The second damage found them as the first one had left them; that state is nothing to be restored."""
    fault = LoseOffsets(phase="script", after_s=0.0, down_s=0.5)
    plan = shop_plan(faults=(fault,), again=(TENANTS[0],), script_pause_s=0.3, budget_s=7.0, write_s=12.0)
    verdict = drill(plan, SHOP)
    findings = verdict.every_finding
    assert {f.check for f in findings} == {"envelope", "restored", "census"}


@pytest.mark.parametrize("kind", ["moved", "rehomed"])
def test_rows_that_nobody_can_bring_back_stay_with_whom_they_were_given_to(kind: str) -> None:
    """The move was lost with the offsets: neither tenant's restore is possible, which is no collateral."""
    plan = pinned_plan(HELPDESK, kind=kind, seed=2, profile="simulated", survivors="all")
    fault = LoseOffsets(phase="script", after_s=0.0, down_s=0.5)
    bare = msgspec.structs.replace(plan, faults=(fault,), attacks=(), watermark_checks=())
    verdict = drill(bare, HELPDESK)
    findings = verdict.every_finding
    assert "broken" not in {f.verdict for f in findings}
    assert any("can't be left out" in f.message for f in findings)
    assert any("rows of another are with it" in f.message for f in findings)


def test_shared_rows_that_a_script_took_are_nobodys_doing_while_nobody_comes_back() -> None:
    """All cuts lie where the capture was interrupted: shared rows come with a restore, and none is made."""
    plan = pinned_plan(HELPDESK, kind="shared_parent", seed=1, profile="simulated", survivors="all")
    fault = LoseOffsets(phase="script", after_s=0.0, down_s=0.5)
    bare = msgspec.structs.replace(plan, faults=(fault,), attacks=(), watermark_checks=())
    verdict = drill(bare, HELPDESK)
    assert verdict.verdict == "unknown"
    assert any(
        f.check == "shared rows" and "nobody was brought back" in f.message for f in verdict.findings
    )


def test_lost_offsets_that_nobody_notices_are_not_seen_healed() -> None:
    """An archiver that goes on says nothing of them."""
    verdict = drill(losing_offsets("write", 3.0), SHOP, Parts(archiver=gaps.TakesAnySnapshot))
    assert "faults" in {f.check for f in verdict.findings if f.verdict == "unknown"}


def test_without_heartbeats_no_offsets_can_be_shown_lost() -> None:
    """Where the archiver is down, nothing is written that the connector does not read."""
    dead = Kill(service="archiver", phase="write", after_s=1.0, down_s=30.0)
    verdict = drill(losing_offsets("write", 3.0, dead), SHOP)
    assert "faults" in {f.check for f in verdict.findings if f.verdict == "unknown"}


def test_a_connector_killed_while_it_begins_anew_does_so_again() -> None:
    """Its offsets are still gone."""
    kill = Kill(service="connect", phase="write", after_s=4.3, down_s=1.0)
    proofs = [
        e.proof
        for e in simulate(losing_offsets("write", 3.0, kill), SHOP).history
        if isinstance(e, FaultHealed)
    ]
    assert any("that nobody asked for" in proof for proof in proofs)


def test_a_fault_that_outlives_the_destruction_is_healed_after_it() -> None:
    """The archiver's way to the bucket is open again before anything is restored; the rest is forgotten."""
    cut = CutLink(link="archiver-minio", phase="write", after_s=11.0, down_s=30.0)
    kill = Kill(service="connect", phase="write", after_s=11.0, down_s=30.0)
    history = simulate(a_plan(cut, kill, survivors="archive"), SHOP).history
    destroyed_s = next(e.at_s for e in history if isinstance(e, Destroyed))
    assert [(e.fault, e.at_s > destroyed_s) for e in history if isinstance(e, FaultHealed)] == [(0, True)]


def test_a_connector_restarted_in_a_loop_beats_in_between() -> None:
    """Each restart is seen to follow a heartbeat; without any the loop is not shown to have bitten."""
    loop = RestartConnector(phase="write", after_s=3.0, down_s=1.0, times=4)
    began = [e.proof for e in simulate(a_plan(loop), SHOP).history if isinstance(e, FaultBegan)]
    assert began == ["the connector was restarted 4 times"]
    dead = Kill(service="archiver", phase="write", after_s=1.0, down_s=30.0)
    verdict = drill(a_plan(dead, loop), SHOP)
    assert "faults" in {f.check for f in verdict.findings if f.verdict == "unknown"}


def test_faults_may_overlap() -> None:
    """An archiver that is paused while the object store is away and the connector is restarted."""
    some = (
        Pause(service="archiver", phase="write", after_s=3.0, down_s=2.0),
        Kill(service="minio", phase="write", after_s=4.0, down_s=1.5),
        Kill(service="primary", phase="write", after_s=4.5, down_s=0.3),
    )
    assert drill(a_plan(*some), SHOP).verdict == "proven"


@pytest.mark.parametrize("kind", [CancelCommit, TerminateCommit])
def test_an_insert_with_an_identity_id_may_be_left_open(kind: type[CancelCommit | TerminateCommit]) -> None:
    """The database gave the id, and nobody heard whether it committed; the oracle keeps it open."""
    plan, *_ = campaign(HELPDESK, seed=5, plans=1, profile="simulated", tenants=4)
    plan = msgspec.structs.replace(plan, faults=(kind(phase="write", after_s=1.5, down_s=1.5),))
    history = simulate(plan, HELPDESK).history
    given = {t.name for t in HELPDESK.tables for c in t.columns if c.given_by == "identity"}
    left_open = {e.name for e in history if isinstance(e, Done) and e.outcome == "unknown"}
    made = [c.table for e in history if isinstance(e, Sent) and e.name in left_open for c in e.changes]
    assert given & {*made}
    assert drill(plan, HELPDESK).verdict == "proven"


@pytest.mark.parametrize("kind", [CancelCommit, TerminateCommit])
def test_a_commit_whose_wait_was_ended_is_left_open(kind: type[CancelCommit | TerminateCommit]) -> None:
    """It looked like success, or like a lost connection: unknown either way (FM-15, FM-16)."""
    history = simulate(a_plan(kind(phase="write", after_s=4.0, down_s=1.0)), SHOP).history
    open_ = [e.detail for e in history if isinstance(e, Done) and e.outcome == "unknown"]
    assert any("it was cancelled" in words or "it was terminated" in words for words in open_)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (FullDisk(service="kafka", phase="write", after_s=1, down_s=1), "full disk kafka (simulated"),
        (ClockJump(service="kafka", phase="write", after_s=1, down_s=1), "clock jump kafka (simulated"),
        (Kill(service="primary", phase="restore", after_s=1, down_s=1), "kill primary (neighbours must"),
        (ResetLink(link="connect-kafka", phase="write", after_s=1, down_s=1), "can only be cut"),
    ],
)
def test_a_fault_that_cant_be_done_is_refused_by_name(fault: Fault, words: str) -> None:
    """Nothing is started, and nothing skipped."""
    with pytest.raises(BadInput, match="this host can't do") as refused:
        simulate(a_plan(fault), SHOP)
    assert words in str(refused.value)


def test_no_fault_of_the_pair_strikes_where_the_standby_takes_over() -> None:
    """Nobody could say which of them was to be healed."""
    fault = Pause(service="standby", phase="write", after_s=1, down_s=1)
    with pytest.raises(BadInput, match="who is primary"):
        simulate(a_plan(fault, survivors="standby"), SHOP)


def test_no_fault_strikes_a_restorer_that_has_nothing_to_do() -> None:
    """It would wait for a restore that is not to come."""
    fault = Pause(service="restorer", phase="script", after_s=1, down_s=1)
    with pytest.raises(BadInput, match="nothing is restored before"):
        simulate(a_plan(fault), SHOP)


def test_no_fault_strikes_restores_where_only_the_archive_survives() -> None:
    """There the tenants are back before anything runs that could be disturbed."""
    fault = Kill(service="archiver", phase="restore", after_s=1, down_s=1)
    with pytest.raises(BadInput, match="nothing else runs"):
        simulate(a_plan(fault, survivors="archive"), SHOP)


def test_writers_go_on_with_what_an_unheard_commit_left() -> None:
    """What had no answer is looked up, so that all that is planned with its rows can still be written."""
    reset = ResetLink(link="clients-primary", phase="write", after_s=3.0, down_s=2.0)
    history = simulate(a_plan(reset), SHOP).history
    unheard = [e for e in history if isinstance(e, Done) and e.outcome == "unknown"]
    assert unheard
    assert [e for e in history if isinstance(e, WriterSkipped)] == []
