"""Drills whose primary is destroyed and whose standby goes on: what is demanded across the failover.

The rows stay, positions and transaction ids begin again, and every outcome that nobody was told is settled
by what the promoted primary has.
"""

from __future__ import annotations

import pytest
from msgspec import structs

from chaos_tests.offline.judge_world import (
    ITEM,
    OUTBOX,
    World,
    a_schema,
    apply,
    begin,
    checks,
    findings,
    finish,
    insert,
    item,
    update,
    whole,
)
from harness.judge import judge
from harness.model import history as h
from harness.model.plan import SwitchOver
from harness.model.verdict import DrillVerdict


def a_failover(*, script_goes_on: bool = False) -> World:
    """A good drill until after the failover: a is taken by mistake, then the primary is lost."""
    world = begin(survivors="standby")
    later = (("s1", (), (whole("q"),)),) if script_goes_on else ()
    effects = (whole("a"),) if script_goes_on else (whole("a"), whole("q"))
    world.script(("s0", (), effects), *later)
    world.hit("s0")
    world.flush()
    world.fail_over()
    return world


def broken(verdict: DrillVerdict) -> set[str]:
    """The names of the checks that found something broken."""
    return {finding.check for finding in findings(verdict) if finding.verdict == "broken"}


def test_a_failover_with_nothing_lost_is_proven() -> None:
    """Damaged tenants come back on the promoted primary, neighbours write on, outbox rows are all there."""
    world = a_failover()
    xid = str(world.xid + 1)
    world.write("b", item("b", 2900, "after"), insert(OUTBOX, id="after", xid=xid))
    world.flush()
    assert finish(world).verdict().verdict == "proven"


def test_an_acked_write_that_the_promoted_primary_lacks_is_broken() -> None:
    """The budget forgives nothing of the live rows of a neighbour."""
    world = a_failover()
    world.write("b", item("b", 2901, "before the watermark"))
    del world.live["b"][ITEM, ("2901",)]
    assert "live rows" in broken(finish(world).verdict())


@pytest.mark.parametrize("outcome", ["acked", "refused"])
def test_what_nobody_was_told_may_be_there_or_not(outcome: str) -> None:
    """A write that was open at the crash is settled, and then it is there, or it is not."""
    world = begin(survivors="standby")
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    name = world.write("b", item("b", 2902, "open"), outcome="unknown", applied=outcome == "acked")
    world.flush()
    world.fail_over()
    world.settle(name, "acked" if outcome == "acked" else "refused")
    world.write("b", item("b", 2903, "after"))
    world.flush()
    assert finish(world).verdict().verdict == "proven"


@pytest.mark.parametrize(("outcome", "there"), [("acked", False), ("refused", True)])
def test_what_the_first_snapshot_said_must_stay_so(outcome: str, there: bool) -> None:
    """What it had is demanded at the end, and what it lacked must not come back (FM-19)."""
    world = begin(survivors="standby")
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    name = world.write("b", item("b", 2904, "open"), outcome="unknown", applied=there)
    world.flush()
    world.fail_over()
    world.settle(name, "acked" if outcome == "acked" else "refused")
    assert "live rows" in broken(finish(world).verdict())


def test_a_transaction_in_the_archive_that_the_promoted_primary_lacks_is_a_ghost() -> None:
    """The capture ran ahead of the standby: what a restore brings back never was (FM-20)."""
    world = begin(survivors="standby")
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    ghost = item("b", 2905, "ghost")
    name = world.write("b", ghost, outcome="unknown")
    world.flush()
    world.fail_over()
    world.settle(name, "refused")
    rows = dict(world.live["b"])
    apply(rows, (ghost,))
    world.saved["b"] = rows
    verdict = finish(world).verdict()
    assert broken(verdict) == {"nothing else"}
    assert any("refused transaction" in finding.message for finding in findings(verdict))


def test_an_archive_that_drops_what_came_at_reused_positions_is_broken() -> None:
    """Who folds away by LSN alone loses the first writes of the new timeline (FM-25)."""
    world = a_failover()
    world.write("b", item("b", 2906, "folded away"))
    world.tick()
    world.write("b", item("b", 2907, "kept"))
    world.flush()
    rows = dict(world.live["b"])
    del rows[ITEM, ("2906",)]
    world.saved["b"] = rows
    assert {"prefix", "honest"} <= broken(finish(world).verdict())


def test_a_watermark_after_the_failover_counts() -> None:
    """The archiver lives on: what it reported before a restore is demanded of that restore."""
    world = begin(survivors="standby")
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    world.flush(watermark=False)
    world.write("b", item("b", 2908, "acked just before"))
    world.fail_over()
    world.flush()
    rows = dict(world.live["b"])
    del rows[ITEM, ("2908",)]
    world.saved["b"] = rows
    assert "honest" in broken(finish(world).verdict())


def test_the_rest_of_a_script_may_be_left_where_the_history_says_so() -> None:
    """An operator whose session is lost sends nothing more; that nobody says so is unknown."""
    world = a_failover(script_goes_on=True)
    world.add(h.NotSent(at_s=world.tick(), name="s1", reason="the operator's session was lost"))
    verdict = finish(world).verdict()
    assert "s1 was never sent" not in [finding.message for finding in findings(verdict)]
    silent = finish(a_failover(script_goes_on=True)).verdict()
    assert [f.message for f in findings(silent) if f.check == "script"] == ["s1 was never sent"]


def test_a_script_transaction_that_was_undone_is_sent_again() -> None:
    """It is refused, by the promoted primary; the second try counts, with its own cut."""
    world = begin(survivors="standby")
    world.script(("s0", (), (whole("a"), whole("q"))))
    before = {tenant: dict(rows) for tenant, rows in world.live.items()}
    world.hit("s0", outcome="unknown")
    world.fail_over()
    world.live = before
    world.hits.clear()
    world.settle("s0", "refused")
    world.hit("s0")
    world.flush()
    assert finish(world).verdict().verdict == "proven"


def test_what_an_application_wrote_after_the_failover_is_set_aside() -> None:
    """A row of a damaged tenant, written on the promoted primary, must not be dropped by its restore."""
    world = a_failover()
    world.write("a", item("a", 1901, "too late"))
    assert "set aside" in broken(finish(world).verdict())


def test_a_statement_on_the_promoted_primary_shows_what_became_of_an_open_write() -> None:
    """It found the row as the open transaction left it, so that one is there for good."""
    world = a_failover()
    world.cluster = 1
    world.write("b", item("b", 2909, "open"), outcome="unknown", applied=True)
    world.cluster = 2
    world.write("b", update(ITEM, "2909", id="2909", tenant="b", body="changed"))
    world.flush()
    assert finish(world).verdict().verdict == "proven"


def test_after_a_failover_the_budget_of_an_undamaged_tenant_counts_from_the_crash() -> None:
    """Its incident is the loss of the primary."""
    verdict = finish(a_failover()).verdict()
    assert {tenant.tenant for tenant in verdict.tenants if tenant.damaged} == {"a", "q"}
    assert checks(verdict) == set()


def switched(*seen: tuple[int, bool]) -> DrillVerdict:
    """The verdict on a drill whose plan has two switchovers, of which these were ``seen``."""
    world = begin()
    for number, archived in seen:
        entry = h.SwitchedOver(at_s=world.tick(), number=number, proof="it follows", archived=archived)
        world.add(entry)
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    world.flush()
    finish(world)
    plan = structs.replace(world.plan(), switchovers=(SwitchOver(after_s=0.0), SwitchOver(after_s=1.0)))
    return judge(plan, a_schema(), world.entries, world.files)


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (((1, True),), "switchover 2 was not seen to come to its end"),
        (((2, True),), "switchover 1 was not seen to come to its end"),
        (((1, True), (2, False)), "no heartbeat came through after switchover 2"),
    ],
)
def test_each_switchover_is_seen_to_its_end(seen: tuple[tuple[int, bool], ...], words: str) -> None:
    """A pair that was not whole again proves nothing about the next failover (FM-23)."""
    verdict = switched(*seen)
    assert verdict.verdict == "unknown"
    assert [f.message for f in findings(verdict) if f.check == "switchovers"] == [words]


def test_switchovers_that_were_seen_to_their_end_are_no_finding() -> None:
    """All are there, and the archive knows each new timeline."""
    assert switched((1, True), (2, True)).verdict == "proven"
