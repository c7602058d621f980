"""What a restored state owes: a refusal loses nothing that was promised when nothing had to be archived."""

from __future__ import annotations

from chaos_tests.offline.judge_world import World, a_drill, begin, finish, whole
from harness.model import history as h


def refused(world: World, tenant: str) -> set[tuple[str, str]]:
    """Let the restore of a tenant be refused, and return what the check on restores says of whom."""
    world.restore(tenant, result="refused")
    world.end()
    verdict = world.verdict()
    found = (f for t in verdict.tenants for f in t.findings)
    return {(f.tenant or "", f.verdict) for f in found if f.check == "restored"}


def young_drill(budget_s: float) -> World:
    """All that anybody wrote is younger than the budget, and no watermark was ever reported."""
    world = begin(budget_s=budget_s)
    world.entries = [entry for entry in world.entries if not isinstance(entry, h.WatermarkSeen)]
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    return world


def test_a_refusal_is_no_breach_where_nothing_had_to_be_archived() -> None:
    """It proves nothing either."""
    assert refused(young_drill(100.0), "a") == {("a", "unknown")}


def test_a_refusal_is_a_breach_once_a_write_is_older_than_the_budget() -> None:
    """The near miss: the same drill under a tighter budget."""
    assert refused(young_drill(3.0), "a") == {("a", "broken")}


def test_a_refusal_is_a_breach_where_a_watermark_covers_the_tenant() -> None:
    """What was called durable is owed, whatever the budget forgives."""
    world = begin(budget_s=100.0)
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    assert refused(world, "a") == {("a", "broken")}


def test_a_refusal_of_what_was_restored_before_is_a_breach() -> None:
    """A tenant that goes on from an earlier restore is known to the archive."""
    world = a_drill()
    world.script(("s1", (), (whole("a"),)))
    world.restore("a")
    world.hits.pop("a", None)
    world.hit("s1")
    assert ("a", "broken") in refused(world, "a")


def test_a_good_drill_owes_and_gives() -> None:
    """What is owed is there."""
    assert finish(a_drill()).verdict().verdict == "proven"
