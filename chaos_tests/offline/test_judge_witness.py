"""The second witness: its rows and the archive's are the same, or the judge's own loss says why not."""

from __future__ import annotations

from msgspec import structs

from chaos_tests.offline.judge_world import (
    ITEM,
    Rows,
    World,
    a_drill,
    a_schema,
    begin,
    checks,
    delete,
    findings,
    finish,
    item,
    stored_rows,
    update,
    whole,
)
from harness.judge import judge
from harness.judge.witnesses import compare, digest
from harness.model import history as h
from harness.model.folder import witness_file
from harness.model.values import Image, RowKey, image_of, row_key
from harness.model.verdict import DrillVerdict, Finding

PROBED = (ITEM, ("1900",))


def hear(world: World, tenant: str, rows: Rows, *, restore: int = 1) -> None:
    """Have the witness give these rows of a tenant."""
    file = witness_file(restore, tenant)
    world.files[file] = stored_rows(restore, rows)
    world.add(
        h.Witnessed(at_s=world.tick(), tenant=tenant, restore=restore, rows=len(rows), file=file),
    )


def images(rows: Rows) -> dict[RowKey, Image]:
    """The same rows, undecoded."""
    return {row_key(*row): image_of(cells) for row, cells in rows.items()}


def judged(world: World, *tenants: str) -> DrillVerdict:
    """Judge what happened by a plan that hears the witness of these tenants."""
    plan = structs.replace(world.plan(), witnessed=tenants or ("a",))
    return judge(plan, a_schema(), world.entries, world.files)


def heard(world: World, witness: Rows, archive: Rows | None = None) -> DrillVerdict:
    """Finish a drill in which a is restored to ``archive`` (as it was, if None), and hear of it."""
    world.phase("restore")
    world.restore("a", rows=archive)
    world.restore("b")
    world.restore("q")
    world.end()
    hear(world, "a", witness)
    return judged(world)


def the_findings(verdict: DrillVerdict) -> list[Finding]:
    """What the check of this name found."""
    return [finding for finding in findings(verdict) if finding.check == "witness"]


def test_the_same_rows_agree_in_whatever_order_they_come() -> None:
    """The digest is canonical: of rows by table and key, of columns by name."""
    world = a_drill()
    rows = dict(world.saved["a"])
    turned = {row: dict(reversed(image.items())) for row, image in reversed(rows.items())}
    assert digest(images(rows)) == digest(images(turned))
    verdict = heard(world, turned)
    assert verdict.verdict == "proven"
    (said,) = verdict.witness
    assert (said.said, said.restore, said.words) == ("agrees", 1, "")
    assert (said.digest, said.rows) == (digest(images(rows)), len(rows))


def test_a_write_in_the_archive_that_never_happened_is_seen_by_nobody_else() -> None:
    """An open outcome is legal both ways to all other checks: the witness knows what became of it."""
    for there in (True, False):
        world = begin()
        world.write("a", item("a", 1900, "who knows"), outcome="unknown", applied=True)
        world.script(("s0", (), (whole("a"), whole("q"))))
        world.hit("s0")
        world.flush()
        witness = dict(world.saved["a"])
        if not there:
            del witness[PROBED]
        verdict = heard(world, witness)
        assert (verdict.verdict, checks(verdict)) == (
            ("proven", set()) if there else ("broken", {"witness"})
        )
    (finding,) = the_findings(verdict)
    assert (finding.point, finding.tenant, finding.restore) == (1, "a", 1)
    assert (finding.table, finding.key, finding.column) == (ITEM, ("1900",), None)
    assert finding.message == "the archive gave back a row that the second witness has not at this cut"
    assert verdict.witness[0].said == "differs"
    assert verdict.witness[0].words == "1 rows differ"


def test_what_the_judge_found_lost_is_explained() -> None:
    """What was written within the budget and not archived is the loss's to answer for, not this one's."""
    world = begin()
    before = dict(world.live["a"])
    lost = [
        world.write("a", item("a", 1900, "late")),
        world.write("a", update(ITEM, "1005", id="1005", tenant="a", body="late")),
        world.write("a", delete("app.note", "n1010")),
    ]
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    witness = dict(world.saved["a"])
    verdict = heard(world, witness, before)
    assert "witness" not in checks(verdict)
    (said,) = verdict.witness
    assert said.said == "explained"
    assert set(said.words.partition(": ")[2].split(", ")) == set(lost)


def test_a_row_that_no_loss_explains_is_broken() -> None:
    """A cell that differs is named with both values; so is a row that only the witness has."""
    world = a_drill()
    witness = dict(world.saved["a"])
    archive = dict(witness)
    archive[ITEM, ("1005",)] = {"id": "1005", "tenant": "a", "body": "bent"}
    del archive["app.note", ("n1020",)]
    verdict = heard(world, witness, archive)
    assert verdict.verdict == "broken"
    cell, row = the_findings(verdict)
    assert (cell.column, cell.expected, cell.found) == ("body", "a 1005", "bent")
    assert cell.operation is not None
    assert row.message == "the second witness has a row at this cut that the archive did not give back"
    assert (row.table, row.key) == ("app.note", ("n1020",))


def test_any_cut_between_the_bounds_is_right() -> None:
    """A write acked beside the damaging COMMIT may be in the archive; one acked before it must be."""
    for beside, verdict_is in ((True, "proven"), (False, "broken")):
        world = begin()
        world.script(("s0", (), (whole("a"), whole("q"))))
        lower = world.lsn
        if not beside:
            lower += 10
        begun_s = world.at_s
        world.write("a", item("a", 1900, "beside"))
        world.hit("s0", begun_s=begun_s)
        world.flush()
        world.hits["a"] = structs.replace(world.hits["a"], lsn_lower=lower)
        witness = dict(world.saved["a"])
        del witness[PROBED]
        verdict = heard(world, witness, dict(world.saved["a"]))
        assert verdict.verdict == verdict_is
        assert ("witness" in checks(verdict)) is not beside


def test_a_witness_that_is_heard_of_nobody_leaves_it_unknown() -> None:
    """With its reason; where it is heard of one, the others are told and no more."""
    world = finish(a_drill())
    world.add(h.Witnessed(at_s=world.tick(), tenant="a", restore=1, detail="its WAL was cut"))
    verdict = judged(world)
    assert (verdict.verdict, checks(verdict)) == ("unknown", {"witness"})
    assert (verdict.witness[0].said, verdict.witness[0].words) == ("not judged", "its WAL was cut")
    restored = dict(world.live["q"])
    del restored[ITEM, ("9003",)]  # its probe
    hear(world, "q", restored, restore=3)
    verdict = judged(world, "a", "q")
    assert [said.said for said in verdict.witness] == ["not judged", "agrees"]
    assert verdict.verdict == "proven"
    assert verdict.points_not_judged[1:] == ("the second witness on 1 tenant (its WAL was cut)",)


def test_a_world_without_a_witness_says_so_and_is_judged_without() -> None:
    """It is among what was not judged; who needs one has no proof without, who takes what there is has."""
    world = finish(a_drill())
    world.add(h.WitnessRefused(at_s=world.tick(), reason="no Barman here"))
    verdict = judged(world, "a", "q")
    assert verdict.verdict == "unknown"
    (finding,) = the_findings(verdict)
    assert finding.message == "a second witness was asked for, and there was none: no Barman here"
    plan = structs.replace(world.plan(), witnessed=("a", "q"), witness_needed=False)
    taken = judge(plan, a_schema(), world.entries, world.files)
    assert taken.verdict == "proven"
    for told in (verdict, taken):
        assert {(said.said, said.words) for said in told.witness} == {("not judged", "no Barman here")}
        assert told.points_not_judged[1:] == ("the second witness (no Barman here)",)


def test_a_drill_that_ended_early_says_that_nobody_was_heard() -> None:
    """Nothing is proven by a witness that never came."""
    verdict = judged(finish(a_drill()))
    assert verdict.verdict == "unknown"
    assert verdict.witness[0].words == "the drill ended before it was heard"


def test_what_was_read_and_is_not_there_is_unknown() -> None:
    """The witness's rows, or those of the restore; one heard of no restore at all is held against none."""
    for file in (witness_file(1, "a"), "restored/a.jsonl"):
        world = finish(a_drill())
        hear(world, "a", dict(world.live["a"]))
        del world.files[file]
        verdict = judged(world)
        assert verdict.verdict == "unknown"
        assert {f.message for f in the_findings(verdict) if f.tenant} == {
            "what was read of it is not there"
        }
    world = finish(a_drill())
    hear(world, "a", {}, restore=9)
    assert judged(world).witness[0].words == "it was held against no restore"


def test_where_no_state_was_found_nothing_is_excused() -> None:
    """A restore that goes on from one that was not read is held against the witness all the same."""
    row: Rows = {(ITEM, ("1",)): {"id": "1", "tenant": "a", "body": "there"}}
    told = h.Witnessed(at_s=1.0, tenant="a", restore=2)
    (differing,) = compare(told, images(row), {}, None, h.Cut()).differing
    assert (differing.witness, differing.archive, differing.step) == (row[ITEM, ("1",)], None, None)
