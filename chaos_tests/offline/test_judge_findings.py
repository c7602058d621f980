"""What findings tell besides their check: whose, of which write, by how much. Mutants showed the want."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from msgspec import structs

from chaos_tests.offline.judge_world import (
    COUNTRY,
    ITEM,
    NOTE,
    OUTBOX,
    World,
    begin,
    checks,
    delete,
    finish,
    insert,
    item,
    whole,
)
from chaos_tests.offline.told import damaged, ended, restored, the_finding, written
from harness.model import history as h
from harness.model.plan import Effect
from harness.model.verdict import Finding


def a_write_lost(*, flushed_s: float, said: bool) -> World:
    """A drill in which a's last write was durable ``flushed_s`` before the damage, and does not come back.

    ``said``: a watermark told of it.
    """
    world = begin()
    old = dict(world.live["a"])
    world.write("a", item("a", 1900, "lost"))
    world.flush(watermark=said)
    world.at_s += flushed_s
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    world.saved["a"] = old
    return finish(world)


def the_loss_s(world: World) -> float:
    """The loss of a, by the verdict."""
    loss_s = next(tenant.loss_s for tenant in world.verdict().tenants if tenant.tenant == "a")
    assert loss_s is not None
    return loss_s


def test_a_write_before_the_watermark_is_told_whole() -> None:
    """Tenant, restore, the first row that it wrote, its name, and how old it was."""
    world = a_write_lost(flushed_s=0.2, said=True)
    found = the_finding(world, "honest")
    assert 0.0 < the_loss_s(world) < 1.0
    assert found == Finding(
        check="honest",
        point=8,
        verdict="broken",
        message=found.message,
        tenant="a",
        restore=1,
        table=ITEM,
        key=("1900",),
        operation=found.operation,
        loss_s=round(the_loss_s(world), 6),
    )
    assert found.operation is not None
    assert found.message.startswith(f"{found.operation} lay before the watermark 1:")
    assert found.message.endswith(", and is not restored")


def test_a_wrong_name_is_told_whole() -> None:
    """What was lost, what was exposed, and which write was durable."""
    world = a_write_lost(flushed_s=0.2, said=False)
    found = the_finding(world, "naming")
    loss_s = the_loss_s(world)
    assert found == Finding(
        check="naming",
        point=1,
        verdict="broken",
        message=f"{loss_s:.3f} s were lost, but by the objects that the subject named only 0.000 s were"
        f" exposed: {found.operation} was durable, and is not there",
        tenant="a",
        restore=1,
        operation=found.operation,
        loss_s=round(loss_s, 6),
    )


def listing_every(world: World, interval_s: float | None) -> World:
    """The same drill with another interval of the harness's listing, None where nobody told of one."""
    world.entries = [
        structs.replace(entry, listing_interval_s=interval_s or 0.0)
        if isinstance(entry, h.Started)
        else entry
        for entry in world.entries
        if interval_s is not None or not isinstance(entry, h.Started)
    ]
    return world


def test_a_loss_of_the_exposure_and_one_listing_interval_may_be() -> None:
    """It is not greater; a moment more is, and so is any where nobody told of an interval."""
    loss_s = the_loss_s(a_write_lost(flushed_s=0.2, said=False))
    for interval_s, wrong in ((loss_s, False), (loss_s - 0.001, True), (None, True)):
        world = listing_every(a_write_lost(flushed_s=0.2, said=False), interval_s)
        assert checks(world.verdict()) == ({"naming"} if wrong else set())


def test_where_no_object_was_named_none_was_named_wrongly() -> None:
    """A loss says nothing about names then."""
    world = a_write_lost(flushed_s=0.2, said=False)
    world.entries = [entry for entry in world.entries if not isinstance(entry, h.NeedsNamed)]
    assert checks(world.verdict()) == {"exposure"}


# Each check's findings whole.

TOO_OLD = "acked 5.010 s before the incident (damaged by s0)"
B_ITEM = {"id": "2900", "tenant": "b", "body": "x"}


Told = tuple[World, Finding]
CASES: list[Callable[[], Told]] = []


def told(case: Callable[[], Told]) -> Callable[[], Told]:
    """Have the finding of a drill, of which it is the first of its check, told whole."""
    CASES.append(case)
    return case


of_a = partial(Finding, verdict="broken", tenant="a", restore=1)
of_w = partial(of_a, table=ITEM, key=("1900",), operation="w")


@told
def a_wrong_cell() -> Told:
    """A value that nobody wrote."""
    world = written(item("a", 1900, "x"))
    world.saved["a"][ITEM, ("1900",)]["body"] = "y"
    words = "cell differs; expected 'x', found 'y'; written by w"
    return finish(world), of_w(
        check="exact", point=1, message=words, column="body", expected="x", found="y"
    )


@told
def a_hole() -> Told:
    """A write that is not there, and the later one that is."""
    world = begin()
    world.write("a", item("a", 1900, "x"), name="w")
    world.tick()
    world.write("a", item("a", 1901, "x"), name="w2")
    del damaged(world).saved["a"][ITEM, ("1900",)]
    words = "row is missing; written by w; although w2, which came after it, is in"
    return finish(world), of_w(check="prefix", point=2, message=words)


@told
def a_strange_row() -> Told:
    """Nobody wrote it, so that no operation is named."""
    world = damaged(begin())
    world.saved["a"][ITEM, ("77",)] = {"id": "77", "tenant": "a", "body": "x"}
    words = "row was never written"
    return finish(world), of_a(check="nothing else", point=3, message=words, table=ITEM, key=("77",))


def a_deletion_undone(*, late_s: float = 0.0) -> World:
    """The last that a did was a deletion, 5.01 s before the damage, and its restore does not know of it."""
    world = begin()
    world.add(h.Stalled(at_s=world.at_s, late_s=late_s))
    before = dict(world.live["a"])
    world.write("a", delete(NOTE, "n1010"), name="w")
    world.at_s += 5.0
    damaged(world).saved["a"] = before
    return finish(world)


of_note = partial(of_a, table=NOTE, key=("n1010",), operation="w", loss_s=5.01)


@told
def a_loss() -> Told:
    """The earliest write that is lost, and how old it was."""
    words = f"lost: w, {TOO_OLD}; the budget is 3 s"
    return a_deletion_undone(), of_note(check="loss", point=1, message=words)


@told
def a_loss_on_a_machine_that_stood_still() -> Told:
    """Unknown under the promise, with the reason."""
    words = f"lost: w, {TOO_OLD}; the budget is 3 s; the machine stood still for 1.1 s"
    world = a_deletion_undone(late_s=1.1)
    return world, of_note(check="loss", point=1, message=words, verdict="unknown")


@told
def a_write_that_is_not_durable() -> Told:
    """It is there, and would have been lost with the cluster."""
    world = begin()
    world.flush()
    world.write("a", item("a", 1900, "x"), name="w")
    world.at_s += 5.0
    words = f"not yet durable in the bucket: w, {TOO_OLD}; the budget is 3 s"
    return finish(damaged(world)), of_w(check="exposure", point=1, message=words, loss_s=5.01)


@told
def a_row_long_gone() -> Told:
    """Its deletion was older than the budget."""
    words = f"row was deleted for good reason by w, {TOO_OLD}, and is back; the budget is 3 s"
    return a_deletion_undone(), of_note(check="resurrection", point=4, message=words)


@told
def a_row_not_set_aside() -> Told:
    """It was written after the cut, and its restore threw it away."""
    world = damaged(begin())
    world.write("a", item("a", 1900, "x"), name="w")
    words = "row written by w after the cut is gone; it was not set aside"
    return finish(world), of_w(check="set aside", point=3, message=words)


@told
def a_neighbours_row_set_aside() -> Told:
    """No operation is named: nothing is said against its writer."""
    world = written(insert(ITEM, **B_ITEM), tenant="b")
    world.restore("a", set_aside=(h.SetAside(table=ITEM, row=dict(B_ITEM)),))
    words = "row of tenant b was set aside"
    found = of_a(check="set aside", point=3, message=words, table=ITEM, key=("2900",))
    return ended(restored(world, "b", "q")), found


@told
def a_live_row_that_changed() -> Told:
    """Restore 0 is the final reading."""
    world = restored(written(insert(ITEM, **B_ITEM), tenant="b"))
    world.live["b"][ITEM, ("2900",)] = {**B_ITEM, "body": "y"}
    return ended(world), Finding(
        check="live rows",
        point=5,
        verdict="broken",
        message="cell differs; expected 'x', found 'y'; written by w",
        tenant="b",
        restore=0,
        table=ITEM,
        key=("2900",),
        column="body",
        expected="x",
        found="y",
        operation="w",
    )


of_nobody = partial(Finding, verdict="broken", point=5)
of_austria = partial(of_nobody, check="shared rows", table=COUNTRY, key=("AT",), operation="shared.0")


@told
def a_shared_row_that_changed() -> Told:
    """It is no tenant's."""
    world = restored(damaged(begin()))
    world.unowned[COUNTRY, ("AT",)] = {"code": "AT", "name": "Australia"}
    words = "shared row differs from the history: wrong cell"
    return ended(world), of_austria(message=words, column="name", expected="Austria", found="Australia")


@told
def a_shared_row_that_was_lost_with_the_cluster() -> Told:
    """With the age that it had when the cluster was destroyed."""
    world = damaged(begin(survivors="archive"))
    world.destroy()
    world.unowned.clear()
    written_s = next(e.at_s for e in world.entries if isinstance(e, h.Done) and e.name == "shared.0")
    lost_s = round(next(e.at_s for e in world.entries if isinstance(e, h.Destroyed)) - written_s, 6)
    words = "shared rows of shared.0 are not in the fresh cluster"
    return finish(world), of_austria(message=words, loss_s=lost_s)


of_outbox = partial(of_nobody, check="outbox", table=OUTBOX, key=("o1",))


@told
def an_outbox_row_that_a_restore_wrote() -> Told:
    """By a transaction that nobody sent."""
    world = restored(damaged(begin()))
    world.unowned[OUTBOX, ("o1",)] = {"id": "o1", "xid": "999"}
    words = "row of transaction 999, which is none of the history's: a restore wrote it"
    return ended(world), of_outbox(message=words)


@told
def an_outbox_row_that_is_missing() -> Told:
    """It names who wrote it."""
    world = restored(written(insert(OUTBOX, id="o1", xid="9")))
    del world.unowned[OUTBOX, ("o1",)]
    return ended(world), of_outbox(message="row written by w is missing", operation="w")


@told
def an_outbox_row_that_changed() -> Told:
    """Its transaction is another one."""
    world = restored(written(insert(OUTBOX, id="o1", xid="9")))
    world.unowned[OUTBOX, ("o1",)] = {"id": "o1", "xid": "8"}
    words = "row differs from the history: wrong cell"
    return ended(world), of_outbox(message=words, column="xid", expected="9", found="8", operation="w")


@told
def a_catalogue_that_changed() -> Told:
    """Both are named by when they were seen."""
    world = restored(damaged(begin()), "a")
    world.catalogue("after restore 1", "odd")
    words = "the catalogue after restore 1 differs from the one before the script"
    found = of_nobody(check="catalogue", message=words, expected="same", found="odd")
    return ended(restored(world, "b", "q")), found


@told
def a_sequence_that_lies_behind() -> Told:
    """The highest number given, and by whom; the next one is the least that may come."""
    world = restored(written(item("a", 500_000, "x")))
    return ended(world, next_value=500_000), Finding(
        check="sequences",
        point=6,
        verdict="broken",
        message=f"the next value of {ITEM}.id is 500000, but 500000 was given already",
        table=ITEM,
        column="id",
        expected="500001",
        found="500000",
        operation="w",
    )


def a_next_write(outcome: h.Outcome | None) -> World:
    """A drill in which p, the next write of a after its restore, ends so."""
    world = damaged(begin())
    world.restore("a", probe=False)
    if outcome is not None:
        change = item("a", 9001, "p")
        world.write("a", change, actor="probe", name="p", outcome=outcome, detail="duplicate key")
    return ended(restored(world, "b", "q"))


@told
def a_next_write_that_was_refused() -> Told:
    """It names the write."""
    words = "the next write was refused: duplicate key"
    return a_next_write("refused"), of_a(check="next write", point=6, message=words, operation="p")


unsure_of_a = partial(Finding, point=0, verdict="unknown", tenant="a")


@told
def a_next_write_of_which_nobody_knows() -> Told:
    """Unknown, with what the client was told."""
    words = "the outcome of p is open: duplicate key"
    return a_next_write("unknown"), unsure_of_a(check="next write", message=words, restore=1)


@told
def a_next_write_that_nobody_tried() -> Told:
    """Unknown."""
    words = "no write was tried after the restore"
    return a_next_write(None), unsure_of_a(check="next write", message=words, restore=1)


def a_refusal(outcome: h.Outcome, detail: str) -> World:
    """A drill in which n of the neighbour b ends so while a is restored."""
    world = damaged(begin())
    world.restore("a")
    at_s = next(e for e in world.entries if isinstance(e, h.RestoreBegan)).at_s + 0.05
    done = h.Done(at_s=at_s, name="n", actor="writer", tenant="b", outcome=outcome, detail=detail)
    world.add(done)
    return ended(restored(world, "b", "q"))


of_refused = partial(of_nobody, check="refusals", tenant="b", restore=1, operation="n")


@told
def a_refusal_beside_a_restore() -> Told:
    """Whose it was, and who was restored."""
    words = "n was refused while tenant a was restored: deadlock detected"
    return a_refusal("refused", "deadlock detected"), of_refused(message=words)


@told
def an_open_outcome_beside_a_restore() -> Told:
    """It counts as well, with or without a reason."""
    words = "n was left open while tenant a was restored: no reason given"
    return a_refusal("unknown", ""), of_refused(message=words)


@told
def a_second_round_that_did_not_come() -> Told:
    """The plan drew the tenant for it."""
    world = damaged(begin())
    world.again = ("a",)
    words = "it was not damaged and restored a second time"
    return finish(world), unsure_of_a(check="archived again", message=words)


def not_archived_again(*, complete: bool) -> World:
    """A drill in which no watermark came after the restores."""
    world = damaged(begin())
    world.restore("b")
    world.restore("a", probe=False)
    world.write("a", item("a", 9001, "p"), actor="probe", name="p")
    world.restore("q", probe=False)
    world.end(complete=complete)
    world.entries.remove([e for e in world.entries if isinstance(e, h.WatermarkSeen)][-1])
    return world


NEVER_PASSED = "the watermark never passed p; the last one was 1:0/2E4"


@told
def a_tenant_that_is_not_archived_again() -> Told:
    """Its first write after the restore, and how far the archive came."""
    found = Finding(
        check="archived again", point=6, verdict="broken", message=NEVER_PASSED, tenant="a", operation="p"
    )
    return not_archived_again(complete=True), found


@told
def a_tenant_of_whom_the_archive_was_not_asked() -> Told:
    """The drill broke off, so that it is unknown."""
    return not_archived_again(complete=False), unsure_of_a(check="archived again", message=NEVER_PASSED)


def by_the_script(*effects: Effect, spare: tuple[str, ...] = (), cascade: bool = False) -> World:
    """A drill whose script has these effects and takes q; items are spared, or a note goes along."""
    world = begin()
    world.script(("s0", (), (*effects, whole("q"))))
    if cascade:
        del world.live["a"][NOTE, ("n1010",)]
    world.hit("s0", spare=[(ITEM, (number,)) for number in spare])
    world.flush()
    return finish(world)


of_s0 = partial(Finding, check="script", point=0, verdict="unknown", tenant="a", operation="s0")


@told
def rows_that_the_script_left() -> Told:
    """How many, and one of them."""
    words = f"s0 left 2 rows, of {ITEM} for one"
    world = by_the_script(whole("a"), spare=("1010", "1011"))
    return world, of_s0(message=words, table=ITEM, key=("1010",))


@told
def a_row_that_went_along() -> Told:
    """Nothing had to remove it."""
    only = Effect(tenant="a", mode="permanent", tables=(ITEM,), keys=(("1010",),))
    words = f"s0 changed, against the model, 1 rows, of {NOTE} for one"
    return by_the_script(only, cascade=True), of_s0(message=words, table=NOTE, key=("n1010",))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__.replace("_", " "))
def test_a_finding_is_told_whole(case: Callable[[], Told]) -> None:
    """Its point, its words, whose it is, the restore, row and cell, the write, and by how much."""
    world, expected = case()
    assert the_finding(world, expected.check, tenant=expected.tenant) == expected
