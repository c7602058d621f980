"""Every kind of mistake, by every means it can be made: SQL, words, and effects that are exact."""

from __future__ import annotations

from random import Random

import pytest

from harness.generate import campaign
from harness.generate.facts import SchemaFacts
from harness.generate.layout import Layout, lay_out
from harness.generate.shapes import Batching, HowShape, Means, PlanShape, ScriptShape, TenantShape
from harness.generate.steps import STEPS, possible, step_named, write_again, write_script
from harness.generate.steps.ground import Ground
from harness.generate.strategies import reruns
from harness.generate.validate import validate
from harness.model.errors import BadInput, UnknownName
from harness.model.operations import Insert
from harness.model.plan import Effect, Script
from harness.model.schema import Schema
from harness.schemas import load, names

SCHEMAS = {name: load(name).schema for name in names()}
TENANTS = 6
CASES = [
    (name, kind, means, killed)
    for name, schema in SCHEMAS.items()
    for kind, step in STEPS.items()
    for means in step.means(schema)
    for killed in (False, True)
    if not killed or reruns(step, means)
]


@pytest.mark.parametrize(("name", "kind", "means", "killed"), CASES)
def test_each_step_damages_somebody(name: str, kind: str, means: Means, killed: bool) -> None:
    """Whatever the seed and batching, somebody is damaged, nobody is damaged and rightly gone as well."""
    schema = SCHEMAS[name]
    for seed in range(12):
        batching: Batching = ("one_huge", "one_each", "batches", "slow")[seed % 4]
        script = _script(
            schema, kind, means=means, killed=2 if killed else None, batching=batching, seed=seed
        )
        sent = [t for t in script.transactions if not t.killed]
        damaged = {tenant for t in sent for tenant in t.damaged}
        assert damaged
        assert not damaged & {tenant for t in sent for tenant in t.rightly_deleted}
        assert not script.damages_nobody
        assert script.kind == kind
        assert script.words
        assert all(t.statements for t in script.transactions)
        assert any(t.killed for t in script.transactions) == killed


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_every_schema_can_lose_tenants_table_by_table(name: str) -> None:
    """Permanent deletion, table by table, needs nothing of a schema."""
    steps = possible(SCHEMAS[name])
    assert steps
    assert any("tables" in step.means(SCHEMAS[name]) for step in steps)


def test_what_a_schema_can_not_say_is_not_drawn() -> None:
    """The tiny schema has no entities and no function: no flipped mode, no wrong kind, no cascade."""
    kinds = {step.kind for step in possible(SCHEMAS["shop"])}
    assert kinds == {"wrong_database", "stale_list", "off_by_one"}
    assert all(step.means(SCHEMAS["shop"]) == ("tables",) for step in possible(SCHEMAS["shop"]))


def test_a_flipped_mode_removes_what_was_to_be_marked() -> None:
    """Marks of the sites were meant; the whole tenants go, all but what the function keeps."""
    script = _script(SCHEMAS["helpdesk"], "mode_flipped", means="function", hit=2)
    (transaction,) = script.transactions
    assert {(e.mode, e.tables, e.mark_column) for e in transaction.intended} == {
        ("mark", ("helpdesk.sites",), "deleted_at")
    }
    assert all(effect.whole for effect in transaction.actual)
    assert all("helpdesk.tenants" not in effect.tables for effect in transaction.actual)
    assert "'permanent'" in transaction.statements[-1].sql


@pytest.mark.parametrize("means", ["tables", "function"])
def test_tenants_marked_as_meant_are_not_damaged(means: Means) -> None:
    """Beside those that the flipped mode removes, some are marked, which is what was meant."""
    script = _script(SCHEMAS["helpdesk"], "mode_flipped", means=means, hit=2, marked=2)
    (transaction,) = script.transactions
    marked = [effect for effect in transaction.actual if effect.mode == "mark"]
    assert len(marked) == 2
    assert set(marked) <= set(transaction.intended)
    assert not {effect.tenant for effect in marked} & set(transaction.damaged)


def test_the_wrong_kind_of_id_hits_other_tenants() -> None:
    """App ids were meant, each with its app's tenant; the sites of others bear the same ids."""
    script = _script(SCHEMAS["helpdesk"], "wrong_kind", means="function", hit=2)
    (transaction,) = script.transactions
    meant = {(e.tenant, e.keys) for e in transaction.intended}
    assert all(e.tables == ("helpdesk.apps",) and e.mode == "permanent" for e in transaction.intended)
    assert len(transaction.damaged) == 2
    layout = _ground(SCHEMAS["helpdesk"]).layout
    for effect in transaction.actual:
        assert effect.whole
        (site,) = layout.entity_ids["site"][layout.tenants.index(effect.tenant)]
        assert any(keys == ((site,),) and owner != effect.tenant for owner, keys in meant)


def test_a_mark_of_the_wrong_kind_is_damage_too() -> None:
    """With mode mark nothing is removed, and still other tenants are damaged."""
    script = _script(SCHEMAS["helpdesk"], "wrong_kind", means="function", hit=1, mark=True)
    (transaction,) = script.transactions
    (effect,) = transaction.actual
    assert (effect.mode, effect.tables, effect.mark_column) == ("mark", ("helpdesk.sites",), "deleted_at")
    assert transaction.damaged == (effect.tenant,)


def test_a_stale_list_removes_some_rightly() -> None:
    """Those that were to go are rightly deleted, the others damaged."""
    script = _script(SCHEMAS["shop"], "stale_list", hit=2, rightly=3)
    (transaction,) = script.transactions
    assert len(transaction.rightly_deleted) == 3
    assert len(transaction.damaged) == 2


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_a_range_is_one_too_long(name: str) -> None:
    """The range is contiguous in the database's order, and its last tenant was not meant."""
    script = _script(SCHEMAS[name], "off_by_one", rightly=2)
    (transaction,) = script.transactions
    touched = [effect.tenant for effect in transaction.actual]
    order = _ground(SCHEMAS[name]).sorted_tenants()
    first = order.index(touched[0])
    assert touched == order[first : first + 3]
    assert transaction.damaged == (touched[-1],)
    assert "BETWEEN" in transaction.statements[-1].sql


def test_batches_are_as_large_as_drawn() -> None:
    """One transaction for all, one for each, or one for every few."""
    schema = SCHEMAS["shop"]
    counts = {
        batching: len(_script(schema, "wrong_database", hit=5, batching=batching).transactions)
        for batching in ("one_huge", "one_each", "batches", "slow")
    }
    assert counts == {"one_huge": 1, "one_each": 5, "batches": 3, "slow": 5}


def test_a_slow_script_takes_some_seconds() -> None:
    """It pauses between its transactions, so that writes come in between."""
    script = _script(SCHEMAS["shop"], "wrong_database", hit=5, batching="slow")
    assert 2 <= sum(t.pause_s for t in script.transactions) <= 4


def test_a_killed_script_runs_again_from_the_start() -> None:
    """What came before the kill is done, the killed one is not, and then all is done again."""
    script = _script(SCHEMAS["shop"], "wrong_database", hit=3, batching="one_each", killed=1)
    assert [t.killed for t in script.transactions] == [False, True, False, False, False]
    statements = [t.statements for t in script.transactions]
    assert statements[:2] == statements[2:4]


def test_run_again_the_function_takes_ids_for_another_kind() -> None:
    """An id whose site is gone is the id of somebody's app: that row goes, and nothing else."""
    script = _script(
        SCHEMAS["helpdesk"], "wrong_database", means="function", hit=2, batching="one_each", killed=1
    )
    rerun = script.transactions[2]
    assert all(effect.tables == ("helpdesk.apps",) and effect.keys for effect in rerun.actual)
    assert rerun.intended == ()


@pytest.mark.parametrize("means", ["tables", "function"])
def test_the_control_plane_goes_too_if_drawn(means: Means) -> None:
    """Without it the tenant's own row stays; with it every owned table is emptied."""
    schema = SCHEMAS["helpdesk"]
    kept = _script(schema, "wrong_database", means=means).transactions[0].actual[0]
    gone = _script(schema, "wrong_database", means=means, control_plane=True).transactions[0]
    assert "helpdesk.tenants" not in kept.tables
    assert set(gone.actual[0].tables) == {table.name for table in schema.owned}
    assert gone.statements[-1].sql.startswith("DELETE FROM helpdesk.tenants")


def test_children_are_deleted_before_their_parents() -> None:
    """Table by table, a parent is locked before its children go, and deleted after them."""
    statements = [s.sql for s in _script(SCHEMAS["shop"], "wrong_database").transactions[0].statements]
    assert [sql.split()[0] for sql in statements] == ["SELECT", "SELECT", "DELETE", "DELETE"]
    assert [sql.split()[2] for sql in statements[2:]] == ["shop.line", "shop.purchase"]
    assert '("purchase") IN (SELECT "id" FROM shop.purchase WHERE "merchant" IN (' in statements[2]


def test_the_second_script_damages_those_who_were_restored() -> None:
    """It hits exactly the drawn tenants, by the same means, in one transaction."""
    schema = SCHEMAS["helpdesk"]
    facts, layout = _laid_out(schema)
    shape = ScriptShape(kind="mode_flipped", hit=4, rightly=1, how=HowShape(means="function"))
    first = write_script(facts, layout, shape)
    again = first.transactions[0].damaged[:2]
    second = write_again(facts, layout, shape, again, first)
    assert [set(t.damaged) for t in second.transactions] == [set(again)]


def test_an_unknown_step_is_refused() -> None:
    """A plan with a step that nobody knows names it, with the known ones."""
    with pytest.raises(UnknownName, match="meteorite") as refusal:
        step_named("meteorite")
    assert set(refusal.value.known) == set(STEPS)


def test_a_plan_that_does_not_fit_is_refused() -> None:
    """Another schema, an unknown table, an unknown column, a name used twice: each is named."""
    import msgspec

    shop = SCHEMAS["shop"]
    (plan,) = campaign(shop, seed=1, plans=1, tenants=2)
    replace = msgspec.structs.replace
    validate(plan, shop)
    with pytest.raises(BadInput, match="not 'helpdesk'"):
        validate(plan, SCHEMAS["helpdesk"])
    (script,) = plan.scripts
    with pytest.raises(UnknownName, match="meteorite"):
        validate(replace(plan, scripts=(replace(script, kind="meteorite"),)), shop)
    stray = replace(
        script.transactions[0], actual=(Effect(tenant="x", mode="mark", tables=("shop.moon",)),)
    )
    with pytest.raises(BadInput, match=r"shop\.moon"):
        validate(replace(plan, scripts=(replace(script, transactions=(stray,)),)), shop)
    first = plan.tenants[0].initial[0]
    odd = replace(first, operations=(Insert(table="shop.line", handle="x", values={"moon": "1"}),))
    twice = replace(plan.tenants[0], initial=(first, first))
    with pytest.raises(BadInput, match="moon"):
        validate(replace(plan, tenants=(replace(plan.tenants[0], initial=(odd,)),)), shop)
    with pytest.raises(BadInput, match="twice"):
        validate(replace(plan, tenants=(twice,)), shop)


def _laid_out(schema: Schema) -> tuple[SchemaFacts, Layout]:
    facts = SchemaFacts(schema)
    shape = PlanShape(
        seed=7,
        first_id=1000,
        tenants=(TenantShape(rows=5),) * TENANTS,
        survivors="all",
        initial="streamed",
        script=ScriptShape(kind="wrong_database"),
    )
    return facts, lay_out(facts, shape)


def _ground(schema: Schema) -> Ground:
    return Ground(*_laid_out(schema), Random(0))


def _script(
    schema: Schema,
    kind: str,
    *,
    means: Means = "tables",
    hit: int = 2,
    rightly: int | None = None,
    marked: int = 0,
    mark: bool = False,
    batching: Batching = "one_huge",
    control_plane: bool = False,
    killed: int | None = None,
    seed: int = 0,
) -> Script:
    few, _ = STEPS[kind].rightly
    shape = ScriptShape(
        kind=kind,
        seed=seed,
        hit=hit,
        rightly=few if rightly is None else rightly,
        marked=marked,
        mark=mark or (killed is not None and not STEPS[kind].reruns),
        how=HowShape(means=means, batching=batching, control_plane=control_plane, killed_after=killed),
    )
    return write_script(*_laid_out(schema), shape)
