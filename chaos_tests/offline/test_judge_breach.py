"""Point 8: a system whose exposure passes the promise says so within five seconds."""

from __future__ import annotations

import pytest
from msgspec import structs

from chaos_tests.offline.judge_world import World, a_schema, begin, findings, finish, item, whole
from harness.judge import judge
from harness.judge.case import open_case
from harness.judge.checks import breach
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


def a_life(*later: h.Entry, ended_s: float, durable_s: float | None = None) -> list[Finding]:
    """What is found where w, acked at 10.0, was seen in the bucket then, if at all, and ``later`` came.

    A write before it was there at 16.0.
    """
    world = World()
    world.tenant("b")
    world.flush(watermark=False)
    world.at_s = 9.96
    world.write("b", item("b", 2899, "waits less"))
    world.needs.append(h.Need(epoch=1, lsn=world.lsn, objects=(("early", "v1"),)))
    world.write("b", item("b", 2900, "waits"), name="w")
    world.add(h.ObjectSeen(at_s=16.0, key="early", version="v1"), *later)
    if durable_s is not None:
        world.needs.append(h.Need(epoch=1, lsn=world.lsn, objects=(("late", "v1"),)))
        world.add(h.ObjectSeen(at_s=durable_s, key="late", version="v1"))
    world.add(h.NeedsNamed(at_s=ended_s, needs=tuple(world.needs)))
    world.add(h.Ended(at_s=ended_s, complete=True, reason=""))
    plan = structs.replace(world.plan(), promise_s=PROMISE_S)
    return list(breach.CHECK.run(open_case(plan, a_schema(), world.entries, world.files)))


def report(at_s: float, state: str = "ok") -> h.WatermarkSeen:
    """The system says how it is."""
    return h.WatermarkSeen(at_s=at_s, epoch=1, lsn=100, state=state)


def the_next_cluster(at_s: float) -> h.ClusterSeen:
    """Another cluster answers."""
    return h.ClusterSeen(at_s=at_s, cluster=2, system_id="s2", timeline=1, epoch=2)


def gone(at_s: float) -> h.Destroyed:
    """The primary is destroyed."""
    return h.Destroyed(at_s=at_s, survivors="archive", services=("primary",))


SILENT = "no report came while w waited for {:.1f} s"
HELD = "the system held back w, acked {:.1f} s before, and says 'ok', though 3 s are promised"


@pytest.mark.parametrize(
    ("later", "ended_s", "words"),
    [
        ([], 18.0, None),
        ([], 18.5, SILENT.format(5.5)),
        ([the_next_cluster(18.0)], 40.0, None),
        ([the_next_cluster(19.0)], 40.0, SILENT.format(6.0)),
        ([gone(18.0), the_next_cluster(30.0)], 40.0, None),
        ([gone(19.0), the_next_cluster(30.0)], 40.0, SILENT.format(6.0)),
        ([report(13.0)], 40.0, None),
        ([report(12.9)], 40.0, SILENT.format(27.0)),
        ([report(18.0)], 40.0, None),
        ([report(18.5)], 40.0, HELD.format(8.5)),
        ([report(18.5, "stopped")], 40.0, None),
        ([gone(20.0), report(20.0)], 40.0, SILENT.format(7.0)),
        ([gone(20.0), report(19.9)], 40.0, HELD.format(9.9)),
        ([h.Stalled(at_s=1.0, late_s=30.0), report(18.5)], 40.0, HELD.format(8.5)),
    ],
)
def test_a_write_waits_as_long_as_its_cluster_lives(
    later: list[h.Entry], ended_s: float, words: str | None
) -> None:
    """Until it is destroyed, or another one answers, or the drill ends."""
    assert [finding.message for finding in a_life(*later, ended_s=ended_s)] == ([words] if words else [])


@pytest.mark.parametrize(
    ("durable_s", "late_s", "words"),
    [
        (19.5, 0.0, []),
        (19.75, 0.0, [HELD.format(8.5)]),
        (19.75, 0.25, []),
        (20.0, 0.25, [HELD.format(8.5)]),
        (13.0, 0.0, []),
    ],
)
def test_the_harness_may_see_an_object_a_second_later_than_the_system(
    durable_s: float, late_s: float, words: list[str]
) -> None:
    """And later by as long as it stood still itself. The report comes 8.5 s after the ack."""
    stall = h.Stalled(at_s=1.0, late_s=late_s)
    found = a_life(stall, report(18.5), ended_s=40.0, durable_s=durable_s)
    assert [finding.message for finding in found] == words


def test_of_a_cluster_that_the_archive_never_knew_nothing_is_durable() -> None:
    """Not even the first row that was loaded."""
    unknown = h.ClusterSeen(at_s=0.0, cluster=1, system_id="s1", timeline=1, epoch=0)
    world = finish(outage())
    world.entries = [unknown if isinstance(e, h.ClusterSeen) else e for e in world.entries]
    plan = structs.replace(world.plan(), promise_s=PROMISE_S)
    (found,) = breach.CHECK.run(open_case(plan, a_schema(), world.entries, world.files))
    assert found.message.startswith("the system held back shared.0, acked")
