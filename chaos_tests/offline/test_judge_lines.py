"""A tenant's line: which steps each of its stretches has, and from which rows it begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pytest
from msgspec import structs

from chaos_tests.offline.judge_world import ROOT, World, a_schema, item, mark, whole
from harness.judge.lines import Line, Stretch, draw
from harness.judge.readings import owned_keys
from harness.judge.states import State, Step
from harness.judge.timeline import Timeline, index
from harness.model import history as h
from harness.model.values import Image, RowKey, image_of, row_key

A = row_key(ROOT, ("a",))
READ: Mapping[RowKey, Image] = {A: image_of({"id": "a", "deleted_at": None})}
"""What is read back after each restore but the third."""


class Part(NamedTuple):
    """A stretch, told: its base, whether it is fresh, its steps, and how many of them its state follows."""

    base: int | None
    fresh: bool
    steps: list[str]
    known: list[int]


def part(stretch: Stretch) -> Part:
    """What a stretch is."""
    steps = [f"{step.tx.name} ({step.role})" for step in stretch.steps]
    base = stretch.base.number if stretch.base else None
    return Part(base, stretch.fresh, steps, [state.steps for state in stretch.known])


def lines(world: World, *, known: int = 2) -> tuple[Timeline, dict[str, Line]]:
    """The line of each tenant, and the history that they were drawn from.

    ``known``: of how many rows it is known, when they are read back, that they may come.
    """
    asked: list[tuple[int, str, int]] = []

    def found(number: int, tenant: str, rows: Mapping[RowKey, Image]) -> Mapping[RowKey, Image] | None:
        asked.append((number, tenant, len(rows)))
        return None if number == 3 else READ

    schema = a_schema()
    timeline = index(world.entries, owned_keys(schema))
    drawn = {line.tenant: line for line in draw(world.plan(), schema, timeline, found)}
    assert {(tenant, rows) for _, tenant, rows in asked} <= {("a", known)}
    return timeline, drawn


def a_world() -> World:
    """Tenants a and b, loaded; nobody writes beside restores."""
    world = World()
    world.writes_on = False
    for tenant in "ab":
        world.tenant(tenant)
    return world


def test_a_line_is_what_befell_a_tenant_in_the_order_of_commits() -> None:
    """Its own writes, open ones too, and what scripts did; not what was refused, or wrote no row of it."""
    world = a_world()
    world.script(("s0", (mark("a"),), (mark("a"),)), ("s1", (), (whole("a"),)), ("s2", (), (whole("a"),)))
    began_s = world.at_s
    world.hit("s0")
    world.write("a", item("a", 1, "x"), name="w", begun_s=began_s)
    world.write("a", item("a", 2, "x"), name="open", outcome="unknown")
    world.write("a", item("a", 3, "x"), name="no", outcome="refused")
    world.write("a", name="nothing")
    world.hit("s2", outcome="refused", spare=list(world.live["a"]))
    world.hit("s1")
    _, drawn = lines(world)
    own = ["w (own)", "open (own)"]
    steps = ["a.load (own)", "s0 (intended)", *own, "s1 (damage)"]
    assert [part(stretch) for stretch in drawn["a"].stretches] == [Part(None, False, steps, [1])]
    assert [part(stretch) for stretch in drawn["b"].stretches] == [Part(None, False, ["b.load (own)"], [1])]
    assert [step.tx.name for step in drawn["a"].scripted] == ["s0", "s1"]
    assert [step.tx.name for step in drawn["a"].damage] == ["s1"]
    assert [forecast.tx.name for forecast in drawn["a"].forecasts] == ["s0", "s1"]
    assert (drawn["a"].tenant, drawn["b"].scripted, drawn["b"].forecasts) == ("a", [], [])


def test_a_script_that_found_nothing_of_a_tenant_is_forecast_and_no_step() -> None:
    """Nor is what was known before it known later."""
    world = a_world()
    world.script(("s0", (), (whole("a"),)), ("s1", (), (whole("a"),)))
    world.hit("s0")
    world.hit("s1")
    _, drawn = lines(world)
    assert [part(s) for s in drawn["a"].stretches] == [
        Part(None, False, ["a.load (own)", "s0 (damage)"], [1])
    ]
    assert [forecast.tx.name for forecast in drawn["a"].forecasts] == ["s0", "s1"]


def test_a_script_that_is_in_no_plan_touches_whom_it_looked_at() -> None:
    """It took all of b, by what was seen left."""
    world = a_world()
    world.tick()
    sight = h.Sight(left={"b": {}}, deleted={}, updated={})
    world.add(world.sent("who", "script", None, (), world.at_s, world.tick(), lower=1, sight=sight))
    _, drawn = lines(world)
    assert [step.tx.name for step in drawn["b"].damage] == ["who"]
    assert drawn["a"].scripted == []


def restored_twice() -> World:
    """A drill in which a, damaged, is restored beside, and in place before and after it wrote.

    The third restore was not read back, and a fourth one was refused.
    """
    world = a_world()
    world.script(("s0", (), (whole("a"),)))
    world.hit("s0")
    world.restore("a", place="scratch")
    world.restore("a", place="live", probe=False)
    world.write("a", item("a", 1, "x"), name="w")
    world.restore("a", place="live", probe=False)
    world.restore("a", place="live", result="refused")
    return world


def test_each_restore_in_place_begins_a_stretch_with_what_was_read_back() -> None:
    """With nothing where it was not; and what it has to bring back is the stretch before it."""
    timeline, drawn = lines(restored_twice())
    line = drawn["a"]
    assert [part(stretch) for stretch in line.stretches] == [
        Part(None, False, ["a.load (own)", "s0 (damage)"], [1]),
        Part(2, False, ["restore 2 (restore)", "w (own)"], []),
        Part(3, False, ["restore 3 (restore)"], [1]),
    ]
    assert [stretch.steps[0].writes for stretch in line.stretches[1:]] == [READ, {}]
    assert [line.stretches.index(line.before(restore)) for restore in timeline.restores] == [0, 0, 1, 2]
    assert line.live is line.stretches[-1]
    assert (len(line.rows), line.live_rows) == (2, {})
    assert (len(drawn["b"].rows), len(drawn["b"].live_rows)) == (2, 2)


def test_a_restore_in_place_stands_as_a_transaction_of_its_own() -> None:
    """It was committed, and took as long as the restore did."""
    timeline, drawn = lines(restored_twice())
    restore = timeline.restores[1]
    tx = drawn["a"].stretches[1].steps[0].tx
    assert (tx.order, tx.actor, tx.tenant, tx.cluster, tx.xid) == (-1, "restore", "a", 1, 0)
    times_s = (tx.begun_s, tx.sent_s, tx.ended_s)
    assert times_s == (restore.began_s, restore.began_s, restore.done_s)
    assert tx.acked


def test_with_the_cluster_all_rows_go() -> None:
    """What begins then is never brought back itself; the fresh cluster goes on from a restore in place."""
    world = a_world()
    world.destroy()
    world.restore("a", place="live", probe=False)
    world.write("a", item("a", 1, "x"), name="w")
    world.write("b", item("b", 1, "x"), name="v")
    timeline, drawn = lines(world, known=0)
    assert [part(stretch) for stretch in drawn["a"].stretches] == [
        Part(None, False, ["a.load (own)"], []),
        Part(None, True, [], []),
        Part(1, False, ["restore 1 (restore)", "w (own)"], [2]),
    ]
    assert [part(s) for s in drawn["b"].stretches][1:] == [Part(None, True, ["v (own)"], [1])]
    assert drawn["a"].before(timeline.restores[0]) is drawn["a"].stretches[0]


def test_what_a_destroyed_cluster_was_told_comes_before_its_loss() -> None:
    """Whenever its COMMIT was sent: only its cluster counts."""
    world = a_world()
    world.destroy()
    world.cluster = 1
    world.write("a", item("a", 1, "x"), name="late")
    _, drawn = lines(world)
    assert [part(s).steps for s in drawn["a"].stretches] == [["a.load (own)", "late (own)"], []]


def test_a_state_is_known_after_the_very_steps_that_lead_to_it() -> None:
    """Not after fewer, nor after as many of which the last is another."""
    _, drawn = lines(a_world())
    load = drawn["a"].live.steps[0]
    other = Step(tx=load.tx, writes={})
    state = State(steps=1, rows={})
    stretch = Stretch(steps=[load, other], known=[state])
    assert stretch.known_of([load]) is state
    assert [stretch.known_of(steps) for steps in ([], [other], [load, other])] == [None] * 3
    assert Stretch(steps=[], known=[State(steps=0, rows={})]).known_of([]) is None


def test_a_script_at_which_nobody_looked_touches_whom_it_was_to() -> None:
    """By the plan alone."""
    world = a_world()
    world.script(("s0", (), (whole("a"),)))
    world.hit("s0", look=False)
    _, drawn = lines(world)
    assert ([step.tx.name for step in drawn["a"].damage], drawn["b"].scripted) == (["s0"], [])


def test_a_tenant_that_never_wrote_has_an_empty_line() -> None:
    """Its load never came so far."""
    world = a_world()
    world.tenants["c"] = {"quiet": False, "load": [], "writer": [], "probe": []}
    _, drawn = lines(world)
    assert [part(stretch) for stretch in drawn["c"].stretches] == [Part(None, False, [], [0])]


def test_what_was_sent_at_the_same_instant_stays_in_order() -> None:
    """As it was told."""
    world = a_world()
    names = [world.write("a", item("a", number, "x"), name=f"w{number}") for number in range(3)]
    world.entries = [
        structs.replace(e, at_s=5.0) if isinstance(e, h.Sent) and e.name in names else e
        for e in world.entries
    ]
    _, drawn = lines(world)
    assert [step.tx.name for step in drawn["a"].live.steps] == ["a.load", *names]


@pytest.mark.parametrize("seen", [True, False])
def test_the_cluster_that_is_lost_is_the_last_one_before(seen: bool) -> None:
    """It may have answered at that very instant; of none that was ever seen it is the first."""
    world = a_world()
    if seen:
        world.fail_over()
    else:
        world.entries = [entry for entry in world.entries if not isinstance(entry, h.ClusterSeen)]
    world.write("a", item("a", 1, "x"), name="before")
    wiped_s = next((e.at_s for e in world.entries if isinstance(e, h.ClusterSeen) and e.cluster == 2), 9.0)
    world.add(h.Destroyed(at_s=wiped_s, survivors="archive", services=("primary",)))
    world.cluster += 1
    world.write("a", item("a", 2, "x"), name="after")
    _, drawn = lines(world)
    assert [part(s).steps for s in drawn["a"].stretches] == [
        ["a.load (own)", "before (own)"],
        ["after (own)"],
    ]
