"""Scripts that change the catalogue: what a restore must bring back of it, and what is not its doing."""

from __future__ import annotations

import pytest
from msgspec import structs

from chaos_tests.offline.judge_world import (
    ITEM,
    NOTE,
    OUTBOX,
    ROOT,
    Rows,
    World,
    begin,
    checks,
    delete,
    findings,
    insert,
    item,
    whole,
)
from harness.model import history as h
from harness.model.plan import Effect

DROPPED = (ITEM, OUTBOX)


def drop(tenant: str, *tables: str) -> Effect:
    """Return what a DROP does to one tenant."""
    return Effect(tenant=tenant, mode="drop", tables=tables)


def detach(tenant: str) -> Effect:
    """Return what the loss of a partition may do to one tenant."""
    return Effect(tenant=tenant, mode="detach", tables=(ITEM,), leaf=0)


def dropped_world(*tables: str) -> World:
    """Return a drill whose script dropped tables in which two tenants have rows."""
    world = begin()
    world.catalogue("start")
    world.script(("s0", (), tuple(drop(tenant, *tables) for tenant in "aq")))
    world.hit("s0")
    world.catalogue("before the restores of round 1", "without items")
    world.flush()
    return world


def restored(world: World, *digests: str) -> World:
    """Restore both in place, with these digests seen after each, and the third one beside."""
    for tenant, digest in zip("aq", digests, strict=True):
        world.restore(tenant, place="live")
        world.catalogue(f"after the restore of {tenant}", digest)
    world.restore("b")
    world.end()
    return world


def test_what_the_script_dropped_is_rebuilt_as_of_the_cut() -> None:
    """The digest just before the restore is the script's doing; after it counts the one at the cut."""
    world = restored(dropped_world(ITEM), "same", "same")
    assert checks(world.verdict()) == set()


@pytest.mark.parametrize("digest", ["without items", "unpublished"])
def test_what_is_not_rebuilt_is_broken(digest: str) -> None:
    """The catalogue before the restore is no excuse for a table that is missing, or not published."""
    world = restored(dropped_world(ITEM), digest, digest)
    (finding, *_) = [f for f in findings(world.verdict()) if f.check == "catalogue"]
    assert (finding.verdict, finding.found) == ("broken", digest)


def _refused(world: World, at_s: float) -> None:
    world.add(
        h.Done(
            at_s=at_s,
            begun_s=at_s - 0.001,
            name="b.w.z",
            actor="writer",
            tenant="b",
            outcome="refused",
            detail="no partition found",
        )
    )


def partition_lost() -> World:
    """Return a drill in which a partition went with the items of a and q; those of b lie elsewhere."""
    world = begin()
    world.catalogue("start")
    world.script(("s0", (), tuple(detach(tenant) for tenant in "abq")))
    kept = [row for row in world.live["b"] if row[0] == ITEM]
    world.hit("s0", spare=kept)
    world.hits.pop("b")
    world.saved.pop("b")
    world.flush()
    return world


def bring_back(world: World) -> None:
    """Restore a and q in place, with the catalogue whole after each, and b beside."""
    world.restore("a", place="live")
    world.catalogue("after restore 1")
    world.restore("b")
    world.restore("q", place="live")
    world.catalogue("after restore 3")
    world.end()


def test_a_partition_damages_whose_rows_were_seen_gone() -> None:
    """The model can't say whose they are: what was seen decides, and what stayed is no surprise."""
    world = partition_lost()
    bring_back(world)
    assert checks(world.verdict()) == set()


@pytest.mark.parametrize(("outcome", "broken"), [("unknown", False), ("acked", True)])
def test_who_lost_only_what_nobody_knew_of_may_be_cut_after_it(outcome: h.Outcome, broken: bool) -> None:
    """Half of a transaction went with a partition: whether its tenant was damaged hangs on that outcome."""
    world = begin()
    world.write("b", item("b", 1900, "gone"), item("b", 1901, "left"), outcome=outcome, applied=True)
    gone = (ITEM, ("1900",))
    world.tick(0.1)
    world.script(("s0", (), tuple(detach(tenant) for tenant in "abq")))
    world.hit("s0", spare=[row for row in world.live["b"] if row[0] == ITEM and row != gone])
    world.hits.pop("b")
    world.saved.pop("b")
    world.flush()
    bring_back(world)
    wrong = {found.tenant for found in findings(world.verdict()) if found.verdict == "broken"}
    assert wrong == ({"b"} if broken else set())


def seemingly_hit() -> World:
    """Return a drill in which b seemed to have lost a row with a partition, which it had deleted itself.

    The answer to that COMMIT comes only after the script's. b writes on, all is in the bucket, and then the
    script takes a and q.
    """
    world = begin()
    world.catalogue("start")
    world.script(("s0", (), (detach("b"),)), ("s1", (), (whole("a"), whole("q"))))
    world.write("b", delete(NOTE, "n2028"), delete(ITEM, "2028"), name="late")
    world.hit("s0", spare=[row for row in world.live["b"] if row[0] == ITEM])
    late = next(n for n, e in enumerate(world.entries) if isinstance(e, h.Done) and e.name == "late")
    world.add(structs.replace(world.entries.pop(late), at_s=world.tick()))
    world.write("b", item("b", 1900, "after the cut"))
    world.flush()
    world.tick(0.2)
    world.hit("s1")
    return world


def judged_with(world: World, cut: h.Cut | None, rows: Rows) -> set[str]:
    """Return which checks call it broken that b is brought back in this state, at a cut or at the end."""
    world.hits["b"] = cut or h.Cut()
    world.restore("b", rows=rows, place="live" if cut else "scratch")
    world.catalogue("after restore 1")
    world.restore("a")
    world.restore("q")
    world.end()
    return {found.check for found in findings(world.verdict()) if found.verdict == "broken"}


def test_what_lies_behind_the_cut_that_was_asked_for_is_not_lost() -> None:
    """Found by 2,000 simulated plans: *naming* said so of a restore to where b had not been damaged."""
    world = seemingly_hit()
    assert judged_with(world, world.hits["b"], world.saved["b"]) == set()
    assert [(f.check, f.tenant) for f in findings(world.verdict())] == [("cuts", "b")]


def test_what_lies_before_a_cut_that_was_asked_for_in_vain_is_demanded() -> None:
    """A write that was in the bucket long since is not there."""
    world = seemingly_hit()
    lost = {(ITEM, ("2027",)), (NOTE, ("n2027",))}
    before = {row: image for row, image in world.saved["b"].items() if row not in lost}
    assert {"naming", "honest"} <= judged_with(world, world.hits["b"], before)


def test_what_lies_behind_a_cut_that_was_asked_for_in_vain_must_not_be_there() -> None:
    """It was asked for all the same."""
    world = seemingly_hit()
    assert judged_with(world, world.hits["b"], dict(world.live["b"])) == {"nothing else"}


def test_the_end_of_the_archive_holds_what_an_earlier_cut_would_not() -> None:
    """The same rows are lost where nobody asked for that cut."""
    world = seemingly_hit()
    assert "naming" in judged_with(world, None, world.saved["b"])


@pytest.mark.parametrize(("rebuilt", "broken"), [(False, False), (True, True)])
def test_a_refusal_for_want_of_a_partition_is_the_scripts_doing(rebuilt: bool, broken: bool) -> None:
    """Until a restore was seen to have rebuilt it, a neighbour's row may find no place; then no more."""
    world = partition_lost()
    world.restore("a", place="live")
    done_s = next(e.at_s for e in world.entries if isinstance(e, h.RestoreDone))
    world.catalogue("after restore 1")
    if not rebuilt:
        _refused(world, done_s - 0.001)
    world.restore("q", place="live")
    if rebuilt:
        last = [e for e in world.entries if isinstance(e, h.RestoreBegan)][-1]
        _refused(world, last.at_s + 0.002)
    world.catalogue("after restore 2")
    world.restore("b")
    world.end()
    assert ("refusals" in checks(world.verdict())) == broken


def test_a_refusal_in_a_catalogue_that_nobody_saw_whole_again_is_not_held_against_a_restore() -> None:
    """Without a digest that equals the first one it is the catalogue's check that speaks."""
    world = partition_lost()
    world.restore("a", place="live")
    done_s = next(e.at_s for e in world.entries if isinstance(e, h.RestoreDone))
    _refused(world, done_s - 0.001)
    world.catalogue("after restore 1", "without a leaf")
    world.restore("q", place="live")
    world.restore("b")
    world.end()
    assert "refusals" not in checks(world.verdict())
    assert "catalogue" in checks(world.verdict())


def test_plumbing_that_was_dropped_begins_empty_again() -> None:
    """Its rows are of no restore; those written since must be there."""
    for kept, bad in ((False, False), (True, True)):
        world = begin()
        world.catalogue("start")
        world.write("a", insert(OUTBOX, id="o1", xid=str(world.xid + 1)))
        old = dict(world.unowned)
        world.script(("s0", (), tuple(drop(tenant, *DROPPED) for tenant in "aq")))
        world.hit("s0")
        world.flush()
        if not kept:
            for row in [row for row in world.unowned if row[0] == OUTBOX]:
                del world.unowned[row]
        restored(world, "same", "same")
        assert old.keys() >= {(OUTBOX, ("o1",))}
        assert ("outbox" in checks(world.verdict())) == bad


def test_a_script_that_was_refused_changed_no_catalogue() -> None:
    """Then the catalogue before the restores counts as ever."""
    world = begin()
    world.catalogue("start")
    world.script(
        ("s0", (), tuple(drop(tenant, ITEM) for tenant in "abq")), ("s1", (), (whole("a"), whole("q")))
    )
    began_s, sent_s = world.at_s, world.tick()
    world.add(world.sent("s0", "script", None, (), began_s, sent_s, lower=world.lsn))
    refused_s = world.tick()
    world.add(h.Done(at_s=refused_s, name="s0", actor="script", tenant=None, outcome="refused"))
    world.hit("s1")
    world.catalogue("before the restores of round 1", "changed")
    world.flush()
    world.restore("a", place="live")
    world.restore("b")
    world.restore("q", place="live")
    world.end()
    assert ROOT != ITEM
    assert "catalogue" in checks(world.verdict())
