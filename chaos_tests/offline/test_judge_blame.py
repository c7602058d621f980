"""Blame, by hand: whatever a stage of the pipeline lacks is named, with where the write was seen before."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import pytest
from msgspec import structs

from chaos_tests.offline.judge_world import (
    COUNTRY,
    ITEM,
    World,
    a_drill,
    a_schema,
    begin,
    finish,
    item,
    whole,
)
from harness.judge import judge
from harness.judge.blame import blamed as blamed_findings
from harness.judge.case import open_case
from harness.judge.timeline import index
from harness.judge.wording import Wording
from harness.model import history as h
from harness.model.errors import BadInput
from harness.model.stages import (
    AnyStage,
    ArchiveRead,
    InSegment,
    InTopic,
    Mark,
    SegmentUnreadable,
    TopicRead,
    WalSeen,
    decode_stages,
    encode_stage,
)
from harness.model.values import Row, row_of, table_and_key
from harness.model.verdict import Blame, DrillVerdict, Finding

Bend = Callable[[AnyStage], Iterable[AnyStage]]
"""What becomes of one stage."""

LOST = (ITEM, ("1011",))
"""A row that one write of tenant a made, and a restore lacks."""


def stages_of(world: World) -> list[AnyStage]:
    """What stages of a pipeline in which nothing is lost hold of all acked transactions."""
    sent = {entry.name: entry for entry in world.entries if isinstance(entry, h.Sent)}
    stages: list[AnyStage] = [
        WalSeen(cluster=1, primary_lsn=10**6, standby_lsn=10**6),
        TopicRead(feed="topic", cluster=1, first=0, end=10**6),
        ArchiveRead(entries=9, epoch=9),
    ]
    for entry in world.entries:
        if isinstance(entry, h.Done) and entry.outcome == "acked" and entry.lsn_upper is not None:
            stages += held(sent[entry.name], entry.at_s, entry.lsn_upper, len(stages))
    return stages


def held(sent: h.Sent, done_s: float, upper: int, number: int) -> Iterable[AnyStage]:
    """One transaction in topic and segment."""
    marks = tuple(marked(change) for change in sent.changes)
    yield InTopic(
        feed="topic", cluster=sent.cluster, first=10 * number, last=10 * number + 2, at_s=done_s + 0.05,
        seen=len(marks), count=len(marks), xid=sent.xid, lsn=upper - 1, marks=marks,
    )  # fmt: skip
    yield InSegment(
        segment="segment-0", version="v1", entry=1, tenant=sent.tenant, epoch=sent.cluster,
        xid=sent.xid, lsn=upper - 1, marks=marks,
    )  # fmt: skip


def marked(change: h.Change) -> Mark:
    """A change as a stage holds it."""
    row = row_of(change.row) if change.row else None
    table, key = table_and_key(change.key)
    return Mark(table=table, op=change.op, key=key, row=row)


def lossy() -> World:
    """A drill in which a restore lacks one row of tenant a."""
    world = a_drill()
    del world.saved["a"][LOST]
    return finish(world)


def found(world: World, stages: Iterable[AnyStage], check: str = "prefix") -> Finding:
    """The first finding of a check, as judged with these stages."""
    return next(f for f in every(world, stages) if f.check == check and f.operation)


def every(world: World, stages: Iterable[AnyStage]) -> list[Finding]:
    """All findings."""
    verdict = judge(world.plan(), a_schema(), world.entries, world.files, stages=lambda: stages)
    return all_of(verdict)


def all_of(verdict: DrillVerdict) -> list[Finding]:
    """All findings of a verdict."""
    return verdict.every_finding


def blame_for(bend: Bend) -> Blame:
    """Who is to blame for the lost row, when what stages hold is bent."""
    world = lossy()
    blame = found(world, [bent for stage in stages_of(world) for bent in bend(stage)]).blame
    assert blame is not None
    return blame


def holds(stage: AnyStage) -> bool:
    """Whether a stage is one that holds the lost row."""
    return isinstance(stage, InTopic | InSegment) and LOST in [(m.table, m.key) for m in stage.marks]


def without(kind: type) -> Bend:
    """The lost write is in no stage of this kind."""
    return lambda stage: () if isinstance(stage, kind) and holds(stage) else (stage,)


def changed(kind: type, **values: object) -> Bend:
    """The stage of this kind that holds the lost write has other values."""

    def bend(stage: AnyStage) -> Iterable[AnyStage]:
        hit = isinstance(stage, kind) and (holds(stage) or kind in {WalSeen, TopicRead, ArchiveRead})
        yield structs.replace(stage, **values) if hit else stage

    return bend


def both(*bends: Bend) -> Bend:
    """One bend after the other."""

    def bend(stage: AnyStage) -> Iterable[AnyStage]:
        stages = [stage]
        for one in bends:
            stages = [bent for stage in stages for bent in one(stage)]
        return stages

    return bend


def marks_without_it(kind: type) -> Bend:
    """The stage of this kind lacks one row of the lost write."""

    def bend(stage: AnyStage) -> Iterable[AnyStage]:
        if isinstance(stage, InTopic | InSegment) and isinstance(stage, kind) and holds(stage):
            yield structs.replace(stage, marks=tuple(m for m in stage.marks if (m.table, m.key) != LOST))
        else:
            yield stage

    return bend


def test_what_is_in_the_archive_and_not_in_the_rows_was_lost_by_the_restore() -> None:
    """The words say when it was acked and where it was seen last."""
    blame = blame_for(lambda stage: (stage,))
    assert blame.layer == "restorer"
    assert blame.words == (
        "a.writer.67 of tenant a, acked at 00:00:03.820 (LSN 0/17B), is in Kafka at offset 570-572, in"
        " segment segment-0, named by entry 1 of the manifest, and not so in the rows restored: lost by the"
        " restore"
    )


def test_what_is_in_kafka_and_in_no_segment_was_lost_by_the_archiver() -> None:
    """The sentence that the whole matter is about."""
    blame = blame_for(without(InSegment))
    assert blame.layer == "archiver"
    assert blame.words == (
        "a.writer.67 of tenant a, acked at 00:00:03.820 (LSN 0/17B), is in Kafka at offset 570-572, and in"
        " no segment: lost between Kafka and the archive"
    )


NOT_THERE = both(without(InTopic), without(InSegment))


@pytest.mark.parametrize(
    ("bend", "layer", "words"),
    [
        (
            NOT_THERE,
            "capture",
            "(flushed by primary and standby), is not in Kafka, though its topic",
        ),
        (
            both(NOT_THERE, changed(WalSeen, standby_lsn=None)),
            "capture",
            "is in the WAL (flushed by the primary), is not in Kafka",
        ),
        (both(NOT_THERE, changed(WalSeen, why_not="gone")), "capture", "at the latest), is not in Kafka"),
        (both(NOT_THERE, changed(WalSeen, primary_lsn=1)), "capture", "at the latest), is not in Kafka"),
        (both(NOT_THERE, changed(TopicRead, oldest=7)), "broker", "has dropped the offsets before 7"),
        (
            both(NOT_THERE, changed(TopicRead, why_not="away")),
            None,
            "it was in Kafka is not known (away)",
        ),
        (
            both(NOT_THERE, lambda stage: () if isinstance(stage, TopicRead) else (stage,)),
            None,
            "is not known (it was not read)",
        ),
        (
            both(NOT_THERE, lambda stage: () if isinstance(stage, InTopic) else (stage,)),
            "capture",
            "whose topic had come to 0/0 at the end",
        ),
        (
            both(
                NOT_THERE,
                changed(TopicRead, followed=True),
                lambda stage: () if isinstance(stage, InTopic) else (stage,),
            ),
            "capture",
            "whose topic had come to 0/0 when it was destroyed",
        ),
        (without(InTopic), "restorer", "in segment segment-0, named by entry 1"),
        (marks_without_it(InTopic), "capture", "with 0 of 1 rows (app.item 1011 is not): lost between WAL"),
        (changed(InTopic, seen=2), "capture", "with 2 of its 3 events: lost between WAL and Kafka"),
        (changed(InTopic, count=None, lsn=None), "restorer", "lost by the restore"),
        (marks_without_it(InSegment), "archiver", "without its row app.item 1011"),
        (changed(InSegment, entry=None), "archiver", "which no manifest entry names"),
        (changed(InSegment, lsn=375), "archiver", "as if committed at 0/177: misfiled"),
        (
            changed(InSegment, version="v9"),
            "archiver",
            "only at no time that was seen",
        ),
        (
            both(without(InSegment), changed(ArchiveRead, why_not="torn")),
            "archiver",
            "and the archive can't be read: torn",
        ),
        (
            both(without(InSegment), lambda stage: () if isinstance(stage, ArchiveRead) else (stage,)),
            None,
            "and what the archive holds was not read",
        ),
    ],
)
def test_the_first_stage_that_lacks_it_is_to_blame(bend: Bend, layer: str | None, words: str) -> None:
    """Each layer in turn, and what is not known when a stage was not read."""
    blame = blame_for(bend)
    assert blame.layer == layer
    assert words in blame.words


@pytest.mark.parametrize(("kind", "layer"), [(InTopic, "capture"), (InSegment, "archiver")])
def test_a_cell_that_differs_in_a_stage_was_changed_before_it(kind: type, layer: str) -> None:
    """What came through whole, but not as it was written."""

    def bend(stage: AnyStage) -> Iterable[AnyStage]:
        if isinstance(stage, InTopic | InSegment) and isinstance(stage, kind) and holds(stage):
            marks = [
                structs.replace(m, row={**m.row, "body": "?"}) if m.row and m.table == ITEM else m
                for m in stage.marks
            ]
            yield structs.replace(stage, marks=tuple(marks))
        else:
            yield stage

    blame = blame_for(bend)
    assert blame.layer == layer
    assert "app.item 1011 has another body there than was written: changed between" in blame.words


def test_a_segment_that_is_gone_is_the_object_stores() -> None:
    """The manifest names it, and nobody can read it."""
    world = lossy()
    gone = SegmentUnreadable(segment="segment-0", entry=1, why="no such version")
    bend = without(InSegment)
    stages = [gone, *(bent for stage in stages_of(world) for bent in bend(stage))]
    blame = found(world, stages).blame
    assert blame is not None
    assert blame.layer == "store"
    assert (
        "segment segment-0, which entry 1 of the manifest names, can't be read: no such version"
        in blame.words
    )


def test_what_stages_do_not_know_is_said() -> None:
    """Without anything stored nobody is blamed, whatever else is found."""
    blame = found(lossy(), []).blame
    assert blame == Blame(layer=None, words="what the stages of the pipeline held was not stored")


def test_a_proven_drill_asks_no_stage() -> None:
    """What is not broken is not blamed on anybody, and nothing is read for it."""

    def never() -> list[AnyStage]:
        raise AssertionError("asked")

    world = finish(a_drill())
    assert judge(world.plan(), a_schema(), world.entries, world.files, stages=never).verdict == "proven"


def test_blame_that_crashes_leaves_the_findings_as_they_are() -> None:
    """It only adds words; what was broken stays broken, and the crash is told."""

    def crash() -> list[AnyStage]:
        raise ValueError("torn")

    world = lossy()
    verdict = judge(world.plan(), a_schema(), world.entries, world.files, stages=crash)
    assert verdict.verdict == "broken"
    assert {f.blame for f in all_of(verdict)} == {None}
    assert "ValueError: torn" in next(f.message for f in all_of(verdict) if f.check == "blame")


def test_a_write_that_died_with_the_old_primary_is_the_sources() -> None:
    """It lay beyond where the promoted standby went on, by what the topic says or by its lower bound."""
    for told in (True, False):
        world = a_failover_that_lost_a_write()
        lost = next(e for e in world.entries if isinstance(e, h.Done) and e.name == "lost")
        assert lost.lsn_upper is not None
        stages = [
            structs.replace(stage, forks={1: lost.lsn_upper - 8}) if isinstance(stage, WalSeen) else stage
            for stage in stages_of(world)
            if told or not isinstance(stage, InTopic)
        ]
        blame = found(world, stages, "live rows").blame
        assert blame is not None
        assert blame.layer == "source"
        assert "where the standby that was promoted went on: lost with the old primary" in blame.words


def a_failover_that_lost_a_write() -> World:
    """A neighbour's acked write is not on the primary that was promoted."""
    world = begin(survivors="standby")
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    world.write("b", item("b", 2950, "lost"), name="lost")
    world.flush()
    world.fail_over()
    del world.live["b"][ITEM, ("2950",)]
    return finish(world)


def test_live_rows_that_no_failover_lost_are_a_restores() -> None:
    """Neighbours write their own rows: whoever else touches them is a restore."""
    world = a_drill()
    del world.live["b"][ITEM, ("2005",)]
    finish(world)
    blame = found(world, stages_of(world), "live rows").blame
    assert blame is not None
    assert (blame.layer, "nobody but a restore touches live rows" in blame.words) == ("restorer", True)


def blamed(world: World, stages: Iterable[AnyStage], check: str) -> Blame:
    """What the first finding of a check is blamed on, whatever it is about."""
    blame = next(f.blame for f in every(world, stages) if f.check == check)
    assert blame is not None
    return blame


@pytest.mark.parametrize("layer", ["archiver", "capture"])
def test_what_came_late_is_blamed_on_whoever_took_longest(layer: str) -> None:
    """Kafka had it at once and the bucket late, or Kafka had it late already."""
    world = begin()
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.entries = [e for e in world.entries if not (isinstance(e, h.ObjectSeen) and e.key != "segment-0")]
    world.hit("s0")
    seen_s = world.at_s
    for number in range(1, len(world.needs)):
        world.add(h.ObjectSeen(at_s=seen_s, key=f"segment-{number}", version="v1"))
    world.flush()
    finish(world)
    stages = [
        structs.replace(s, segment="segment-1")
        if isinstance(s, InSegment)
        else structs.replace(s, at_s=seen_s - 0.1)
        if isinstance(s, InTopic) and layer == "capture"
        else s
        for s in stages_of(world)
    ]
    blame = blamed(world, stages, "exposure")
    assert blame.layer == layer
    assert ("in the bucket 0.100 s after that" in blame.words) == (layer == "capture")


def test_a_promise_on_what_came_later_is_the_archivers() -> None:
    """A watermark covered it before the bucket had it."""
    world = lossy()
    late = h.ObjectSeen(at_s=world.at_s, key="segment-late", version="v1")
    world.entries.insert(-1, late)
    stages = [
        structs.replace(s, segment="segment-late") if isinstance(s, InSegment) and holds(s) else s
        for s in stages_of(world)
    ]
    blame = blamed(world, stages, "honest")
    assert blame.layer == "archiver"
    assert "late between Kafka and the archive" in blame.words


def refused(result: str = "failed") -> World:
    """Everything is archived, and the restore of a brings nothing back."""
    world = begin()
    world.write("a", item("a", 1900, "open"), outcome="unknown")
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    world.flush()
    world.phase("restore")
    world.restore("a", result=result)
    for tenant in ("b", "q"):
        world.restore(tenant)
    world.end()
    return world


def test_a_restore_that_failed_over_a_whole_archive_is_the_restorers() -> None:
    """All that it needed was there, and can be read."""
    world = refused()
    blame = blamed(world, stages_of(world), "restored")
    assert blame.layer == "restorer"
    assert "it is the restore that failed" in blame.words


def test_a_restore_that_failed_for_want_of_a_write_is_whoevers_lost_it() -> None:
    """The first write of the tenant that is not in the archive says where."""
    world = refused()
    stages = [s for s in stages_of(world) if not (isinstance(s, InSegment) and s.tenant == "a")]
    blame = blamed(world, stages, "restored")
    assert (blame.layer, blame.words[:11]) == ("archiver", "a.load of t")


def test_a_restore_that_failed_over_a_torn_archive_is_the_archivers() -> None:
    """Whoever wrote the chain has to answer for it."""
    world = refused()
    torn = [
        structs.replace(s, why_not="forged") if isinstance(s, ArchiveRead) else s for s in stages_of(world)
    ]
    assert blamed(world, torn, "restored") == Blame(
        layer="archiver", words="the archive can't be read: forged"
    )


def test_what_is_about_no_write_has_its_layer_by_nature() -> None:
    """The catalogue is a restore's affair, a lock the object server's."""
    world = finish(a_drill())
    place = max(n for n, e in enumerate(world.entries) if isinstance(e, h.CatalogueSeen))
    world.entries[place] = structs.replace(world.entries[place], digest="other")
    lock = h.LocksSeen(at_s=world.at_s, locks=(h.Lock(key="segment-0", version="v1", there=False),))
    world.entries.insert(-1, lock)
    found = {f.check: f.blame.layer for f in every(world, stages_of(world)) if f.blame}
    assert found == {"catalogue": "restorer", "untampered": "store"}


def test_a_row_that_should_not_be_there_is_the_restorers() -> None:
    """The archive does not hold it as the tenant's."""
    world = a_drill()
    world.saved["a"][ITEM, ("4711",)] = {"id": "4711", "tenant": "a", "body": "nobody wrote this"}
    finish(world)
    blame = blamed(world, stages_of(world), "nothing else")
    assert (blame.layer, "is in no segment of the tenant's" in blame.words) == ("restorer", True)


def made_up() -> tuple[World, list[AnyStage]]:
    """A row that nobody wrote, restored from the archive, which holds it as the tenant's."""
    world = a_drill()
    row: Row = {"id": "4711", "tenant": "a", "body": "nobody wrote this"}
    world.saved["a"][ITEM, ("4711",)] = row
    mark = Mark(table=ITEM, op="insert", key=("4711",), row=row)
    made = InSegment(
        segment="segment-1", version="v1", entry=2, tenant="a", epoch=1, lsn=9, xid=9, marks=(mark,)
    )
    finish(world)
    return world, [*stages_of(world), made]


def test_a_row_that_never_came_through_kafka_was_made_up_by_the_archiver() -> None:
    """Kafka was read from its beginning to its end, and has no such row."""
    world, stages = made_up()
    blame = blamed(world, stages, "nothing else")
    assert (blame.layer, "never came through Kafka" in blame.words) == ("archiver", True)


def test_a_row_is_not_made_up_when_kafka_was_not_read_wholly() -> None:
    """It may have come through what was not read."""
    world, stages = made_up()
    partly = [structs.replace(s, first=5) if isinstance(s, TopicRead) else s for s in stages]
    assert blamed(world, partly, "nothing else").layer == "restorer"


def test_a_refused_write_that_is_in_kafka_is_the_sources() -> None:
    """The database told its client no, and its capture yes."""
    world = begin()
    name = world.write("a", item("a", 1950, "refused"), outcome="refused")
    sent = next(e for e in world.entries if isinstance(e, h.Sent) and e.name == name)
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    world.flush()
    world.saved["a"][ITEM, ("1950",)] = {"id": "1950", "tenant": "a", "body": "refused"}
    finish(world)
    told = [s for s in held(sent, 9.0, sent.lsn_lower + 9, 7) if isinstance(s, InTopic)]
    blame = blamed(world, [*stages_of(world), *told], "nothing else")
    assert blame.layer == "source"
    assert "was refused, and yet is in Kafka at offset 70-72" in blame.words


def test_a_finding_without_row_or_operation_is_blamed_on_nobody() -> None:
    """Where it is about nothing that passes the stages, nothing is said."""
    world = lossy()
    found = Finding(check="nothing else", point=3, verdict="broken", message="?")
    other = structs.replace(found, check="honest")
    case = open_case(world.plan(), a_schema(), world.entries, world.files)
    assert [f.blame for f in blamed_findings(case, [found, other], stages_of(world))] == [None, None]


def haunted(outcome: Literal["refused", "acked"]) -> tuple[World, list[AnyStage], h.Sent]:
    """A transaction was captured that the promoted primary never had, and the archiver stopped at it."""
    world = begin(survivors="standby")
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    world.flush()
    ghost = world.write("b", item("b", 2950, "ghost"), outcome=outcome, applied=False)
    sent = next(e for e in world.entries if isinstance(e, h.Sent) and e.name == ghost)
    told = [s for s in held(sent, sent.at_s - 0.05, sent.lsn_lower + 9, 7) if isinstance(s, InTopic)]
    world.fail_over()
    finish(world)
    world.entries = [e for e in world.entries if not (isinstance(e, h.WatermarkSeen) and e.epoch == 2)]
    stop(world, sent.lsn_lower)
    stages = [
        structs.replace(s, forks={1: sent.lsn_lower}) if isinstance(s, WalSeen) else s
        for s in [*stages_of(world), *told]
        if not (isinstance(s, InSegment) and s.epoch == 2)
    ]
    return world, stages, sent


def stop(world: World, lsn: int) -> None:
    """The archiver said at last that it had stopped."""
    world.entries.insert(-1, h.WatermarkSeen(at_s=world.at_s, epoch=1, lsn=lsn, state="stopped"))


@pytest.mark.parametrize(("outcome", "layer"), [("refused", "capture"), ("acked", "source")])
def test_an_archiver_that_stopped_at_what_the_new_primary_never_had_is_not_to_blame(
    outcome: Literal["refused", "acked"], layer: str
) -> None:
    """It is the capture that ran ahead of the standby, or the old primary whose ack was worth nothing."""
    world, stages, sent = haunted(outcome)
    blame = blamed(world, stages, "archived again")
    assert blame.layer == layer
    assert f"the archiver stopped before it, at {sent.name}, which is in Kafka at offset" in blame.words


def test_a_heartbeat_that_the_new_primary_never_had_is_a_ghost_too() -> None:
    """No writer wrote it: it is named by its xid."""
    world, stages, _ = haunted("refused")
    renamed = [
        structs.replace(s, xid=77) if isinstance(s, InTopic) and s.first == 70 else s for s in stages
    ]
    blame = blamed(world, renamed, "archived again")
    assert (blame.layer, "stopped before it, at transaction 77" in blame.words) == ("capture", True)


def disorder(world: World) -> list[AnyStage]:
    """The lost write came into Kafka at the very end, after another late one, and into no segment."""
    moved = both(changed(InTopic, first=99_990, last=99_992), without(InSegment))
    other = next(s for s in stages_of(world) if isinstance(s, InTopic) and s.first > 900)
    late = (structs.replace(s, first=99_980) if s == other else s for s in stages_of(world))
    return [bent for stage in late for bent in moved(stage)]


def test_what_kafka_gives_out_of_order_is_the_brokers() -> None:
    """Whether the archiver passes over it or stops; what only comes again is in order."""
    for stops, words in (
        (False, "it came into Kafka after transaction"),
        (True, "stopped, since Kafka has"),
    ):
        world = lossy()
        if stops:
            stop(world, 9)
        blame = found(world, disorder(world)).blame
        assert blame is not None
        assert (blame.layer, words in blame.words) == ("broker", True)
    world = lossy()
    bends = without(InSegment)
    again = [bent for stage in [*stages_of(world), *disorder(world)] for bent in bends(stage)]
    blame = found(world, again).blame
    assert blame is not None
    assert blame.layer == "archiver"


def test_what_the_archive_had_not_come_to_is_nobodys() -> None:
    """It went on, and the drill ended before."""
    world = lossy()
    bend = both(without(InSegment), changed(ArchiveRead, epoch=1, lsn=9))
    blame = found(world, [bent for stage in stages_of(world) for bent in bend(stage)]).blame
    assert blame is not None
    assert (blame.layer, "had come to 1:0/9 when the drill ended" in blame.words) == (None, True)


def test_an_archiver_that_stopped_for_another_reason_is_to_blame() -> None:
    """No transaction in Kafka lies beyond a fork."""
    world = lossy()
    world.entries.insert(-1, h.WatermarkSeen(at_s=world.at_s, epoch=1, lsn=10**6, state="stopped"))
    bend = both(without(InSegment), changed(WalSeen, forks={1: 10**9}))
    blame = found(world, [bent for stage in stages_of(world) for bent in bend(stage)]).blame
    assert blame is not None
    assert (blame.layer, blame.words[-36:]) == ("archiver", ": lost between Kafka and the archive")


@pytest.mark.parametrize(("why_not", "layer"), [("", "capture"), ("away", "archiver")])
def test_an_archiver_that_stopped_where_kafka_has_a_gap_is_not_to_blame(why_not: str, layer: str) -> None:
    """It can't go on without a parent's row; unless nobody knows whether Kafka had it."""
    world = lossy()
    stop(world, 10**6)
    early = next(s for s in stages_of(world) if isinstance(s, InTopic) and s.at_s > 1.0)
    bend = both(without(InSegment), changed(TopicRead, why_not=why_not))
    kept = [s for s in stages_of(world) if getattr(s, "xid", 0) != early.xid]
    blame = found(world, [bent for stage in kept for bent in bend(stage)]).blame
    assert blame is not None
    assert blame.layer == layer
    assert ("the archiver stopped, and a.writer" in blame.words) == (layer == "capture")


def test_rows_of_a_snapshot_are_found_by_their_keys() -> None:
    """They came under no transaction of their own, as they were by then."""
    world = lossy()
    stages: list[AnyStage] = []
    for stage in stages_of(world):
        snapshot = isinstance(stage, InTopic | InSegment) and holds(stage)
        stages.append(structs.replace(stage, xid=0) if snapshot else stage)
    blame = found(world, stages).blame
    assert blame is not None
    assert (blame.layer, "(with the snapshot), in segment segment-0" in blame.words) == ("restorer", True)
    other = [
        structs.replace(s, marks=tuple(structs.replace(m, row={"body": "?"}) for m in s.marks))
        if isinstance(s, InTopic) and not s.xid
        else s
        for s in stages
    ]
    blame = found(world, other).blame
    assert blame is not None
    assert (blame.layer, "has another body there than was written" in blame.words) == ("capture", True)


def restored_twice() -> World:
    """What the first restore of a put in place is lacking after the second one."""
    world = a_drill()
    world.again = ("a",)
    world.phase("restore")
    for tenant in "abq":
        world.restore(tenant)
    world.phase("again")
    world.script(("t0", (), (whole("a"),)))
    world.hit("t0")
    world.flush()
    del world.saved["a"][LOST]
    world.restore("a")
    world.end()
    return world


@pytest.mark.parametrize(("told", "layer"), [(True, "restorer"), (False, "capture")])
def test_what_a_restore_put_in_place_is_traced_by_its_swap(told: bool, layer: str) -> None:
    """Nobody was told its xid: the topic says it, by the rows and the time."""
    world = restored_twice()
    asked = next(e for e in world.entries if isinstance(e, h.RestoreBegan) and e.tenant == "a")
    marks = (Mark(table=LOST[0], op="insert", key=LOST[1]),)
    swap: list[AnyStage] = [
        InTopic(
            feed="topic", cluster=1, xid=9999, first=8, last=8, at_s=asked.at_s + 0.05, seen=1, lsn=7,
            count=1, marks=marks,
        ),
        InSegment(
            segment="segment-0", version="v1", entry=1, tenant="a", epoch=1, lsn=7, xid=9999, marks=marks
        ),
    ]  # fmt: skip
    stages = [*stages_of(world), *(swap if told else ())]
    blames = [f.blame for f in every(world, stages) if f.operation == "restore 1" and f.blame]
    assert {blame.layer for blame in blames} == {layer}
    assert all(blame.words.startswith("restore 1 of tenant a, acked at 00:00:") for blame in blames)


def test_what_is_of_no_tenant_is_traced_as_nobodys() -> None:
    """A lookup row that went missing was in the archive, under no tenant."""
    world = a_drill()
    world.unowned = {row: image for row, image in world.unowned.items() if row[0] != COUNTRY}
    finish(world)
    blame = blamed(world, stages_of(world), "shared rows")
    assert (blame.layer, blame.words[:18]) == ("restorer", "shared.0, acked at")


def test_stages_are_stored_line_by_line() -> None:
    """What can't be read is named by its line."""
    world = lossy()
    lines = b"".join(map(encode_stage, stages_of(world)))
    assert list(decode_stages([*lines.splitlines(keepends=True), b"\n"])) == stages_of(world)
    with pytest.raises(BadInput, match=r"stages.jsonl, line 1"):
        list(decode_stages([b"{"]))


def test_an_open_outcome_is_named_as_one() -> None:
    """Nobody was told when it was committed."""
    world = lossy()
    tx = structs.replace(index(world.entries).transactions[0], outcome="unknown", tenant=None)
    assert (
        Wording(index(world.entries)).named(tx, None)
        == "shared.0, sent at 00:00:00.110 with an open outcome"
    )
