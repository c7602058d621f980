"""Point 8: a system whose exposure passes the promise says so within five seconds."""

from __future__ import annotations

import pytest
from msgspec import structs

from chaos_tests.offline.judge_world import World, a_schema, begin, findings, finish, item, whole
from harness.judge import judge
from harness.model import history as h
from harness.model.verdict import Finding

PROMISE_S = 3.0
Report = tuple[float, str, float | None]
"""Seconds after the write that waits, state, and the exposure claimed."""


def outage(*reports: Report, lasts_s: float = 20.0) -> World:
    """A drill in which a write waits for ``lasts_s``, and the system reports meanwhile."""
    world = begin()
    world.flush()
    world.write("b", item("b", 2900, "waits"))
    acked_s = world.at_s
    for after_s, state, claim_s in reports:
        at_s = acked_s + after_s
        world.add(h.WatermarkSeen(at_s=at_s, epoch=1, lsn=100, exposure_s=claim_s, state=state))
    world.at_s = acked_s + lasts_s
    world.flush()
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    world.flush()
    return world


def breaches(world: World) -> list[Finding]:
    """What the check found, in a drill that promises three seconds."""
    plan = structs.replace(finish(world).plan(), promise_s=PROMISE_S)
    verdict = judge(plan, a_schema(), world.entries, world.files)
    return [finding for finding in findings(verdict) if finding.check == "breach"]


@pytest.mark.parametrize(
    ("reports", "verdicts"),
    [
        ([(7.9, "ok", None)], []),
        ([(7.9, "behind", None), (8.1, "breached", None)], []),
        ([(8.1, "stopped", None)], []),
        ([(8.1, "ok", None)], ["broken"]),
        ([(8.1, "behind", None), (8.2, "behind", None)], ["broken"]),
        ([(3.1, "breached", None), (9.0, "ok", 0.5)], ["broken"]),
        ([], ["unknown"]),
        ([(2.9, "ok", None)], ["unknown"]),
    ],
)
def test_a_breach_must_be_said_in_time(reports: list[Report], verdicts: list[str]) -> None:
    """Five seconds after the promise's end it is late; nothing said at all leaves it unknown."""
    found = breaches(outage(*reports))
    assert [finding.verdict for finding in found] == verdicts
    assert {finding.point for finding in found if finding.verdict == "broken"} <= {8}


def test_an_outage_within_the_promise_need_not_be_told() -> None:
    """A write that waited for as long as a report may be late has broken no word."""
    assert breaches(outage((7.9, "ok", None), lasts_s=8.0)) == []


def test_a_breach_that_is_over_need_not_be_told_any_more() -> None:
    """Once the write is in the bucket all is well again."""
    assert breaches(outage((8.1, "breached", None), (20.5, "ok", None), lasts_s=20.0)) == []


@pytest.mark.parametrize(
    ("after_s", "stalled_s", "found"), [(19.1, 0.0, 0), (18.9, 0.0, 1), (18.9, 0.5, 0), (18.4, 0.5, 1)]
)
def test_a_report_may_overtake_the_harnesss_listing(after_s: float, stalled_s: float, found: int) -> None:
    """The system knows of an object before a listing shows it: by a second, and the harness's own stalls.

    It said *ok* the moment after its flush; the listing came a moment later.
    """
    world = outage((8.1, "breached", None), (after_s, "ok", None), lasts_s=20.0)
    if stalled_s:
        world.add(h.Stalled(at_s=world.tick(), late_s=stalled_s))
    assert len(breaches(world)) == found


@pytest.mark.parametrize(("claim_s", "found"), [(8.0, 0), (8.1, 1)])
def test_a_claim_beyond_the_promise_is_no_ok(claim_s: float, found: int) -> None:
    """Who says what would be lost, and calls it well, contradicts itself."""
    assert len(breaches(outage((1.0, "ok", claim_s), lasts_s=2.0))) == found


def test_what_died_with_its_cluster_waits_no_more() -> None:
    """Writes that a destroyed cluster took along are a loss, and not a breach for ever after."""
    world = begin(survivors="archive")
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.write("b", item("b", 2900, "dies"))
    world.hit("s0")
    world.destroy()
    world.tick(20.0)
    world.add(h.WatermarkSeen(at_s=world.tick(), epoch=1, lsn=100))
    assert breaches(world) == []


def test_without_names_of_objects_nothing_is_known_of_a_breach() -> None:
    """That is what another check says; this one has nothing to compare with."""
    world = finish(outage((8.1, "ok", None)))
    world.entries = [entry for entry in world.entries if not isinstance(entry, h.NeedsNamed)]
    plan = structs.replace(world.plan(), promise_s=PROMISE_S)
    found = findings(judge(plan, a_schema(), world.entries, world.files))
    assert "exposure" in {finding.check for finding in found}
    assert "breach" not in {finding.check for finding in found}


def test_a_drill_that_did_not_end_is_judged_as_far_as_it_goes() -> None:
    """A history that breaks off during the outage still holds the wrong report."""
    world = finish(outage((8.1, "ok", None)))
    world.entries = [entry for entry in world.entries if not isinstance(entry, h.Ended)]
    plan = structs.replace(world.plan(), promise_s=PROMISE_S)
    found = findings(judge(plan, a_schema(), world.entries, world.files))
    assert "breach" in {finding.check for finding in found if finding.verdict == "broken"}


@pytest.mark.parametrize(
    ("report", "words"),
    [
        ((8.1, "ok", None), "held back {}, acked 8.1 s before, and says 'ok'"),
        ((1.0, "behind", 8.1), "claims an exposure of 8.1 s and says 'behind'"),
    ],
)
def test_a_breach_is_told_whole(report: Report, words: str) -> None:
    """Which write, for how long, what the system said of itself, and what is promised."""
    world = outage(report)
    sent = (entry for entry in world.entries if isinstance(entry, h.Sent))
    waits = next(tx.name for tx in sent if item("b", 2900, "waits") in tx.changes)
    (found,) = breaches(world)
    assert structs.replace(found, blame=None) == Finding(
        check="breach",
        point=8,
        verdict="broken",
        message=f"the system {words.format(waits)}, though 3 s are promised",
    )
