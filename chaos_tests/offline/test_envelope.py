"""The envelope: which plans lie inside, and what is demanded of those outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec import structs

from chaos_tests.offline.judge_world import (
    ITEM,
    NOTE,
    ROOT,
    World,
    a_drill,
    a_schema,
    begin,
    checks,
    findings,
    finish,
    item,
    whole,
)
from chaos_tests.offline.test_judge_drills import a_deletion_undone
from harness.judge import judge
from harness.model.envelope import OUTAGE_S_MAX, Allowed, Envelope
from harness.model.faults import DelayLink, Fault, Kill, Pause
from harness.model.plan import decode, encode
from harness.model.verdict import DrillVerdict, Verdict, merge_drills

NOBODY = Envelope(survivors=("archive",))
"""An envelope that no drill with all survivors lies in."""


def a_kill(down_s: float) -> Kill:
    """An archiver that is down for so long."""
    return Kill(service="archiver", phase="write", after_s=1.0, down_s=down_s)


def verdict_outside(world: World, envelope: Envelope = NOBODY) -> DrillVerdict:
    """Judge what happened under an envelope of its own."""
    return judge(structs.replace(world.plan(), envelope=envelope), a_schema(), world.entries, world.files)


@pytest.mark.parametrize(
    ("envelope", "survivors", "down_s", "reasons"),
    [
        (Envelope(), "all", OUTAGE_S_MAX, []),
        (Envelope(), "all", OUTAGE_S_MAX + 0.1, ["kill archiver for 240.1 s, more than 240 s"]),
        (Envelope(faults=(Allowed(fault="kill archiver"),)), "all", 1.0, []),
        (Envelope(faults=(Allowed(fault="kill arch"),)), "all", 1.0, ["kill archiver"]),
        (Envelope(faults=()), "all", 1.0, ["kill archiver"]),
        (Envelope(survivors=("all",)), "archive", 1.0, ["survivors archive"]),
        (Envelope(survivors=("all", "archive")), "archive", 1.0, []),
        (
            Envelope(faults=(Allowed(fault="kill", survivors=("all",)),)),
            "archive",
            1.0,
            ["kill archiver with survivors archive"],
        ),
        (
            Envelope(faults=(Allowed(fault="kill archiver", longest_s=5), Allowed(fault="kill"))),
            "all",
            5.0,
            [],
        ),
        (
            Envelope(faults=(Allowed(fault="kill archiver", longest_s=5), Allowed(fault="kill"))),
            "all",
            5.1,
            ["kill archiver for 5.1 s, more than 5 s"],
        ),
    ],
)
def test_a_plan_lies_inside_by_its_faults_their_length_and_its_survivors(
    envelope: Envelope, survivors: str, down_s: float, reasons: list[str]
) -> None:
    """Up to the longest length and no further; the first entry that covers a fault counts."""
    assert list(envelope.reasons(survivors, [a_kill(down_s)])) == reasons


def an_outage(after_s: float, down_s: float) -> Pause:
    """A broker that stands still for so long."""
    return Pause(service="kafka", phase="write", after_s=after_s, down_s=down_s)


@pytest.mark.parametrize(
    ("second", "reasons"),
    [
        (an_outage(120.0, 130.0), ["outages of 250 s one after another, more than 240 s"]),
        (an_outage(120.0, 120.0), []),
        (an_outage(130.0, 130.0), []),
        (DelayLink(link="connect-kafka", phase="write", after_s=120.0, down_s=130.0), []),
    ],
)
def test_outages_that_meet_count_as_one(second: Fault, reasons: list[str]) -> None:
    """Each is short enough; together they are not, unless the first was over. What only delays is none."""
    assert list(Envelope().reasons("all", [an_outage(0.0, 120.0), second])) == reasons


def test_an_envelope_is_part_of_the_plan() -> None:
    """What was promised is written down with what was done, and read again."""
    plan = structs.replace(a_drill().plan(), envelope=NOBODY)
    assert decode(encode(plan)) == plan
    assert plan.outside == ("survivors all",)
    assert a_drill().plan().outside == ()


def a_loss() -> World:
    """A drill in which the last five seconds of a are lost, though nobody had said that they were safe."""
    world = begin()
    world.entries = [e for e in world.entries if not _tells_safe(e)]
    old = {row: image for row, image in world.live["a"].items() if row[1][0].lstrip("n") < "1015"}
    old[ROOT, ("a",)] = world.live["a"][ROOT, ("a",)]
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    world.saved["a"] = old
    return finish(world)


def _tells_safe(entry: Any) -> bool:
    return type(entry).__name__ in ("WatermarkSeen", "ObjectSeen") and entry.at_s > 4.0


def test_outside_a_loss_is_told_and_not_demanded() -> None:
    """The same drill is broken inside, and unknown outside, with the same loss in its figures."""
    inside, outside = a_loss().verdict(), verdict_outside(a_loss())
    assert inside.verdict == "broken"
    assert (inside.outside, outside.outside) == ((), ("survivors all",))
    assert outside.verdict == "unknown"
    assert outside.worst_loss_s == inside.worst_loss_s
    assert {f.verdict for f in findings(outside)} == {"unknown"}
    assert any("not demanded outside the envelope" in f.message for f in findings(outside))
    assert {"loss", "exposure", "envelope"} <= checks(outside)


def test_outside_a_good_drill_is_unknown_all_the_same() -> None:
    """Nothing is proven of a promise that was not made, for no tenant."""
    verdict = verdict_outside(finish(a_drill()))
    assert verdict.verdict == "unknown"
    assert {tenant.verdict for tenant in verdict.tenants} == {"unknown"}
    assert checks(verdict) == {"envelope"}


def test_outside_a_deletion_that_was_lost_is_a_loss_and_brings_nothing_back() -> None:
    """The row is there again, as before all that is lost: neither loss nor point 4 demands it gone."""
    verdict = verdict_outside(a_deletion_undone(5.0))
    assert "loss" in checks(verdict)
    assert "resurrection" not in checks(verdict)


def _resurrect(world: World) -> None:
    world.saved["a"][NOTE, ("n1002",)] = {"id": "n1002", "item": "1002"}


def _invent(world: World) -> None:
    world.saved["a"][ITEM, ("77",)] = {"id": "77", "tenant": "a", "body": "from nowhere"}


def _garble(world: World) -> None:
    world.saved["a"][ITEM, ("1010",)] = {"id": "1010", "tenant": "a", "body": "garbled"}


def _hurt_a_neighbour(world: World) -> None:
    del world.live["b"][ITEM, ("2010",)]


def _lie(world: World) -> None:
    del world.saved["a"][ITEM, ("1010",)]
    del world.saved["a"][NOTE, ("n1010",)]


@pytest.mark.parametrize(
    ("bend", "check"),
    [
        (_resurrect, "resurrection"),
        (_invent, "nothing else"),
        (_garble, "exact"),
        (_hurt_a_neighbour, "live rows"),
        (_lie, "honest"),
    ],
)
def test_outside_what_is_safe_whatever_happens_is_still_demanded(
    bend: Callable[[World], None], check: str
) -> None:
    """Points 3, 4, 5 and 8, and cells that nobody wrote, are broken outside too."""
    world = a_drill()
    bend(world)
    verdict = verdict_outside(finish(world))
    assert verdict.verdict == "broken"
    assert check in {f.check for f in findings(verdict) if f.verdict == "broken"}


def test_outside_a_restore_may_be_refused() -> None:
    """Point 1 is not demanded: a system may say that it can't."""
    world = a_drill()
    world.restore("a", result="refused")
    for tenant in "bq":
        world.restore(tenant)
    world.end()
    assert world.verdict().verdict == "broken"
    assert verdict_outside(world).verdict == "unknown"


def test_a_fault_too_long_takes_a_drill_outside() -> None:
    """At its longest it is inside and judged in full, a moment longer it is outside."""
    for down_s, verdict in ((5.0, "broken"), (5.1, "unknown")):
        world = a_loss()
        world.faults = (a_kill(down_s),)
        envelope = Envelope(faults=(Allowed(fault="kill", longest_s=5.0),))
        assert verdict_outside(world, envelope).verdict == verdict


def drills(*kinds: tuple[Verdict, bool]) -> list[DrillVerdict]:
    """Verdicts, each inside or outside."""
    plain = finish(a_drill()).verdict()
    return [
        structs.replace(plain, verdict=verdict, outside=("why",) if outside else ())
        for verdict, outside in kinds
    ]


@pytest.mark.parametrize(
    ("kinds", "verdict"),
    [
        ([("proven", False)] * 4 + [("unknown", True)], "proven"),
        ([("proven", False)] * 3 + [("unknown", True)], "unknown"),
        ([("proven", False)] * 9 + [("broken", True)], "broken"),
        ([("proven", False)] * 9 + [("unknown", False)], "unknown"),
        ([("unknown", True)], "unknown"),
        ([], "unknown"),
    ],
)
def test_a_campaign_merges_the_plans_inside(kinds: list[tuple[Verdict, bool]], verdict: Verdict) -> None:
    """Four of five must lie inside; what lies outside can only add a breach."""
    assert merge_drills(drills(*kinds)) == verdict


def test_an_envelope_is_checked_when_it_is_read() -> None:
    """A field too many, or survivors that nobody knows, are refused."""
    for text in (
        b'{"fault": []}',
        b'{"survivors": ["nobody"]}',
        b'{"faults": [{"fault": "x", "longest_s": -1}]}',
    ):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(text, type=Envelope)


def test_a_late_write_outside_is_not_demanded_either() -> None:
    """Exposure over the budget is told, and unknown."""
    world = begin()
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.write("a", item("a", 1901, "late"))
    world.tick(4.0)
    world.hit("s0")
    assert "exposure" in {f.check for f in findings(finish(world).verdict()) if f.verdict == "broken"}
    assert verdict_outside(world).verdict == "unknown"
