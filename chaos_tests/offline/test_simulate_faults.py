"""Every fault that the simulator can do, in every phase: it bites, it is healed, and all is proven."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from fixtures.handmade import shop_plan
from harness import schemas
from harness.generate.campaigns import campaign
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
    Pause,
    ResetLink,
    TerminateCommit,
    misplaced,
    name_of,
)
from harness.model.history import Destroyed, Done, FaultHealed, Sent, WriterSkipped
from harness.model.plan import Plan, Survivors
from harness.simulate import drill, faults, simulate

SHOP = schemas.load("shop").schema
HELPDESK = schemas.load("helpdesk").schema


def every_fault(phase: FaultPhase, after_s: float, down_s: float) -> Iterator[Fault]:
    """One fault of every name that the simulator can do."""
    for kind, traits in KINDS.items():
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
    assert verdict.verdict == "proven", [
        *verdict.findings,
        *(f for t in verdict.tenants for f in t.findings),
    ]


def test_a_fault_that_outlives_the_destruction_is_healed_after_it() -> None:
    """The archiver's way to the bucket is open again before anything is restored; the rest is forgotten."""
    cut = CutLink(link="archiver-minio", phase="write", after_s=11.0, down_s=30.0)
    kill = Kill(service="connect", phase="write", after_s=11.0, down_s=30.0)
    history = simulate(a_plan(cut, kill, survivors="archive"), SHOP).history
    destroyed_s = next(e.at_s for e in history if isinstance(e, Destroyed))
    assert [(e.fault, e.at_s > destroyed_s) for e in history if isinstance(e, FaultHealed)] == [(0, True)]


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
        (Kill(service="restorer", phase="write", after_s=1, down_s=1), "kill restorer (the simulated"),
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
