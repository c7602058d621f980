"""What a restore in place has to set aside, and what it must not: rows at the edge of what was there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec import structs

from chaos_tests.offline.judge_world import ITEM, World, a_schema, begin, delete, item, update
from chaos_tests.offline.told import damaged, ended, restored
from harness.judge.case import open_case
from harness.judge.checks import set_aside
from harness.model import history as h
from harness.model.plan import Effect

ASIDE = (h.SetAside(table=ITEM, row={"id": "1900", "tenant": "a", "body": "w"}),)
MOVED = frozenset({("a", "b")})
"""Rows of a were to be given to b."""


def after_the_cut(*later: Callable[[World], object]) -> World:
    """A drill in which w wrote item 1900 of a after its damage, and what came later."""
    world = damaged(begin())
    world.write("a", item("a", 1900, "w"), name="w")
    for each in later:
        each(world)
    return world


def told(world: World, gifts: frozenset[tuple[str, str]] = frozenset()) -> list[tuple[str, str]]:
    """Whose restore did wrong, and in which words."""
    case = open_case(ended(world).plan(), a_schema(), world.entries, world.files)
    found = set_aside.CHECK.run(structs.replace(case, gifts=gifts))
    return [(str(finding.tenant), finding.message) for finding in found]


def marked(world: World) -> None:
    """A second script marks that item."""
    only = Effect(tenant="a", mode="mark", tables=(ITEM,), keys=(("1900",),), mark_column="body")
    world.script(("s1", (), (only,)))
    world.hit("s1")


def left_open(world: World) -> None:
    """An update of it whose outcome nobody was told."""
    changed = update(ITEM, "1900", id="1900", tenant="a", body="open")
    world.write("a", changed, outcome="unknown", applied=False)


def ended_as_it_began(world: World) -> None:
    """The restore began at the very instant of the ack."""
    world.at_s = round(world.at_s - 0.01, 6)


LOST = [("a", "row written by w after the cut is gone; it was not set aside")]


@pytest.mark.parametrize(
    ("later", "found"),
    [
        (lambda world: world.tick(), LOST),
        (ended_as_it_began, []),
        (left_open, []),
        (lambda world: world.write("a", delete(ITEM, "1900")), []),
        (marked, []),
    ],
    ids=["there", "acked as the restore began", "an open update", "deleted", "marked by a script"],
)
def test_what_was_certainly_there_when_the_restore_began_is_asked_for(
    later: Callable[[World], object], found: list[tuple[str, str]]
) -> None:
    """As the application wrote it last."""
    assert told(restored(after_the_cut(later))) == found


def test_a_row_that_is_restored_need_not_be_set_aside() -> None:
    """Though an update before that one is not in: nobody was told of its outcome, and it never was."""
    world = begin()
    of_1000 = update(ITEM, "1000", id="1000", tenant="a", body="open")
    world.write("a", of_1000, item("a", 1950, "open"), name="o", outcome="unknown", applied=False)
    world.tick()
    world.write("a", update(ITEM, "1000", id="1000", tenant="a", body="later"))
    world.flush()
    only = Effect(tenant="a", mode="permanent", tables=(ITEM,), keys=(("1001",),))
    world.script(("s0", (), (only,)))
    world.hit("s0")
    assert told(restored(world, "a")) == []


@pytest.mark.parametrize(
    ("order", "gifts", "found"),
    [("baq", MOVED, []), ("baq", frozenset(), LOST), ("abq", MOVED, LOST)],
    ids=["before", "nothing was given", "after"],
)
def test_what_the_one_who_was_given_rows_set_aside_need_not_be_set_aside_again(
    order: str, gifts: frozenset[tuple[str, str]], found: list[tuple[str, str]]
) -> None:
    """If that restore was over when the other began."""
    world = after_the_cut()
    for tenant in order:
        world.restore(tenant, set_aside=ASIDE if tenant == "b" else ())
    assert told(world, gifts) == found


def test_a_restore_that_began_as_the_other_was_over_came_after_it() -> None:
    """On a virtual clock that is one instant."""
    world = after_the_cut()
    world.restore("b", set_aside=ASIDE)
    done_s = next(e.at_s for e in world.entries if isinstance(e, h.RestoreDone))
    restored(world, "a", "q")
    world.entries = [
        structs.replace(e, at_s=done_s) if isinstance(e, h.RestoreBegan) and e.tenant == "a" else e
        for e in world.entries
    ]
    assert told(world, MOVED) == []


@pytest.mark.parametrize(("gifts", "wrong"), [(MOVED, False), (frozenset({("b", "a")}), True)])
def test_only_who_was_given_rows_may_set_those_of_another_aside(
    gifts: frozenset[tuple[str, str]], wrong: bool
) -> None:
    """The restore of b, in place, moved a row of a out of the way."""
    world = damaged(begin())
    old = h.SetAside(table=ITEM, row={"id": "1010", "tenant": "a", "body": "a 1010"})
    world.restore("b", place="live", set_aside=(old,))
    assert told(restored(world, "a", "q"), gifts) == [("b", "row of tenant a was set aside")] * wrong


@pytest.mark.parametrize(
    "moved",
    [
        h.SetAside(table="app.alien", row={}),
        h.SetAside(table=ITEM, row={"id": "77", "tenant": "a", "body": "never written"}),
    ],
    ids=["of no table", "never written"],
)
def test_what_is_nobodys_may_be_set_aside(moved: h.SetAside) -> None:
    """It is taken from nobody else."""
    world = damaged(begin())
    world.restore("a", set_aside=(moved,))
    assert told(restored(world, "b", "q")) == []


def test_what_a_tenant_wrote_under_an_id_of_another_is_its_own() -> None:
    """Ids are given again: b had that row first."""
    world = damaged(begin())
    world.write("b", item("b", 1950, "first"))
    world.write("b", delete(ITEM, "1950"))
    world.write("a", item("a", 1950, "after"))
    moved = h.SetAside(table=ITEM, row={"id": "1950", "tenant": "a", "body": "after"})
    world.restore("a", set_aside=(moved,))
    assert told(restored(world, "b", "q")) == []
