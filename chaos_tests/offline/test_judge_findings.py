"""What findings tell besides their check: whose, of which write, by how much. Mutants showed the want."""

from __future__ import annotations

from msgspec import structs

from chaos_tests.offline.judge_world import ITEM, World, begin, checks, findings, finish, item, whole
from harness.model import history as h
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


def the_finding(world: World, check: str) -> Finding:
    """The first finding of that check, without its blame."""
    found = next(finding for finding in findings(world.verdict()) if finding.check == check)
    return structs.replace(found, blame=None)


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
        loss_s=the_loss_s(world),
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
        loss_s=loss_s,
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
