"""Scripts that are DDL: what they say, whom they hit, and that drills of them leave all as it was."""

from __future__ import annotations

import msgspec
import pytest

from harness.generate import pinned_plan
from harness.generate.steps import STEPS
from harness.generate.steps.reshaped import detachable, droppable, namespace
from harness.judge import judge
from harness.model.plan import Script
from harness.schemas import load
from harness.simulate import drill, simulate_series

SHOP, HELPDESK = load("shop").schema, load("helpdesk").schema
SCHEMAS = {"shop": SHOP, "helpdesk": HELPDESK}
SEEDS = range(6)


def script_of(schema: str, kind: str, seed: int) -> Script:
    """Return the incident of a drawn plan of that kind."""
    return pinned_plan(SCHEMAS[schema], kind=kind, seed=seed, profile="simulated").scripts[0]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_a_drop_takes_all_tables_along_that_refer_to_it(name: str, seed: int) -> None:
    """No foreign key is left dangling, and every tenant is hit."""
    schema = SCHEMAS[name]
    plan = pinned_plan(schema, kind="dropped", seed=seed, profile="simulated")
    transaction = plan.scripts[0].transactions[-1]
    (tables,) = {effect.tables for effect in transaction.actual}
    assert transaction.statements[0].sql == f"DROP TABLE {', '.join(tables)}"
    assert {effect.tenant for effect in transaction.actual} == {t.tenant for t in plan.tenants}
    assert all(effect.removes and effect.reshapes for effect in transaction.actual)
    left = [table for table in schema.tables if table.name not in tables]
    assert not any(key.parent in tables for table in left for key in table.foreign_keys)


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_a_dropped_schema_takes_lookup_tables_and_plumbing_too(name: str) -> None:
    """Everything declared lies in it."""
    transaction = script_of(name, "schema_dropped", 1).transactions[-1]
    assert transaction.statements[0].sql == f"DROP SCHEMA {name} CASCADE"
    assert set(transaction.actual[0].tables) == {table.name for table in SCHEMAS[name].tables}


def test_the_public_schema_and_several_are_not_dropped() -> None:
    """Others may use the one, and of the others none is everything."""
    table = msgspec.structs.replace(SHOP.tables[0], name="public.merchant")
    assert namespace(msgspec.structs.replace(SHOP, tables=(table,))) is None
    assert namespace(msgspec.structs.replace(SHOP, tables=(table, *SHOP.tables[1:]))) is None
    assert STEPS["schema_dropped"].means(msgspec.structs.replace(SHOP, tables=(table,))) == ()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_partition_goes_after_a_tenant_was_removed(seed: int) -> None:
    """Who is hit by the partition is not known; that somebody is, is."""
    first, *_, second = [t for t in script_of("helpdesk", "detached", seed).transactions if not t.killed]
    assert len(first.damaged) == 1
    assert {effect.mode for effect in second.actual} == {"detach"}
    assert all(effect.leaf is not None and 0 <= effect.leaf < 4 for effect in second.actual)
    assert "DETACH PARTITION" in second.statements[0].sql


def test_only_what_can_be_said_is_drawn() -> None:
    """A schema without partitions detaches none; where all is shared nothing can be dropped."""
    assert detachable(HELPDESK) == ["helpdesk.audit"]
    assert STEPS["detached"].means(SHOP) == ()
    assert ("shop.line",) in droppable(SHOP)
    lonely = msgspec.structs.replace(SHOP, tables=SHOP.tables[:1], hints={})
    assert STEPS["dropped"].means(lonely) == ("tables",)
    outbox_refers = msgspec.structs.replace(
        HELPDESK,
        tables=tuple(
            msgspec.structs.replace(t, foreign_keys=HELPDESK.table("helpdesk.comments").foreign_keys)
            if t.name == "helpdesk.outbox"
            else t
            for t in HELPDESK.tables
        ),
    )
    assert not any("helpdesk.tickets" in names for names in droppable(outbox_refers))


def test_drills_follow_each_other_after_a_schema_was_dropped() -> None:
    """What a drill did not bring back of the catalogue is rebuilt before the next one begins."""
    kinds = ("schema_dropped", "dropped", "wrong_database")
    plans = [pinned_plan(SHOP, kind=k, seed=2, profile="simulated", survivors="all") for k in kinds]
    for plan, left in zip(plans, simulate_series(plans, SHOP), strict=True):
        assert judge(plan, SHOP, left.history, left.restored).verdict == "proven"


def test_a_schema_dropped_as_the_cluster_goes_comes_back_on_a_fresh_one() -> None:
    """Nothing but the archive survives, and the last thing in it is the DROP."""
    plan = pinned_plan(HELPDESK, kind="schema_dropped", seed=3, profile="simulated", survivors="archive")
    assert drill(plan, HELPDESK).verdict == "proven"
