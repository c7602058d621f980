"""Serializable transactions that conflict and are tried again: each try is a transaction of its own."""

from __future__ import annotations

import pytest

from chaos_tests.offline.judge_world import (
    ITEM,
    World,
    a_drill,
    begin,
    checks,
    findings,
    finish,
    item,
    update,
    whole,
)
from harness.model import history as h

FIRST, SECOND = (update(ITEM, "1001", id="1001", tenant="a", body=f"try {n}") for n in (1, 2))


def conflicted(*, at_commit: bool = True, pause_s: float = 0.0) -> World:
    """Return a drill in which a write of a meets another one; the second try is acknowledged.

    ``at_commit``: only there the conflict was seen. ``pause_s``: between that and the script.
    """
    world = begin()
    world.at_s -= 2.0
    met = world.write("a", item("a", 1901, "meets"))
    if at_commit:
        world.write("a", FIRST, name="twice", outcome="refused", conflicted=True, detail="40001")
    else:
        refused = h.Done(at_s=world.tick(), name="twice", actor="writer", tenant="a", outcome="refused")
        world.add(refused)
    world.write("a", SECOND, name="twice")
    world.serializable("twice", met)
    if pause_s:
        world.flush()
    world.at_s += 2.0
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    world.flush()
    return world


@pytest.mark.parametrize("at_commit", [True, False])
def test_the_try_that_was_acknowledged_counts(at_commit: bool) -> None:
    """The first one left nothing and is no loss, whether it ever sent its COMMIT or not."""
    assert finish(conflicted(at_commit=at_commit)).verdict().verdict == "proven"


def test_what_the_refused_try_wrote_is_in_no_state() -> None:
    """It has the name of the one that was acknowledged, and is not the same."""
    world = conflicted()
    world.saved["a"][ITEM, ("1001",)] = {"id": "1001", "tenant": "a", "body": "try 1"}
    found = findings(finish(world).verdict())
    assert {(f.check, f.key) for f in found if f.verdict == "broken"} >= {("nothing else", ("1001",))}
    assert any("refused" in f.message for f in found)


def test_the_try_that_was_acknowledged_is_demanded() -> None:
    """Restored as before both tries, a tenant lacks a write that was archived."""
    world = conflicted(pause_s=1.0)
    world.saved["a"][ITEM, ("1001",)] = {"id": "1001", "tenant": "a", "body": "a changed"}
    assert {"honest", "prefix"} <= checks(finish(world).verdict())


@pytest.mark.parametrize(
    ("serializable", "conflict", "beside", "counted"),
    [
        (("tried", "other"), True, True, False),
        (("tried", "other"), True, False, True),
        (("tried",), True, True, True),
        (("other",), True, True, True),
        (("tried", "other"), False, True, True),
    ],
    ids=["conflict", "too late", "with nobody serializable", "not serializable", "another refusal"],
)
def test_a_neighbours_conflict_is_a_restores_doing_unless_another_one_explains_it(
    serializable: tuple[str, ...], conflict: bool, beside: bool, counted: bool
) -> None:
    """Both are serializable, ran at the same time, and the refusal says that it was a conflict."""
    world = a_drill()
    for tenant in "abq":
        world.restore(tenant)
    began_s = next(e.at_s for e in world.entries if isinstance(e, h.RestoreBegan) and e.tenant == "a")
    for name, at_s, outcome in (("other", 0.02 if beside else -0.2, "acked"), ("tried", 0.03, "refused")):
        world.add(
            h.Done(
                at_s=began_s + at_s,
                begun_s=began_s + at_s - 0.02,
                name=name,
                actor="writer",
                tenant="b",
                outcome=outcome,  # type: ignore[arg-type]  # one of those that there are
                conflicted=conflict and name == "tried",
            )
        )
    world.write("b", item("b", 2901, "the other"), name="other")
    world.write("b", item("b", 2902, "tried again"), name="tried")
    world.serializable(*serializable)
    world.end()
    assert ("refusals" in checks(world.verdict())) == counted
