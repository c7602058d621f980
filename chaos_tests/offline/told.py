"""Steps of a hand-written drill that tests of whole findings share, and the finding itself."""

from __future__ import annotations

from msgspec import structs

from chaos_tests.offline.judge_world import World, begin, findings, whole
from harness.model import history as h
from harness.model.verdict import Finding


def damaged(world: World) -> World:
    """The same drill, in which the script then takes a and q by mistake."""
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    world.flush()
    return world


def written(*changes: h.Change, tenant: str | None = "a") -> World:
    """A drill in which w, the last before the damage, does that to rows of a tenant."""
    world = begin()
    world.write(tenant, *changes, name="w")
    return damaged(world)


def restored(world: World, *tenants: str) -> World:
    """The same drill, with these tenants, or all, restored."""
    world.phase("restore")
    for tenant in tenants or "abq":
        world.restore(tenant)
    return world


def ended(world: World, *, next_value: int = 1_000_000) -> World:
    """The same drill at its end."""
    world.end(next_value=next_value)
    return world


def the_finding(world: World, check: str, **fields: object) -> Finding:
    """The first finding of that check that says so, without its blame, its loss to the microsecond."""
    found = next(
        finding
        for finding in findings(world.verdict())
        if finding.check == check and all(getattr(finding, name) == value for name, value in fields.items())
    )
    return structs.replace(found, blame=None, loss_s=found.loss_s and round(found.loss_s, 6))
