"""Whole drills, by hand: good ones are proven, each bent one is caught by the check that names it."""

from __future__ import annotations

import pytest
from msgspec import structs

from chaos_tests.offline.judge_world import (
    COUNTRY,
    ITEM,
    NOTE,
    OUTBOX,
    ROOT,
    World,
    a_drill,
    begin,
    checks,
    delete,
    findings,
    finish,
    insert,
    item,
    mark,
    update,
    whole,
)
from harness.model import history as h
from harness.model.faults import Kill, Service
from harness.model.plan import Effect, Floors
from harness.model.values import Digest, image_of, row_key, row_of, table_and_key
from harness.model.verdict import Finding


def the_finding(world: World, check: str) -> Finding:
    """The only finding of a drill, which must be of this check."""
    found = findings(world.verdict())
    assert [finding.check for finding in found] == [check], found
    return found[0]


def some_findings(world: World, check: str) -> list[Finding]:
    """All findings of one check."""
    return [finding for finding in findings(world.verdict()) if finding.check == check]


# Good drills.


def test_a_good_drill_is_proven_with_its_figures() -> None:
    """Everybody is back, nothing is lost, and the verdict carries the figures of each tenant."""
    verdict = finish(a_drill()).verdict()
    assert verdict.verdict == "proven"
    assert [t.verdict for t in verdict.tenants] == ["proven"] * 3
    a, b, q = verdict.tenants
    assert (a.damaged, b.damaged, q.damaged, q.quiet) == (True, False, True, True)
    assert a.loss_s == 0.0
    assert verdict.worst_exposure_tenant == "a"
    assert a.bytes_read == 1001
    assert a.rows == 57
    assert verdict.slowest_restore_s == pytest.approx(0.1)


def test_a_drill_that_only_the_archive_survives_is_proven() -> None:
    """All come back into a fresh cluster, where the outbox begins empty."""
    world = begin(survivors="archive")
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    world.flush()
    world.destroy()
    assert finish(world).verdict().verdict == "proven"


def test_a_damage_whose_outcome_nobody_saw_is_restored_to_before_it() -> None:
    """COMMIT was sent and the cluster destroyed at once: the damage may have happened or not."""
    for applied in (True, False):
        world = begin(survivors="archive")
        world.script(("s0", (), (whole("a"), whole("q"))))
        world.flush()
        world.hit("s0", outcome="unknown")
        if applied:
            world.flush()
        world.destroy()
        assert finish(world).verdict().verdict == "proven"


def test_a_rightly_deleted_tenant_comes_back_beside() -> None:
    """The intended deletion stands in the live rows, and what was before it is in the scratch ones."""
    world = begin()
    world.script(("s0", (whole("b"),), (whole("b"), whole("a"), whole("q"))))
    world.hit("s0")
    world.flush()
    for tenant in "abq":
        world.restore(tenant, place="scratch" if tenant == "b" else None)
    world.end()
    verdict = world.verdict()
    assert verdict.verdict == "proven"
    assert [t.rightly_deleted for t in verdict.tenants] == [False, True, False]
    assert [t.rows for t in verdict.tenants] == [57, 57, 3]


def test_a_mark_by_mistake_is_damage_and_an_intended_one_is_a_write() -> None:
    """The marked row of a goes back, that of b stays marked."""
    world = begin()
    world.script(("s0", (mark("b"),), (mark("b"),)), ("s1", (), (mark("a"), mark("q"))))
    world.hit("s0")
    world.hit("s1")
    world.flush()
    assert finish(world).verdict().verdict == "proven"
    assert world.live["b"][ROOT, ("b",)]["deleted_at"] is not None
    assert world.live["a"][ROOT, ("a",)]["deleted_at"] is None


def test_an_intended_mark_before_the_damage_is_in_the_restored_state() -> None:
    """Losing the mark is a stale row once a later write is in."""
    for lost in (False, True):
        world = begin()
        world.script(("s0", (mark("a"),), (mark("a"),)), ("s1", (), (whole("a"), whole("q"))))
        before = dict(world.live["a"][ROOT, ("a",)])
        world.hit("s0")
        world.saved.clear()
        world.write("a", item("a", 1900, "after the mark"))
        world.hit("s1")
        world.flush()
        if lost:
            world.saved["a"][ROOT, ("a",)] = before
        assert finish(world).verdict().verdict == ("broken" if lost else "proven")


def test_a_killed_script_that_is_run_again_damages_once() -> None:
    """The rerun finds the first tenant's rows gone: its incident stays the first run's."""
    world = begin()
    world.script(
        ("s0", (), (whole("q"),)),
        ("s1", (), (whole("a"),)),
        ("s2", (), (whole("q"),)),
        ("s3", (), (whole("a"),)),
    )
    world.kill("s1")
    world.hit("s0")
    world.add(h.Done(at_s=world.tick(), name="s1", actor="script", tenant=None, outcome="refused"))
    world.hit("s2")
    world.hit("s3")
    world.flush()
    assert finish(world).verdict().verdict == "proven"


def test_a_second_accident_is_judged_over_the_first_restore() -> None:
    """A tenant restored in place goes on from there, is damaged again, and comes back again."""
    world = a_drill()
    world.script(("s1", (), (whole("a"),)))
    world.again = ("a",)
    for tenant in "abq":
        world.restore(tenant)
    world.flush()
    world.hit("s1")
    world.restore("a")
    world.end()
    assert world.verdict().verdict == "proven"


def test_a_script_that_damages_nobody_proves_that_everybody_can_come_back() -> None:
    """The plan expects no damage, and there is none."""
    world = begin()
    world.script(("s0", (mark("b"),), (mark("b"),)), nobody=True)
    world.hit("s0")
    world.flush()
    assert finish(world).verdict().verdict == "proven"


def test_a_write_that_ran_beside_the_script_may_fall_either_way() -> None:
    """Its row was missed by the deletion, or taken; in the restored state or set aside; both are fine."""
    for taken in (False, True):
        for inside in (False, True):
            world = begin()
            world.script(("s0", (), (whole("a"), whole("q"))))
            began_s = world.at_s
            world.write("a", item("a", 1900, "beside"))
            row = (ITEM, ("1900",))
            image = world.live["a"][row]
            world.hit("s0", spare=() if taken else (row,), begun_s=began_s)
            world.flush()
            if not inside:
                del world.saved["a"][row]
            aside = () if taken or inside else (h.SetAside(table=ITEM, row=image),)
            world.restore("a", set_aside=aside)
            world.restore("b")
            world.restore("q")
            world.end()
            assert checks(world.verdict()) <= ({"honest", "naming"} if not inside else set())


# Bent drills: what comes back.


def test_a_dropped_last_segment_is_a_loss_and_a_broken_word() -> None:
    """The state of five seconds ago comes back, although the watermark said that more was safe."""
    world = begin()
    old = {row: image for row, image in world.live["a"].items() if row[1][0].lstrip("n") < "1015"}
    old[ROOT, ("a",)] = world.live["a"][ROOT, ("a",)]
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    world.flush()
    world.saved["a"] = old
    found = findings(finish(world).verdict())
    assert {finding.check for finding in found} == {"loss", "honest", "naming"}
    loss = next(finding for finding in found if finding.check == "loss")
    assert loss.tenant == "a"
    assert loss.loss_s == pytest.approx(9.01 - (1.0 + 14 * 0.28 + 0.02))
    assert (loss.table, loss.key) == (ITEM, ("1015",))


def test_a_tail_lost_within_the_budget_is_forgiven_unless_it_was_said_to_be_safe() -> None:
    """Point 8 forgives only what lay past the watermark."""
    for flushed in (False, True):
        world = begin()
        world.script(("s0", (), (whole("a"), whole("q"))))
        world.at_s = 8.9
        old = dict(world.live["a"])
        world.write("a", item("a", 1900, "late"))
        if flushed:
            world.flush()
        world.hit("s0")
        world.saved["a"] = old
        assert checks(finish(world).verdict()) == ({"honest"} if flushed else set())


def test_two_hundred_and_ninety_nine_seconds_pass_and_three_hundred_and_one_fail() -> None:
    """With a budget of 300 s, the age of the oldest missing acked write decides."""
    for age_s, verdict in ((299.0, "proven"), (300.0, "proven"), (301.0, "broken")):
        world = World(budget_s=300.0)
        world.floors = Floors(
            rows_per_s=0.0, transactions_per_tenant=0, older_than_budget=0, younger_than_budget=0
        )
        world.phase("load", 0.1)
        world.tenant("q", quiet=True)
        world.flush()
        world.catalogue("before")
        world.phase("write", 1.0)
        world.write("q", item("q", 1900, "old"))
        world.flush(watermark=False)
        world.at_s = 1000.0 - age_s - 0.02
        old = dict(world.live["q"])
        world.write("q", item("q", 1901, "the oldest that is missing"))
        world.phase("script", 999.0)
        world.script(("s0", (), (whole("q"),)))
        world.at_s = 999.99
        world.hit("s0")
        world.saved["q"] = old
        world.restore("q")
        world.end()
        found = [f for f in findings(world.verdict()) if f.check != "provable"]
        assert [f.check for f in found] == (["loss", "exposure"] if verdict == "broken" else [])
        assert world.verdict().tenants[0].loss_s == pytest.approx(age_s)


def test_a_loss_over_the_budget_on_a_machine_that_stood_still_is_unknown() -> None:
    """Under the promise and with a stall it is unknown, without a stall broken."""
    for late_s, verdict in ((1.0, "broken"), (1.1, "unknown")):
        world = begin()
        world.script(("s0", (), (whole("a"), whole("q"))))
        world.add(h.Stalled(at_s=world.at_s, late_s=late_s))
        old = dict(world.live["a"])
        world.write("a", item("a", 1900, "lost"))
        world.at_s += 5.0
        world.hit("s0")
        world.saved["a"] = old
        world.restore("a")
        world.restore("b")
        world.restore("q")
        world.end()
        over = [f for f in findings(world.verdict()) if f.check in ("loss", "exposure")]
        assert {f.verdict for f in over} == {verdict}


def test_one_row_lost_in_the_middle_is_a_hole_that_names_both_writes() -> None:
    """The finding names the write that is in and the earlier one that is not."""
    world = a_drill()
    del world.saved["a"][ITEM, ("1010",)]
    del world.saved["a"][NOTE, ("n1010",)]
    found = findings(finish(world).verdict())
    hole = next(f for f in found if f.check == "prefix" and f.table == ITEM)
    assert (hole.point, hole.key) == (2, ("1010",))
    assert str(hole.operation) in hole.message
    assert "is in" in hole.message
    assert {f.check for f in found} == {"prefix", "loss", "honest", "naming"}


def test_a_transaction_of_which_one_row_is_lost_names_the_row_that_is_there() -> None:
    """The note of the same transaction came back, the item did not."""
    world = a_drill()
    del world.saved["a"][ITEM, ("1010",)]
    hole = the_finding_among(finish(world), "prefix")
    assert f"{NOTE} n1010" in hole.message


def test_an_update_lost_in_the_middle_is_a_stale_row() -> None:
    """The row is back with its first image, although later writes are in."""
    world = a_drill()
    world.saved["a"][ITEM, ("1001",)]["body"] = "a 1001"
    assert "prefix" in checks(finish(world).verdict())


def test_a_wrong_cell_names_column_expected_and_found() -> None:
    """A value that no transaction wrote."""
    world = a_drill()
    world.saved["a"][ITEM, ("1010",)] = {"id": "1010", "tenant": "a", "body": "garbled"}
    finding = the_finding(finish(world), "exact")
    assert (finding.column, finding.expected, finding.found) == ("body", "a 1010", "garbled")
    assert finding.operation is not None


def test_a_row_that_was_never_written_is_something_else() -> None:
    """A key that the history does not know."""
    world = a_drill()
    world.saved["a"][ITEM, ("77",)] = {"id": "77", "tenant": "a", "body": "from nowhere"}
    assert the_finding(finish(world), "nothing else").key == ("77",)


def test_a_neighbours_row_is_named_as_such() -> None:
    """A row of b comes back with a."""
    world = a_drill()
    world.saved["a"][ITEM, ("2010",)] = dict(world.live["b"][ITEM, ("2010",)])
    assert "tenant b" in the_finding(finish(world), "nothing else").message


def test_a_row_deleted_for_good_reason_stays_deleted() -> None:
    """A note that a deletion in the state removed is back."""
    world = a_drill()
    world.saved["a"][NOTE, ("n1002",)] = {"id": "n1002", "item": "1002"}
    found = findings(finish(world).verdict())
    finding = next(f for f in found if f.check == "resurrection")
    assert (finding.point, finding.key) == (4, ("n1002",))


def a_deletion_undone(age_s: float, *, late_s: float = 0.0) -> World:
    """The last that a wrote was a deletion, so old at the incident, and its restore does not know of it."""
    world = begin()
    world.script(("s0", (), (whole("a"), whole("q"))))
    if late_s:
        world.add(h.Stalled(at_s=world.at_s, late_s=late_s))
    before = dict(world.live["a"])
    world.write("a", delete(NOTE, "n1010"))
    world.at_s += age_s - 0.01
    world.hit("s0")
    world.saved["a"] = before
    for tenant in "abq":
        world.restore(tenant)
    world.end()
    return world


@pytest.mark.parametrize(
    ("age_s", "late_s", "verdicts"),
    [(2.9, 0.0, []), (3.1, 0.0, ["broken"]), (3.1, 1.1, ["unknown"])],
    ids=["within the budget", "over it", "over it, and the machine stood still"],
)
def test_what_was_deleted_longer_ago_than_the_budget_stays_deleted(
    age_s: float, late_s: float, verdicts: list[str]
) -> None:
    """Even where nothing later shows that the deletion is in: the row is back, beside the loss."""
    back = some_findings(a_deletion_undone(age_s, late_s=late_s), "resurrection")
    assert [finding.verdict for finding in back] == verdicts
    for finding in back:
        assert (finding.point, finding.table, finding.key) == (4, NOTE, ("n1010",))
        assert "is back" in finding.message
        assert finding.loss_s == pytest.approx(age_s)


def test_an_old_write_that_is_lost_brings_nothing_back() -> None:
    """A lost insertion or update, and a lost deletion of what was never there, are no resurrection."""
    world = begin()
    world.script(("s0", (), (whole("a"), whole("q"))))
    before = dict(world.live["a"])
    world.write("a", item("a", 1900, "lost"), update(ITEM, "1010", id="1010", tenant="a", body="lost too"))
    world.write("a", delete(ITEM, "1900"))
    world.at_s += 5.0
    world.hit("s0")
    world.saved["a"] = before
    for tenant in "abq":
        world.restore(tenant)
    world.end()
    assert {"loss", "resurrection"} & checks(world.verdict()) == {"loss"}


def test_a_write_after_the_cut_is_not_part_of_the_state() -> None:
    """The application went on after the damage; that row must not come back in place."""
    world = a_drill()
    image = {"id": "1900", "tenant": "a", "body": "after"}
    world.write("a", insert(ITEM, **image))
    world.saved["a"][ITEM, ("1900",)] = dict(image)
    finding = the_finding_among(finish(world), "nothing else")
    assert "after the cut" in finding.message


def the_finding_among(world: World, check: str) -> Finding:
    """The first finding of this check."""
    found = some_findings(world, check)
    assert found, checks(world.verdict())
    return found[0]


def test_a_state_that_holds_the_scripts_mark_is_broken() -> None:
    """The restore was cut just after the damage instead of just before."""
    world = begin()
    world.script(("s0", (), (mark("a"), mark("q"))))
    world.hit("s0")
    world.flush()
    world.saved["a"] = dict(world.live["a"])
    finding = the_finding(finish(world), "nothing else")
    assert "script" in finding.message
    assert finding.operation == "s0"


def test_a_state_that_lacks_what_the_script_deleted_is_named_as_its_damage() -> None:
    """A table-by-table script took the notes first, and the restore came after that."""
    world = begin()
    notes = Effect(tenant="a", mode="permanent", tables=(NOTE,))
    world.script(("s0", (), (notes, whole("q"))))
    world.hit("s0")
    world.flush()
    world.saved["a"] = dict(world.live["a"])
    found = some_findings(finish(world), "nothing else")
    assert {f.operation for f in found[:20]} == {"s0"}
    assert {f.table for f in found[:20]} == {NOTE}
    assert found[20].message == "and 7 more of this kind"


def test_a_write_that_was_refused_is_in_no_state() -> None:
    """Its COMMIT was sent, and refused; its row is there all the same."""
    world = begin()
    world.write("a", item("a", 1900, "refused"), outcome="refused")
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    world.flush()
    world.saved["a"][ITEM, ("1900",)] = {"id": "1900", "tenant": "a", "body": "refused"}
    assert "refused" in the_finding(finish(world), "nothing else").message


def test_a_strange_row_is_strange_beside_a_refused_write_too() -> None:
    """A refused transaction does not explain a row that it did not write."""
    world = begin()
    world.write("a", item("a", 1900, "refused"), outcome="refused")
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    world.flush()
    world.saved["a"][ITEM, ("77",)] = {"id": "77", "tenant": "a", "body": "from nowhere"}
    assert "never written" in the_finding(finish(world), "nothing else").message


def test_a_long_text_that_differs_is_named_by_its_digest() -> None:
    """Texts of megabytes are in journals as digests, and in findings too."""
    world = begin()
    long, other = Digest(sha256="a" * 64, chars=4000), Digest(sha256="b" * 64, chars=4000)
    row = image_of({"id": "1900", "tenant": "a", "body": long})
    world.write("a", h.Change(op="insert", key=row_key(ITEM, ("1900",)), row=row))
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    world.flush()
    assert finish(world).verdict().tenants[0].row_bytes == 4000 + 572
    for index, stored in enumerate(world.files["restored/a.jsonl"]):
        if stored.restore == 1 and stored.row == row:
            bent = image_of({**row_of(row), "body": other})
            world.files["restored/a.jsonl"][index] = structs.replace(stored, row=bent)
    finding = next(f for f in findings(world.verdict()) if f.check == "exact")
    assert (finding.expected, finding.found) == (long, other)
    assert "4000 characters" in finding.message


def test_a_transaction_that_wrote_no_row_of_its_tenant_binds_nothing() -> None:
    """Its update hit nothing, or only the outbox was written."""
    world = begin()
    world.write("a")
    world.write("b", insert(OUTBOX, id="o9", xid=str(world.xid + 1)))
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    world.flush()
    assert finish(world).verdict().verdict == "proven"


def test_a_script_whose_trigger_rows_are_journalled_is_judged_by_its_marks_alone() -> None:
    """Rows of nobody in its entry change no tenant."""
    world = begin()
    world.script(("s0", (), (mark("a"), mark("q"))))
    world.hit("s0")
    sent = next(e for e in world.entries if isinstance(e, h.Sent) and e.actor == "script")
    fired = insert(OUTBOX, id="o1", xid=str(sent.xid))
    world.entries[world.entries.index(sent)] = structs.replace(sent, changes=(*sent.changes, fired))
    world.unowned[OUTBOX, ("o1",)] = {"id": "o1", "xid": str(sent.xid)}
    world.flush()
    assert finish(world).verdict().verdict == "proven"


def test_an_archive_that_never_knew_the_cluster_exposes_everything() -> None:
    """Without an epoch no position of it can be durable."""
    world = finish(a_drill())
    world.entries = [e for e in world.entries if not isinstance(e, h.ClusterSeen)]
    assert {"exposure", "archived again"} <= checks(world.verdict())


def test_an_unknown_commit_is_legal_both_ways() -> None:
    """Its row may be back or not, and neither is a loss."""
    for there in (False, True):
        world = begin()
        world.write("a", item("a", 1900, "who knows"), outcome="unknown", applied=there)
        world.script(("s0", (), (whole("a"), whole("q"))))
        world.hit("s0")
        world.flush()
        assert finish(world).verdict().verdict == "proven"


def test_a_settled_commit_is_judged_as_settled() -> None:
    """A witness said that it committed, so it must be back; or that it did not, so it must not."""
    for outcome, there, verdict in (
        ("acked", True, "proven"),
        ("refused", False, "proven"),
        ("refused", True, "broken"),
    ):
        world = begin()
        name = world.write("a", item("a", 1900, "settled"), outcome="unknown", applied=there)
        settled = h.Settled(at_s=world.tick(), name=name, outcome=outcome, witness="w")  # type: ignore[arg-type]
        world.add(settled)
        world.script(("s0", (), (whole("a"), whole("q"))))
        world.hit("s0", look=True)
        world.flush()
        assert finish(world).verdict().verdict == verdict


def test_a_row_twice_or_of_a_foreign_table_is_something_else() -> None:
    """A key must come back once, and only rows of owned tables."""
    world = finish(a_drill())
    first = world.files["restored/a.jsonl"][0]
    entry = next(e for e in world.entries if isinstance(e, h.ReadBack) and e.restore == 1)
    world.entries[world.entries.index(entry)] = h.ReadBack(
        at_s=entry.at_s, restore=1, tenant="a", file=entry.file, rows=entry.rows + 2
    )
    alien = h.StoredRow(restore=1, key=row_key("app.alien", ("1",)), row=image_of({"id": "1"}))
    world.files["restored/a.jsonl"] += [first, alien]
    found = some_findings(world, "nothing else")
    assert [f.table for f in found] == [first.table, "app.alien"]


def test_a_row_of_the_state_before_the_last_restore_is_something_else() -> None:
    """What the first restore did not bring back must not come with the second."""
    world = a_drill()
    world.write("a", item("a", 1900, "set aside"))
    aside = h.SetAside(table=ITEM, row=world.live["a"][ITEM, ("1900",)])
    world.script(("s1", (), (whole("a"),)))
    world.again = ("a",)
    world.restore("a", set_aside=(aside,))
    world.restore("b")
    world.restore("q")
    world.flush()
    world.hit("s1")
    world.saved["a"][ITEM, ("1900",)] = aside.row
    world.restore("a")
    world.end()
    assert "before the last restore" in the_finding(world, "nothing else").message


# Bent drills: exposure and naming.


def written_5_s_before_the_damage() -> World:
    """A drill in which a write is in the bucket only after the damage, five seconds late."""
    world = begin()
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.flush()
    world.write("a", item("a", 1900, "buffered"))
    world.at_s += 5.0
    world.hit("s0")
    world.flush()
    return finish(world)


def test_a_write_that_reached_the_bucket_late_is_exposed() -> None:
    """Nothing is lost, since the cluster lives; the bucket alone would have lost five seconds."""
    finding = the_finding_among(written_5_s_before_the_damage(), "exposure")
    assert finding.tenant == "a"
    assert finding.loss_s == pytest.approx(5.01)


def test_a_quiet_tenants_write_that_was_never_flushed_is_exposed() -> None:
    """An archiver that waits for a full buffer keeps the quiet tenant's only write."""
    world = a_drill()
    world.entries = [e for e in world.entries if not isinstance(e, h.ObjectSeen)]
    exposed = {f.tenant for f in some_findings(finish(world), "exposure")}
    assert "q" in exposed


def test_objects_that_were_never_named_leave_the_exposure_unknown() -> None:
    """A subject that does not name what its restores need can't be proven."""
    world = finish(a_drill())
    world.entries = [e for e in world.entries if not isinstance(e, h.NeedsNamed)]
    verdict = world.verdict()
    assert (verdict.verdict, checks(verdict)) == ("unknown", {"exposure"})


def lost_though_flushed() -> World:
    """A drill in which all objects named were readable, and yet a write is lost."""
    world = begin()
    old = dict(world.live["a"])
    world.write("a", item("a", 1900, "lost"))
    world.flush(watermark=False)
    world.at_s += 0.2
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    world.saved["a"] = old
    return finish(world)


def test_a_loss_greater_than_the_exposure_shows_wrong_names() -> None:
    """By the names nothing could be lost."""
    assert the_finding(lost_though_flushed(), "naming").tenant == "a"


def of_unknown_place(world: World, key: int) -> World:
    """Nobody was told where the COMMIT with that row lies, nor any later one: the cluster is gone."""
    sent = ((n, e) for n, e in enumerate(world.entries) if isinstance(e, h.Sent))
    first = next(
        n for n, e in sent if any(table_and_key(change.key)[1] == (str(key),) for change in e.changes)
    )
    for number, entry in enumerate(world.entries):
        if isinstance(entry, h.Done) and number > first:
            world.entries[number] = structs.replace(entry, lsn_upper=None)
    return world


def test_a_commit_that_was_only_seen_to_have_taken_place_is_exposed_from_where_it_lies_at_least() -> None:
    """Found by 2,000 simulated plans: it was lost with the cluster, and *naming* called it durable."""
    world = of_unknown_place(written_5_s_before_the_damage(), 1900)
    found = some_findings(world, "exposure")
    assert [f.loss_s for f in found if f.tenant == "a"] == [pytest.approx(5.01)]


def test_nobody_calls_durable_what_lies_nobody_knows_where() -> None:
    """Its COMMIT may lie on either side of what the bucket held."""
    assert "naming" not in checks(of_unknown_place(lost_though_flushed(), 1900).verdict())


# Bent drills: set aside, live rows, refusals.


def after_the_cut(world: World) -> h.SetAside:
    """Let the application write an item of a after the damage."""
    world.write("a", item("a", 1900, "after"))
    return h.SetAside(table=ITEM, row=world.live["a"][ITEM, ("1900",)])


def test_rows_written_after_the_cut_are_set_aside_value_for_value() -> None:
    """The row is set aside as it was; not at all, or with another value, is broken."""
    for aside, bad in ((True, False), (False, True)):
        world = a_drill()
        moved = after_the_cut(world)
        world.restore("a", set_aside=(moved,) if aside else ())
        world.restore("b")
        world.restore("q")
        world.end()
        assert checks(world.verdict()) == ({"set aside"} if bad else set())
    world = a_drill()
    after_the_cut(world)
    world.restore("a", set_aside=(h.SetAside(table=ITEM, row={"id": "1900", "tenant": "a", "body": "x"}),))
    world.restore("b")
    world.restore("q")
    world.end()
    assert the_finding(world, "set aside").key == ("1900",)


def test_a_row_may_be_set_aside_under_an_id_that_a_neighbour_had() -> None:
    """Ids are given again; a row that the tenant itself wrote is its own, whoever had the id before."""
    world = a_drill()
    world.write("b", item("b", 1950, "first"))
    world.write("b", delete(ITEM, "1950"))
    world.write("q", item("q", 1950, "after"))
    aside = h.SetAside(table=ITEM, row=world.live["q"][ITEM, ("1950",)])
    world.restore("a")
    world.restore("b")
    world.restore("q", set_aside=(aside,))
    world.end()
    assert "set aside" not in checks(world.verdict())


def test_a_row_deleted_again_before_the_restore_need_not_be_set_aside() -> None:
    """It was not there any more when the restore began."""
    world = a_drill()
    after_the_cut(world)
    world.write("a", delete(ITEM, "1900"))
    assert finish(world).verdict().verdict == "proven"


def test_a_row_of_somebody_else_must_not_be_set_aside() -> None:
    """The restore of a moved a row of b out of the way, or one of no table."""
    for row, bad in (
        (h.SetAside(table=ITEM, row={"id": "2010", "tenant": "b", "body": "b"}), True),
        (h.SetAside(table="app.alien", row={}), False),
    ):
        world = a_drill()
        world.restore("a", set_aside=(row,))
        world.restore("b")
        world.restore("q")
        world.end()
        assert checks(world.verdict()) == ({"set aside"} if bad else set())


def test_a_neighbours_live_row_that_changed_is_collateral() -> None:
    """A row of b is gone, was changed, or is back; a row of nobody is there."""
    for row, image in (
        ((ITEM, ("2010",)), None),
        ((ITEM, ("2010",)), {"id": "2010", "tenant": "b", "body": "b other"}),
        ((ITEM, ("2001",)), {"id": "2001", "tenant": "b", "body": "b 2001"}),
        ((NOTE, ("n2002",)), {"id": "n2002", "item": "2002"}),
        ((ITEM, ("78",)), {"id": "78", "tenant": "b", "body": "from nowhere"}),
    ):
        world = a_drill()
        world.phase("restore")
        for tenant in "abq":
            world.restore(tenant)
        if image is None:
            del world.live["b"][row]
        else:
            world.live["b"][row] = dict(image)
        world.end()
        finding = the_finding(world, "live rows")
        assert (finding.point, finding.tenant, finding.key) == (5, "b", row[1])


def test_a_write_after_the_restore_in_place_must_stay() -> None:
    """The probe of a tenant is demanded in its live rows."""
    world = a_drill()
    for tenant in "abq":
        world.restore(tenant)
    del world.live["a"][ITEM, ("9001",)]
    world.end()
    assert the_finding(world, "live rows").tenant == "a"


def test_a_live_row_twice_is_collateral() -> None:
    """The final reading shows one key two times."""
    world = finish(a_drill())
    rows = world.files["restored/b.jsonl"]
    rows.append(rows[-1])
    assert "live rows" in checks(world.verdict())


def test_a_neighbour_that_is_refused_during_a_restore_is_collateral() -> None:
    """The restore of a locked or broke something of b."""
    for outcome in ("refused", "unknown"):
        world = a_drill()
        for tenant in "abq":
            world.restore(tenant)
        began = next(e for e in world.entries if isinstance(e, h.RestoreBegan) and e.tenant == "a")
        done = h.Done(
            at_s=began.at_s + 0.05,
            name="b.w.x",
            actor="writer",
            tenant="b",
            outcome=outcome,
            detail="deadlock detected",
        )
        world.add(done)
        world.end()
        finding = the_finding(world, "refusals")
        assert "deadlock detected" in finding.message
        assert finding.operation == "b.w.x"


def test_a_refusal_that_no_restore_caused_does_not_count() -> None:
    """Before the restores, of the tenant restored, of a damaged one, or rolled back as planned."""
    world = a_drill()
    before = h.Done(at_s=world.tick(), name="b.w.y", actor="writer", tenant="b", outcome="refused")
    for tenant in "abq":
        world.restore(tenant)
    began_s = {e.tenant: e.at_s for e in world.entries if isinstance(e, h.RestoreBegan)}
    own = h.Done(at_s=began_s["b"] + 0.05, name="b.w.z", actor="writer", tenant="b", outcome="refused")
    hit = h.Done(at_s=began_s["b"] + 0.05, name="a.w.z", actor="writer", tenant="a", outcome="refused")
    world.add(before, own, hit)
    world.end()
    assert world.verdict().verdict == "proven"


def test_a_transaction_that_ran_into_a_restore_overlaps_it() -> None:
    """It began before the restore was done and was refused only afterwards."""
    world = a_drill()
    world.restore("a")
    done = next(e for e in world.entries if isinstance(e, h.RestoreDone))
    late = h.Done(
        at_s=done.at_s + 0.001,
        name="b.w.x",
        actor="writer",
        tenant="b",
        outcome="refused",
        begun_s=done.at_s - 0.01,
    )
    world.add(late)
    world.restore("b")
    world.restore("q")
    world.end()
    assert the_finding(world, "refusals").restore == 1


@pytest.mark.parametrize(
    ("service", "lost", "begun_s", "blamed"),
    [
        ("primary", False, -0.05, False),
        ("primary", False, 0.01, True),
        ("primary", True, 0.01, False),
        ("archiver", False, -0.05, True),
        ("archiver", True, 0.01, True),
    ],
)
def test_what_a_fault_took_with_it_is_no_doing_of_a_restore(
    service: Service, lost: bool, begun_s: float, blamed: bool
) -> None:
    """It began while the primary was gone, or found only after the heal that its connection was.

    Begun after the heal (at 0) and refused by the server: the restore's doing. So is whatever goes wrong
    where a fault struck by which no commit is held up.
    """
    world = a_drill()
    world.faults = (Kill(service=service, phase="script", after_s=0.0, down_s=0.1),)
    world.write("b", item("b", 77, "before"))
    struck_s, healed_s = world.tick(), world.tick()
    world.add(
        h.FaultBegan(at_s=struck_s, fault=0, proof="gone", bit=True),
        h.FaultHealed(at_s=healed_s, fault=0, proof="back"),
    )
    world.fail("b", healed_s + 0.02, begun_s=healed_s + begun_s, lost=lost)
    for tenant in "abq":
        world.restore(tenant)
    world.end()
    assert ("refusals" in checks(world.verdict())) == blamed


def test_a_connection_that_was_lost_is_an_excuse_once() -> None:
    """Whoever had an outcome after the heal was connected again: what it loses then, the restore took."""
    world = a_drill()
    world.faults = (Kill(service="primary", phase="script", after_s=0.0, down_s=0.1),)
    struck_s, healed_s = world.tick(), world.tick()
    world.add(
        h.FaultBegan(at_s=struck_s, fault=0, proof="gone", bit=True),
        h.FaultHealed(at_s=healed_s, fault=0, proof="back"),
    )
    world.fail("b", healed_s + 0.02, begun_s=healed_s + 0.01, lost=True)
    second = world.fail("b", healed_s + 0.04, begun_s=healed_s + 0.03, lost=True)
    for tenant in "abq":
        world.restore(tenant)
    world.end()
    assert the_finding(world, "refusals").operation == second


def test_a_transaction_that_went_down_with_its_cluster_is_nobodys_doing() -> None:
    """It was begun before the cluster was destroyed, and given up while somebody was restored."""
    world = begin(survivors="archive")
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    world.flush()
    began_s = world.at_s
    world.destroy()
    world.restore("a", place="live")
    lost = next(e for e in world.entries if isinstance(e, h.RestoreDone)).at_s - 0.01
    world.restore("b", place="live")
    world.restore("q", place="live")
    for begun_s, name in ((began_s, "b.w.x"), (lost, "b.w.y")):
        world.add(
            h.Done(at_s=lost, name=name, actor="writer", tenant="b", outcome="refused", begun_s=begun_s)
        )
    world.end()
    assert the_finding(world, "refusals").operation == "b.w.y"


# Bent drills: shared rows, outbox, catalogue, sequences.


def test_a_shared_row_that_changed_or_vanished_or_came_is_collateral() -> None:
    """Shared rows equal the history."""
    for code, image in (
        ("AT", None),
        ("AT", {"code": "AT", "name": "Australia"}),
        ("XX", {"code": "XX", "name": "Nowhere"}),
    ):
        world = a_drill()
        for tenant in "abq":
            world.restore(tenant)
        if image is None:
            del world.unowned[COUNTRY, (code,)]
        else:
            world.unowned[COUNTRY, (code,)] = dict(image)
        world.end()
        assert the_finding(world, "shared rows").key == (code,)


def test_shared_rows_that_a_fresh_cluster_lacks_are_lost() -> None:
    """They were archived long before the cluster was destroyed."""
    world = begin(survivors="archive")
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    world.flush()
    world.destroy()
    world.unowned.clear()
    finding = the_finding(finish(world), "shared rows")
    assert finding.operation == "shared.0"
    assert finding.loss_s == pytest.approx(8.9, abs=0.1)


def test_shared_rows_that_were_not_read_leave_it_unknown() -> None:
    """Without the final reading nothing is known of them."""
    world = finish(a_drill())
    del world.files["restored/@shared.jsonl"]
    assert the_finding(world, "shared rows").verdict == "unknown"


def test_an_outbox_that_a_restore_fired_is_collateral() -> None:
    """A row by a transaction that is none of the history's."""
    world = a_drill()
    for tenant in "abq":
        world.restore(tenant)
    world.unowned[OUTBOX, ("o1",)] = {"id": "o1", "xid": "999999"}
    world.end()
    assert "999999" in the_finding(world, "outbox").message


def test_an_outbox_row_that_is_missing_or_changed_is_collateral() -> None:
    """What the triggers wrote must stay."""
    for image in (None, {"id": "o1003", "xid": "0"}):
        world = a_drill()
        for tenant in "abq":
            world.restore(tenant)
        if image is None:
            del world.unowned[OUTBOX, ("o1003",)]
        else:
            world.unowned[OUTBOX, ("o1003",)] = dict(image)
        world.end()
        assert the_finding(world, "outbox").key == ("o1003",)


def test_an_outbox_row_of_the_script_itself_is_no_restores_doing() -> None:
    """Its trigger fired on the deletion, and nobody journalled that."""
    world = a_drill()
    xid = next(e.xid for e in world.entries if isinstance(e, h.Sent) and e.actor == "script")
    world.unowned[OUTBOX, ("o1",)] = {"id": "o1", "xid": str(xid)}
    assert finish(world).verdict().verdict == "proven"


def test_an_old_outbox_row_in_a_fresh_cluster_is_collateral() -> None:
    """An outbox is not restored: it begins empty."""
    world = begin(survivors="archive")
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    world.flush()
    old = next((row, dict(image)) for row, image in world.unowned.items() if row[0] == OUTBOX)
    world.destroy()
    world.unowned[old[0]] = old[1]
    assert the_finding(finish(world), "outbox").key == old[0][1]


def test_a_catalogue_that_a_restore_changed_is_collateral() -> None:
    """A trigger left disabled shows in the digest, on the first cluster and on a fresh one."""
    for survivors in ("all", "archive"):
        world = begin(survivors=survivors)
        world.script(("s0", (), (whole("a"), whole("q"))))
        world.hit("s0")
        world.flush()
        if survivors == "archive":
            world.destroy()
            world.catalogue("before the first restore", "empty")
        world.restore("a", place="live")
        world.catalogue("after restore 1", "trigger disabled")
        world.restore("b", place="live" if survivors == "archive" else None)
        world.restore("q", place="live")
        world.end()
        assert the_finding(world, "catalogue").found == "trigger disabled"


def test_a_catalogue_that_was_not_seen_leaves_it_unknown() -> None:
    """Before the first restore, or after the last."""
    for when in ("before the script", "at the end"):
        world = finish(a_drill())
        seen = next(e for e in world.entries if isinstance(e, h.CatalogueSeen) and e.when == when)
        world.entries.remove(seen)
        assert the_finding(world, "catalogue").verdict == "unknown"


def test_a_sequence_that_lies_behind_is_broken() -> None:
    """The next value is one that was given already; one past it is right."""
    for next_value, found in ((2503, {"sequences"}), (9001, {"sequences"}), (9004, set())):
        world = a_drill()
        for tenant in "abq":
            world.restore(tenant)
        world.end(next_value=next_value)
        assert checks(world.verdict()) == found


def test_on_a_fresh_cluster_only_archived_keys_bind_a_sequence() -> None:
    """A key that nobody archived may be given again; a restored one may not."""
    for next_value, found in ((9004, set()), (2001, {"sequences"})):
        world = begin(survivors="archive")
        world.script(("s0", (), (whole("a"), whole("q"))))
        world.hit("s0")
        world.flush()
        world.saved["b"] = dict(world.live["b"])
        world.write("b", item("b", 500_000, "never archived"))
        world.destroy()
        world.restore("a", place="live")
        world.restore("b", place="live")
        world.restore("q", place="live")
        world.end(next_value=next_value)
        assert checks(world.verdict()) == found


def test_sequences_that_were_not_read_leave_it_unknown() -> None:
    """No reading at all, or one without the column."""
    world = finish(a_drill())
    seen = next(e for e in world.entries if isinstance(e, h.SequencesSeen))
    place = world.entries.index(seen)
    world.entries[place] = h.SequencesSeen(at_s=seen.at_s, place="live", when="end", next_values={})
    assert the_finding(world, "sequences").verdict == "unknown"
    del world.entries[place]
    assert the_finding(world, "sequences").verdict == "unknown"


# Bent drills: usable, archived again, honest.


def test_a_next_write_that_is_refused_is_broken() -> None:
    """The application can't write; an open outcome is unknown, and so is no try at all."""
    for outcome, verdict in (("refused", "broken"), ("unknown", "unknown"), (None, "unknown")):
        world = a_drill()
        world.restore("a", probe=False)
        if outcome is not None:
            world.write("a", item("a", 9001, "p"), actor="probe", outcome=outcome, detail="duplicate key")  # type: ignore[arg-type]
        world.restore("b")
        world.restore("q")
        world.end()
        assert the_finding(world, "next write").verdict == verdict


def test_a_restored_tenant_that_is_not_archived_again_is_broken() -> None:
    """No watermark ever passes its next write; in a drill that broke off that is unknown."""
    for complete, verdicts in ((True, {"broken"}), (False, {"unknown"})):
        world = a_drill()
        for tenant in "abq":
            world.restore(tenant)
        seen = len(world.entries)
        world.end(complete=complete)
        world.entries = [
            e for n, e in enumerate(world.entries) if n < seen or not isinstance(e, h.WatermarkSeen)
        ]
        found = some_findings(world, "archived again")
        assert {f.verdict for f in found} == verdicts
        assert {f.tenant for f in found} == {"a", "q"}


def test_a_second_round_that_did_not_happen_leaves_it_unknown() -> None:
    """The plan drew a for it."""
    world = a_drill()
    world.again = ("a",)
    assert the_finding(finish(world), "archived again").verdict == "unknown"


def test_without_any_watermark_nothing_is_known_of_honesty() -> None:
    """A subject that reports none can't be proven honest."""
    world = finish(a_drill())
    world.entries = [e for e in world.entries if not isinstance(e, h.WatermarkSeen)]
    assert "honest" in {f.check for f in findings(world.verdict()) if f.verdict == "unknown"}


def test_what_lay_before_the_watermark_must_be_there_after_the_clusters_loss() -> None:
    """Only a watermark reported before the destruction counts."""
    for before in (True, False):
        world = begin(survivors="archive")
        old = dict(world.live["b"])
        world.write("b", item("b", 2900, "tail"))
        world.script(("s0", (), (whole("a"), whole("q"))))
        if before:
            world.flush(seen=False)
        world.hit("s0")
        lsn = world.lsn
        world.destroy()
        if not before:
            world.add(h.WatermarkSeen(at_s=world.tick(), epoch=1, lsn=lsn))
        world.saved["b"] = old
        assert checks(finish(world).verdict()) == ({"honest"} if before else set())


# Bent drills: restores that gave nothing.


def test_a_restore_that_failed_or_was_refused_is_broken() -> None:
    """The tenant is not back, whatever the reason."""
    for result in ("failed", "refused"):
        world = a_drill()
        world.restore("a", result=result)
        world.restore("b")
        world.restore("q")
        world.end()
        found = findings(world.verdict())
        assert {f.check for f in found if f.verdict == "broken"} == {"restored"}
        assert "census" in {f.check for f in found}


def test_a_skipped_tenant_is_broken_or_unknown() -> None:
    """A restore that brings nothing back loses everything; a tenant that nobody restored has no verdict."""
    world = a_drill()
    world.saved["a"] = {}
    assert {"loss", "honest"} <= checks(finish(world).verdict())
    world = a_drill()
    world.restore("a")
    world.restore("q")
    world.end()
    assert the_finding(world, "census").tenant == "b"


def test_a_restore_without_an_answer_is_unknown() -> None:
    """The drill broke off while the subject was at it."""
    world = a_drill()
    world.restore("a")
    world.entries = [e for e in world.entries if not isinstance(e, h.RestoreDone)]
    found = findings(world.verdict())
    assert {f.verdict for f in found} == {"unknown"}
    assert {"restored", "ended", "census"} <= {f.check for f in found}


def test_a_reading_that_is_not_whole_is_unknown() -> None:
    """Fewer rows are stored than were read, or their file is gone."""
    world = finish(a_drill())
    dropped = next(row for row in world.files["restored/b.jsonl"] if row.restore == 2)
    world.files["restored/b.jsonl"].remove(dropped)
    assert "census" in checks(world.verdict())
    world = finish(a_drill())
    del world.files["restored/a.jsonl"]
    found = some_findings(world, "census")
    assert {(f.tenant, f.restore, f.verdict) for f in found} == {("a", 1, "unknown"), ("a", 0, "unknown")}


def test_what_is_not_known_of_a_base_is_not_judged() -> None:
    """The first restore in place was not read back: neither the second nor the live rows can be judged."""
    world = a_drill()
    world.script(("s1", (), (whole("a"),)))
    world.again = ("a",)
    for tenant in "abq":
        world.restore(tenant)
    world.flush()
    world.hit("s1")
    world.restore("a")
    world.end()
    world.entries = [e for e in world.entries if not (isinstance(e, h.ReadBack) and e.restore == 1)]
    found = some_findings(world, "census")
    assert {(f.restore, f.verdict) for f in found} == {(1, "unknown"), (4, "unknown")}


def test_a_tenant_damaged_and_never_restored_in_place_has_no_live_verdict() -> None:
    """Its second restore failed; so its live rows are what the script left."""
    world = a_drill()
    world.script(("s1", (), (whole("a"),)))
    world.again = ("a",)
    for tenant in "abq":
        world.restore(tenant)
    world.flush()
    world.hit("s1")
    world.restore("a", result="failed")
    world.end()
    found = findings(world.verdict())
    assert {f.check for f in found} == {"restored", "census"}


def test_a_failed_restore_into_a_fresh_cluster_has_no_live_verdict() -> None:
    """b is not damaged, but without a restore there it has no rows."""
    world = begin(survivors="archive")
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    world.flush()
    world.destroy()
    world.restore("a", place="live")
    world.restore("b", place="live", result="failed")
    world.restore("q", place="live")
    world.end()
    assert checks(world.verdict()) == {"restored", "census"}


def test_rows_changed_by_a_neighbours_key_update_move_their_place() -> None:
    """A rekeyed row is expected under its new key only."""
    world = begin()
    image = {"id": "1999", "tenant": "a", "body": "rekeyed"}
    world.write("a", update(ITEM, "1010", **image))
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    world.flush()
    assert finish(world).verdict().verdict == "proven"
