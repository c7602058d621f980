"""Point 7 by hand: what is gone, unlocked, replaced or not made is told, and the near misses are not."""

from __future__ import annotations

from typing import Literal

import pytest
from msgspec import structs

from chaos_tests.offline.judge_world import World, a_drill, a_schema, checks, findings, finish
from harness.judge import judge
from harness.model import history as h
from harness.model.attacks import Attack
from harness.model.envelope import Envelope
from harness.model.verdict import DrillVerdict, Finding

OBJECT = ("man/1", "v1")
LOCK = h.Lock(key="man/1", version="v1", mode="COMPLIANCE", left_s=60.0)
ATTACK = Attack(kind="delete", moment="write")


def verdict_of(world: World, *attacks: Attack) -> DrillVerdict:
    """Judge a world under a plan with these attacks."""
    plan = structs.replace(world.plan(), attacks=attacks)
    return judge(plan, a_schema(), world.entries, world.files)


def told(world: World, *attacks: Attack) -> list[Finding]:
    """Return what is said of point 7 and nothing else."""
    found = findings(verdict_of(world, *attacks))
    assert {finding.check for finding in found} <= {"untampered", "chain"}
    return found


def act(at_s: float, *, refused: bool = False) -> h.Attacked:
    """One act of the first attack."""
    return h.Attacked(
        at_s=at_s, attack=0, act="delete", key="man/1", version="v1", refused=refused, answer="deleted"
    )


@pytest.mark.parametrize(
    ("lock", "words"),
    [
        (structs.replace(LOCK, there=False), "is gone"),
        (structs.replace(LOCK, mode="", left_s=0.0), "is not locked"),
        (structs.replace(LOCK, mode="GOVERNANCE"), "is locked in mode GOVERNANCE"),
        (structs.replace(LOCK, left_s=-5.0), "is locked no longer, since 5 s"),
    ],
)
def test_a_needed_object_that_is_gone_or_not_locked_is_broken(lock: h.Lock, words: str) -> None:
    """Whether somebody attacked or not (FM-89, FM-90)."""
    world = finish(a_drill())
    world.add(h.LocksSeen(at_s=world.at_s, locks=(LOCK, lock)))
    (finding,) = told(world)
    assert (finding.check, finding.point, finding.verdict) == ("untampered", 7, "broken")
    assert finding.message == f"man/1 (version v1), which restores need, {words}"


def test_objects_that_are_still_locked_are_well() -> None:
    """The near miss: a second is enough, whatever was done to others."""
    world = finish(a_drill())
    world.add(act(1.0), h.LocksSeen(at_s=world.at_s, locks=(structs.replace(LOCK, left_s=1.0),)))
    assert told(world, ATTACK) == []


def test_an_attack_that_was_never_made_is_unknown() -> None:
    """So is one after which nobody looked at the locks."""
    world = finish(a_drill())
    (finding,) = told(world, ATTACK)
    assert finding.verdict == "unknown"
    assert finding.message == "attack 0 (delete) was never made"
    world.add(act(1.0))
    (finding,) = told(world, ATTACK)
    assert (finding.verdict, finding.message) == ("unknown", "what is left of the locks was not looked at")


@pytest.mark.parametrize(("at_s", "refused", "named"), [(1.0, False, 1), (1.0, True, 0), (99.0, False, 0)])
def test_a_restore_that_fails_after_an_act_is_told_at_point_seven_too(
    at_s: float, refused: bool, named: int
) -> None:
    """Not when the server refused the act, nor when it came later."""
    world = a_drill()
    world.add(act(at_s, refused=refused))
    finish(world)
    world.add(h.LocksSeen(at_s=world.at_s, locks=(LOCK,)))
    world.entries = [_failing(entry) for entry in world.entries]
    found = [f for f in findings(verdict_of(world, ATTACK)) if f.check == "untampered"]
    assert [f.tenant for f in found] == ["b"] * named
    assert all("delete man/1 (deleted), the restore failed: gone" in f.message for f in found)


@pytest.mark.parametrize(
    ("envelope", "result", "verdict"),
    [
        (Envelope(), "refused", "broken"),
        (Envelope(survivors=("archive",)), "refused", "unknown"),
        (Envelope(survivors=("archive",)), "failed", "broken"),
    ],
    ids=["refused inside", "refused outside", "failed outside"],
)
def test_a_refusal_outside_the_envelope_proves_nothing_of_an_attack(
    envelope: Envelope, result: Literal["refused", "failed"], verdict: str
) -> None:
    """A fault may have taken what the restore would need; who fails instead of refusing is still told."""
    world = a_drill()
    world.add(act(1.0))
    finish(world)
    world.add(h.LocksSeen(at_s=world.at_s, locks=(LOCK,)))
    world.entries = [_failing(entry, result) for entry in world.entries]
    plan = structs.replace(world.plan(), attacks=(ATTACK,), envelope=envelope)
    found = findings(judge(plan, a_schema(), world.entries, world.files))
    assert [f.verdict for f in found if f.check == "untampered"] == [verdict]


def _failing(entry: h.Entry, result: Literal["refused", "failed"] = "failed") -> h.Entry:
    if isinstance(entry, h.RestoreDone) and entry.tenant == "b":
        return structs.replace(entry, result=result, detail="gone")
    return entry


@pytest.mark.parametrize(
    ("earlier", "later", "named"),
    [
        ([OBJECT], [OBJECT, ("man/2", "v2")], 0),
        ([OBJECT], [("man/1", "v9")], 1),
        ([OBJECT, ("seg/1", "v2")], [("base/1", "v3"), OBJECT], 0),
    ],
)
def test_a_version_that_took_anothers_place_is_a_fork(
    earlier: list[tuple[str, str]], later: list[tuple[str, str]], named: int
) -> None:
    """New objects, and objects that are not needed any more, are none."""
    world = finish(a_drill())
    last = [e for e in world.entries if isinstance(e, h.NeedsNamed)][-1]
    end = last.needs[-1]
    for objects in (earlier, later):
        needs = (*last.needs, h.Need(epoch=end.epoch, lsn=end.lsn + 1, objects=tuple(objects)))
        world.add(h.NeedsNamed(at_s=world.at_s, needs=needs))
    found = [f for f in findings(world.verdict()) if f.check == "chain"]
    assert len(found) == named
    assert all("man/1 in version v1, and then in version v9" in f.message for f in found)


def test_a_good_drill_has_no_finding_of_point_seven() -> None:
    """The hand-made drill is clean to begin with."""
    assert not checks(finish(a_drill()).verdict()) & {"untampered", "chain"}
