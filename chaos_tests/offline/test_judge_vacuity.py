"""Drills that prove nothing are unknown, with what was missing; a check that crashes is unknown too."""

from __future__ import annotations

from collections.abc import Iterator

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
    delete,
    findings,
    finish,
    insert,
    item,
    mark,
    update,
    whole,
)
from harness.judge import judge
from harness.judge.case import Case
from harness.judge.check import Check
from harness.judge.checks import CHECKS
from harness.judge.rulings import FINDINGS_MAX
from harness.model import history as h
from harness.model.faults import CutLink, Kill, Service
from harness.model.operations import Transaction
from harness.model.plan import Effect, Floors
from harness.model.values import image_of, row_key
from harness.model.verdict import Finding


def the_unknown(world: World, check: str) -> Finding:
    """The only finding of a drill, which must be unknown and of this check."""
    found = findings(world.verdict())
    assert [(finding.check, finding.verdict) for finding in found] == [(check, "unknown")], found
    return found[0]


def without(world: World, kind: type[h.Entry]) -> World:
    """The world without any entry of a kind."""
    world.entries = [entry for entry in world.entries if not isinstance(entry, kind)]
    return world


# The end, the census, the cuts.


def test_a_drill_that_did_not_end_is_unknown() -> None:
    """The harness could not go on, or the history breaks off."""
    world = a_drill()
    for tenant in "abq":
        world.restore(tenant)
    world.end(complete=False)
    assert "gave up" in the_unknown(world, "ended").message
    assert "breaks off" in the_unknown(without(world, h.Ended), "ended").message


def test_a_tenant_that_was_not_read_at_the_end_is_unknown() -> None:
    """The final reading of b is missing."""
    world = finish(a_drill())
    world.entries = [
        e for e in world.entries if not (isinstance(e, h.ReadBack) and (e.restore, e.tenant) == (0, "b"))
    ]
    assert the_unknown(world, "census").tenant == "b"


def test_a_cut_that_the_history_does_not_say_is_unknown() -> None:
    """The harness asked for another transaction, or cut a tenant that was not hit."""
    world = a_drill()
    cut = structs.replace(world.hits["a"], xid=77)
    world.restore("a", cut=cut)
    now = structs.replace(cut, lsn_lower=world.lsn, lsn_upper=world.lsn + 10)
    world.restore("b", cut=now, place="scratch")
    world.restore("q")
    world.end()
    found = findings(world.verdict())
    assert [(f.check, f.tenant) for f in found] == [("cuts", "a"), ("cuts", "b")]


# Faults.


def a_fault(world: World, *entries: h.Entry) -> World:
    """A drill whose plan kills the archiver, with what was seen of that."""
    world.faults = (Kill(service="archiver", phase="write", after_s=1.0, down_s=1.0),)
    world.add(*entries)
    return world


def test_a_fault_must_bite_and_be_healed() -> None:
    """Never injected, not seen to bite, not seen healed: unknown. Bitten and healed: proven."""
    bit = h.FaultBegan(at_s=3.0, fault=0, proof="pid 7 is gone", bit=True)
    missed = h.FaultBegan(at_s=3.0, fault=0, proof="pid 7 lives", bit=False)
    healed = h.FaultHealed(at_s=4.0, fault=0, proof="a heartbeat")
    for entries, words in (((), "never injected"), ((missed,), "not seen to bite"), ((bit,), "healed")):
        assert words in the_unknown(finish(a_fault(a_drill(), *entries)), "faults").message
    assert finish(a_fault(a_drill(), bit, healed)).verdict().verdict == "proven"


def test_a_fault_may_still_bite_when_its_target_is_destroyed() -> None:
    """Nothing is left to be healed."""
    world = begin(survivors="archive")
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    world.flush()
    a_fault(world, h.FaultBegan(at_s=world.at_s, fault=0, proof="gone", bit=True))
    world.destroy()
    assert finish(world).verdict().verdict == "proven"


def test_what_outlives_the_destruction_must_be_healed() -> None:
    """A link that was cut when the cluster died is cut for the next one too, until it is healed."""
    world = begin(survivors="archive")
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    world.flush()
    world.faults = (CutLink(link="archiver-minio", phase="write", after_s=1.0, down_s=9.0),)
    world.add(h.FaultBegan(at_s=world.at_s, fault=0, proof="nobody answers", bit=True))
    world.destroy()
    assert "healed" in the_unknown(finish(world), "faults").message


@pytest.mark.parametrize(("service", "verdict"), [("standby", "proven"), ("archiver", "unknown")])
def test_floors_are_counted_outside_of_faults_that_block_commits(service: Service, verdict: str) -> None:
    """While commits stood still nobody had to write; a fault that blocks none of them excuses nobody."""
    world = a_drill()
    world.faults = (Kill(service=service, phase="write", after_s=0.0, down_s=0.1),) * 2
    phases = {e.phase: e.at_s for e in world.entries if isinstance(e, h.PhaseBegan)}
    first_s, last_s = phases["write"], phases["script"]
    world.add(
        h.FaultBegan(at_s=first_s + 1, struck_s=first_s, fault=0, proof="gone", bit=True),
        h.FaultHealed(at_s=first_s + 2, fault=0, proof="back"),
        h.FaultBegan(at_s=first_s + 1.5, fault=1, proof="gone", bit=True),
        h.FaultHealed(at_s=last_s, fault=1, proof="back"),
        h.FaultBegan(at_s=last_s + 1, fault=0, proof="after all that", bit=True),
    )
    world.add(h.FaultBegan(at_s=0.0, fault=7, proof="of another plan", bit=True))
    world.floors = Floors(rows_per_s=1000.0)
    found = finish(world).verdict()
    assert found.verdict == verdict, findings(found)


# The script.


def test_a_script_that_damaged_nobody_is_unknown_unless_the_plan_said_so() -> None:
    """And one that was to damage nobody must not."""
    world = begin()
    world.script(("s0", (mark("b"),), (mark("b"),)))
    world.hit("s0")
    world.flush()
    assert "damaged nobody" in the_unknown(finish(world), "script").message
    world = begin()
    world.script(("s0", (), (whole("a"), whole("q"))), nobody=True)
    world.hit("s0")
    world.flush()
    assert "damaged a, q" in the_unknown(finish(world), "script").message


def test_a_script_transaction_that_was_never_sent_is_unknown() -> None:
    """Unless it was to be killed, or the cluster was destroyed before."""
    for survivors, killed, unsure in (
        ("all", False, True),
        ("all", True, False),
        ("archive", False, False),
    ):
        world = begin(survivors=survivors)
        world.script(("s0", (), (whole("a"), whole("q"))), ("s1", (), (whole("b"),)))
        if killed:
            world.kill("s1")
        world.hit("s0")
        world.flush()
        if survivors == "archive":
            world.destroy()
        assert checks(finish(world).verdict()) == ({"script"} if unsure else set())


def test_a_script_transaction_that_was_to_be_killed_must_not_commit() -> None:
    """Its COMMIT was sent all the same."""
    world = a_drill()
    world.kill("s0")
    assert "killed" in the_unknown(finish(world), "script").message


def test_a_script_transaction_that_was_refused_changed_nothing() -> None:
    """Its COMMIT was sent and refused; the others did their damage."""
    world = begin()
    world.script(("s0", (), (whole("b"),)), ("s1", (), (whole("a"), whole("q"))))
    world.hit("s0", outcome="refused", spare=list(world.live["b"]))
    world.hits.clear()
    world.saved.clear()
    world.hit("s1")
    world.flush()
    assert finish(world).verdict().verdict == "proven"


def test_a_script_transaction_at_which_nobody_looked_is_unknown() -> None:
    """What it changed is not known."""
    world = begin()
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0", look=False)
    world.flush()
    assert "nobody looked" in the_unknown(finish(world), "script").message


def test_rows_that_the_script_spared_or_took_against_the_model_are_unknown() -> None:
    """A row was seen left that had to go; a row was seen gone that nothing had to remove."""
    world = begin()
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0", spare=[(ITEM, ("1010",))])
    world.flush()
    kept = world.live["a"][ITEM, ("1010",)]
    world.restore("a", set_aside=(h.SetAside(table=ITEM, row=kept),))
    world.restore("b")
    world.restore("q")
    world.end()
    found = [f for f in findings(world.verdict()) if f.check == "script"]
    assert any("left 1 rows" in f.message for f in found)
    assert {f.verdict for f in found} == {"unknown"}


def test_a_cascade_beyond_the_model_is_damage_by_effect() -> None:
    """A note went with its item, which only the look inside the transaction shows."""
    world = begin()
    lone = Effect(tenant="a", mode="permanent", tables=(ITEM,), keys=(("1010",),))
    world.script(("s0", (lone,), (lone,)), ("s1", (), (whole("q"),)))
    del world.live["a"][NOTE, ("n1010",)]
    world.hit("s0")
    world.hit("s1")
    world.flush()
    found = [f for f in findings(finish(world).verdict()) if f.check == "script"]
    assert any("against the model" in f.message and f.key == ("n1010",) for f in found)


def test_counts_that_differ_from_the_model_are_unknown() -> None:
    """The database counted a row more than the model, deleted or marked."""
    for effect, field in ((whole, "deleted"), (mark, "updated")):
        world = begin()
        world.script(("s0", (), (effect("a"), effect("q"))))
        world.hit("s0")
        world.flush()
        finish(world)
        sent = next(e for e in world.entries if isinstance(e, h.Sent) and e.actor == "script")
        assert sent.sight is not None
        counts = {**getattr(sent.sight, field), ROOT: 3}
        sight = structs.replace(sent.sight, **{field: counts})
        world.entries[world.entries.index(sent)] = structs.replace(sent, sight=sight)
        assert f"{ROOT}: 3 rows, the model says 2 to 2" in the_unknown(world, "script").message


def test_a_mark_seen_on_a_row_that_was_not_meant_is_against_the_model() -> None:
    """The new image of an item is there, but the model marks root rows only."""
    world = begin()
    world.script(("s0", (), (mark("a"), mark("q"))))
    world.hit("s0")
    sent = next(e for e in world.entries if isinstance(e, h.Sent) and e.actor == "script")
    image = {**world.live["a"][ITEM, ("1010",)], "body": "marked"}
    stray = h.Change(op="update", key=row_key(ITEM, ("1010",)), row=image_of(image))
    world.entries[world.entries.index(sent)] = structs.replace(sent, changes=(*sent.changes, stray))
    world.flush()
    assert "against the model" in the_unknown(finish(world), "script").message


def test_a_row_marked_already_may_or_may_not_be_marked_again() -> None:
    """The rerun of a mark finds it there: no row or one are both right, and a missed first mark is not."""
    world = begin()
    world.script(
        ("s0", (), (mark("a"), mark("q"))),
        ("s1", (), (mark("a"),)),
    )
    world.hit("s0")
    world.hit("s1")
    world.flush()
    assert finish(world).verdict().verdict == "proven"
    world = begin()
    world.script(("s0", (), (mark("a"), mark("q"))))
    world.hit("s0", spare=[(ROOT, ("a",))])
    world.flush()
    found = findings(finish(world).verdict())
    assert any(f.check == "script" and f.key == ("a",) for f in found)


def test_a_script_transaction_that_is_not_in_the_plan_does_nothing_to_anybody() -> None:
    """Its entry is a stranger: the look inside it still shows what it took."""
    world = a_drill()
    sight = h.Sight(left={"b": world._left("b")}, deleted={}, updated={})
    world.xid += 1
    sent = world.sent("who", "script", None, (), world.at_s, world.tick(), lower=world.lsn, sight=sight)
    world.add(sent)
    assert finish(world).verdict().verdict == "proven"


# Floors.


def test_too_few_transactions_or_rows_are_unknown() -> None:
    """The floors of the plan were not reached."""
    world = finish(a_drill())
    world.floors = Floors(transactions_per_tenant=30, rows_per_s=1.0)
    found = findings(world.verdict())
    assert [(f.check, f.tenant) for f in found] == [("floors", "a"), ("floors", "b")]
    assert "only 29 of 30" in found[0].message
    world.floors = Floors(rows_per_s=100.0)
    assert "rows a second" in the_unknown(world, "floors").message


def test_a_write_phase_that_was_not_seen_is_unknown() -> None:
    """Without its beginning and end there is no rate."""
    assert "write phase" in the_unknown(without(finish(a_drill()), h.PhaseBegan), "floors").message


def test_initial_rows_that_were_not_loaded_are_unknown() -> None:
    """None were planned for b, or its load is not acked."""
    world = finish(a_drill())
    world.tenants["b"]["load"] = []
    assert "none were planned" in the_unknown(world, "floors").message
    world.tenants["b"]["load"] = [Transaction(name="b.load.1", operations=())]
    assert "b.load.1" in the_unknown(world, "floors").message


def test_a_kind_of_operation_that_never_succeeded_is_unknown() -> None:
    """A rollback was planned in the write phase, and never seen; seen, it is counted."""
    world = a_drill()
    world.tenants["b"]["writer"].append(Transaction(name="b.back", operations=(), commit=False))
    finish(world)
    assert "no rollback" in the_unknown(world, "floors").message
    world.add(h.Done(at_s=3.0, name="b.back", actor="writer", tenant="b", outcome="refused"))
    assert world.verdict().verdict == "proven"


def test_a_kind_that_only_the_tail_was_to_perform_is_not_asked_for() -> None:
    """What a writer was to do after the write phase is no floor."""
    world = finish(a_drill())
    plan = world.plan()
    tail = Transaction(name="b.tail", operations=(), commit=False)
    b = structs.replace(plan.tenants[1], writers=((*plan.tenants[1].writers[0], tail),))
    plan = structs.replace(plan, tenants=(plan.tenants[0], b, plan.tenants[2]))
    assert judge(plan, a_schema(), world.entries, world.files).verdict == "proven"


# Whether the budget was put to the test.


def test_a_budget_that_no_write_puts_to_the_test_is_unknown() -> None:
    """Five writes older than it and five younger are needed."""
    world = finish(a_drill())
    world.budget_s = 0.5
    found = findings(world.verdict())
    assert {(f.check, f.tenant) for f in found} == {("provable", "a")}
    world.budget_s = 9.0
    found = findings(world.verdict())
    assert {(f.check, f.tenant) for f in found} == {("provable", "a"), ("provable", "q")}


def test_a_quiet_tenant_that_wrote_again_is_not_quiet() -> None:
    """One write older than the budget, and none after."""
    world = begin()
    world.write("q", item("q", 3002, "again"))
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    world.flush()
    assert the_unknown(finish(world), "provable").tenant == "q"


def test_a_script_that_spares_the_quiet_tenant_is_unknown() -> None:
    """At least one damaged tenant must be quiet."""
    world = begin()
    world.script(("s0", (), (whole("a"),)))
    world.hit("s0")
    world.flush()
    assert "no quiet tenant" in the_unknown(finish(world), "provable").message


def test_a_neighbour_whose_writer_ran_dry_is_unknown() -> None:
    """Before the last restore; not a stopped one, a damaged one, a quiet one, or after it."""
    for tenant, dry, early, unsure in (
        ("b", True, True, True),
        ("b", False, True, False),
        ("b", True, False, False),
        ("a", True, True, False),
        ("q", True, True, False),
    ):
        world = finish(a_drill())
        at_s = 5.0 if early else world.at_s
        world.add(h.WriterEnded(at_s=at_s, tenant=tenant, writer=0, ran_dry=dry))
        assert checks(world.verdict()) == ({"writers"} if unsure else set())


def test_restores_beside_which_no_neighbour_wrote_are_unknown() -> None:
    """Nobody could be disturbed; one write between the first restore and the last is enough."""
    for wrote in (False, True):
        world = a_drill()
        world.writes_on = False
        world.restore("a")
        if wrote:
            world.write("b", item("b", 2900, "beside"))
        world.restore("b")
        world.restore("q")
        world.end()
        assert checks(world.verdict()) == (set() if wrote else {"writers"})


# The judge itself.


def test_a_check_that_crashes_is_unknown_and_takes_nothing_with_it() -> None:
    """Its name and its error are in the finding; what others found stays, what it was to judge is told."""

    def crash(case: Case) -> Iterator[Finding]:
        yield from ()
        raise ZeroDivisionError(f"{case.plan.seed} by zero")

    world = finish(a_drill())
    del world.live["b"]
    verdict = judge(
        world.plan(),
        a_schema(),
        world.entries,
        world.files,
        checks=(
            *CHECKS,
            Check(name="crashing", point=1, run=crash),
            Check(name="crashing", point=0, run=crash),
        ),
    )
    found = findings(verdict)
    assert [(f.check, f.verdict) for f in found] == [("crashing", "unknown")] * 2
    assert "ZeroDivisionError: 1 by zero (test_judge_vacuity.py" in found[0].message
    assert verdict.points_not_judged[1:] == (
        "point 1 by the check crashing (it crashed)",
        "the drill itself by the check crashing (it crashed)",
    )


def test_rows_that_make_no_sense_make_the_drill_unknown() -> None:
    """The case can't even be opened, and no point of the guarantee was judged."""
    world = finish(a_drill())
    world.files = None  # type: ignore[assignment]  # the crash that is wanted
    verdict = world.verdict()
    assert verdict.verdict == "unknown"
    assert verdict.tenants == ()
    assert verdict.worst_loss_s is None
    assert verdict.points_judged == ()
    assert verdict.points_not_judged == (
        "any point of the guarantee (what happened could not be put together)",
    )


def test_many_findings_of_a_kind_are_counted() -> None:
    """Twenty are carried, the rest is a number."""
    world = a_drill()
    for number in range(FINDINGS_MAX + 7):
        image = {"id": f"77{number}", "tenant": "a", "body": "from nowhere"}
        world.saved["a"][ITEM, (image["id"],)] = dict(image)
    found = findings(finish(world).verdict())
    assert len(found) == FINDINGS_MAX + 1
    assert found[-1].message == "and 7 more of this kind"
    assert found[-1].verdict == "broken"


def test_many_unknown_findings_stay_unknown() -> None:
    """The count of what was left out is no worse than what was left out."""

    def doubts(case: Case) -> Iterator[Finding]:
        for number in range(FINDINGS_MAX + len(case.lines)):
            yield Finding(check="doubts", point=0, verdict="unknown", message=str(number))

    world = finish(a_drill())
    check = Check(name="doubts", point=0, run=doubts)
    verdict = judge(world.plan(), a_schema(), world.entries, world.files, checks=(check,))
    assert verdict.verdict == "unknown"
    assert verdict.findings[-1].message == "and 3 more of this kind"


def test_the_verdict_names_the_points_judged_and_not_judged() -> None:
    """What is not asked of a point without attacks or further watermarks is said beside it."""
    verdict = finish(a_drill()).verdict()
    assert [point[0] for point in verdict.points_judged] == ["1", "2", "3", "4", "5", "6", "7", "8"]
    assert verdict.points_not_judged == (
        "point 4 for data erased under the right to be forgotten (there is no eraser yet)",
    )
    assert verdict.script == "a stale list"


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_each_check_passes_a_good_drill(check: Check) -> None:
    """Alone, too, a check finds nothing where nothing is wrong."""
    world = finish(a_drill())
    assert judge(world.plan(), a_schema(), world.entries, world.files, checks=(check,)).verdict == "proven"


def test_checks_have_names_of_their_own() -> None:
    """A finding names its check, so no two may share a name."""
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)


# Outcomes that the history settles.


def test_an_open_insert_is_settled_by_a_later_statement_on_its_row() -> None:
    """An update found the row: it was committed, so it must be in. An insert found none: it was not."""
    for later, there, verdict in (
        (update_of_1900, True, "proven"),
        (update_of_1900, False, "broken"),
        (insert_of_1900, False, "proven"),
        (insert_of_1900, True, "broken"),
    ):
        world = begin()
        twin = item("a", 1901, "its twin")
        world.write("a", item("a", 1900, "open"), twin, outcome="unknown", applied=there)
        world.write("a", later())
        world.script(("s0", (), (whole("a"), whole("q"))))
        world.hit("s0")
        world.flush()
        assert finish(world).verdict().verdict == verdict


def update_of_1900() -> h.Change:
    """An update that found item 1900."""
    return update(ITEM, "1900", id="1900", tenant="a", body="later")


def insert_of_1900() -> h.Change:
    """An insert that found no item 1900."""
    return insert(ITEM, id="1900", tenant="a", body="later")


def test_an_open_deletion_of_a_row_that_an_open_insert_made_leaves_both_open() -> None:
    """Nobody saw either outcome; the row may be there or not."""
    for there in (False, True):
        world = begin()
        world.write("a", item("a", 1900, "open"), outcome="unknown", applied=there)
        world.write("a", delete(ITEM, "1900"), outcome="unknown", applied=False)
        world.write("a", delete(ITEM, "1901"), outcome="unknown", applied=False)
        world.write("b", item("b", 2900, "refused"), outcome="refused")
        world.script(("s0", (), (whole("a"), whole("q"))))
        world.hit("s0")
        world.flush()
        # The deletion found the row, so its insert was committed; the deletion itself is open.
        assert finish(world).verdict().verdict == "proven"


def test_an_open_update_or_one_settled_both_ways_stays_open() -> None:
    """A later statement that fits both outcomes, or two that contradict each other, settle nothing."""
    world = begin()
    opened = update(ITEM, "1010", id="1010", tenant="a", body="o")
    world.write("a", opened, outcome="unknown")
    world.write("a", delete(ITEM, "1010"))
    world.write("a", item("a", 1900, "x"), item("a", 1901, "y"), outcome="unknown", applied=False)
    world.write("a", delete(ITEM, "1900"), insert(ITEM, id="1901", tenant="a", body="z"))
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    world.flush()
    assert finish(world).verdict().verdict == "proven"


def test_a_settled_commit_is_exposed_until_what_came_after_it_is_durable() -> None:
    """Its ack never came with a position, so the next transaction's bounds it."""
    for durable in (False, True):
        world = begin()
        world.flush()
        name = world.write("a", item("a", 1900, "settled"), outcome="unknown", applied=True)
        world.add(h.Settled(at_s=world.tick(), name=name, outcome="acked", witness="a later commit"))
        world.write("b", item("b", 2900, "later"))
        if durable:
            world.flush()
        world.at_s += 4.0
        world.script(("s0", (), (whole("a"), whole("q"))))
        world.hit("s0")
        world.flush()
        exposed = {f.operation for f in findings(finish(world).verdict()) if f.check == "exposure"}
        assert (name in exposed) is not durable


def test_a_script_between_settles_nothing() -> None:
    """The row may have gone with the script instead."""
    world = begin()
    world.write("b", item("b", 2900, "open"), outcome="unknown")
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    world.write("b", insert(ITEM, id="2900", tenant="b", body="new"))
    world.flush()
    assert finish(world).verdict().verdict == "proven"
