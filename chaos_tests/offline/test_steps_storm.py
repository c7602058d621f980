"""The wider grammar of the storm: what each of its steps says and does; drills of it are proven."""

from __future__ import annotations

from itertools import count
from random import Random

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from harness.generate import Pins, campaign, pinned_plan, plans
from harness.generate.campaigns import strata
from harness.generate.facts import SchemaFacts
from harness.generate.profiles import profile_named
from harness.generate.steps import STEPS, possible
from harness.generate.steps.moves import along, estate, leaves
from harness.generate.steps.partial import blankable, referring
from harness.generate.steps.shared_parent import cascaded
from harness.generate.takings import with_takers
from harness.generate.validate import validate
from harness.model.operations import Copy, Insert, Update
from harness.model.plan import Effect, Plan, Script, decode, encode
from harness.model.schema import ByColumn, Column, ForeignKey, Table
from harness.model.values import RawRow
from harness.model.verdict import DrillVerdict
from harness.schemas import load, names
from harness.simulate import drill
from harness.simulate.feed import events_of
from harness.simulate.server import Committed, Written
from harness.subject.reference.ports import Begin, End, TruncateEvent

SCHEMAS = {name: load(name).schema for name in names()}
SHOP, HELPDESK = SCHEMAS["shop"], SCHEMAS["helpdesk"]
SEEDS = range(8)
EXAMPLES = 6
CASES = [
    (name, kind)
    for name, schema in SCHEMAS.items()
    for kind, step in STEPS.items()
    if step.storm and step.means(schema)
]

some = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def script_of(schema: str, kind: str, seed: int) -> Script:
    """Return the incident of a drawn plan of that kind."""
    return pinned_plan(SCHEMAS[schema], kind=kind, seed=seed, profile="simulated").scripts[0]


def story(verdict: DrillVerdict) -> str:
    """Return the findings of a verdict, a line each."""
    findings = verdict.every_finding
    return "\n".join(f"{f.verdict}: {f.check}: {f.tenant}: {f.message}" for f in findings)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_storm_on_the_reference_system_is_proven(name: str, kind: str) -> None:
    """Whatever plan is drawn around a step of the storm, the reference system is proven on it."""

    @some
    @given(plans(SCHEMAS[name], profile="simulated", pins=Pins(kind=kind)))
    def prove(plan: Plan) -> None:
        verdict = drill(plan, SCHEMAS[name])
        assert verdict.verdict == "proven", story(verdict)

    prove()


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_storm_is_a_plan_that_can_be_read_again(name: str, kind: str) -> None:
    """It fits its schema, and comes out of its file as it went in."""
    plan = pinned_plan(SCHEMAS[name], kind=kind, seed=1, profile="simulated")
    validate(plan, SCHEMAS[name])
    assert decode(encode(plan)) == plan


def test_quick_drills_take_no_step_of_the_storm() -> None:
    """What is not yet sure to be proven on every machine is drawn only where it was asked for."""
    assert {step.kind for step in possible(HELPDESK) if step.storm} == set()
    quick = campaign(HELPDESK, seed=1, plans=6, tenants=3)
    assert not any(STEPS[script.kind].storm for plan in quick for script in plan.scripts)


def test_a_storm_takes_every_step_that_has_a_weight() -> None:
    """Its covering array begins with each kind once; none is left out."""
    kinds = {step.kind for step in possible(HELPDESK, storm=True)}
    assert kinds == {step.kind for step in STEPS.values() if step.weight}
    pins = list(strata(HELPDESK, Random(5), len(kinds), None, storm=True))
    assert {p.kind for p in pins} == kinds


@pytest.mark.parametrize("seed", SEEDS)
def test_a_canary_is_right_and_alone(seed: int) -> None:
    """The first transaction removes only tenants that were to go; all damage is in later ones."""
    first, *others = [t for t in script_of("shop", "canary", seed).transactions if not t.killed]
    assert first.rightly_deleted
    assert first.damaged == ()
    assert any(other.damaged for other in others)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_sequential_run_lasts_longer_than_a_short_budget(seed: int) -> None:
    """It takes its tenants one by one, with pauses that make it 6 to 15 seconds long."""
    plan = pinned_plan(SHOP, kind="sequential", seed=seed, profile="simulated")
    transactions = plan.scripts[0].transactions
    lasts_s = sum(t.pause_s for t in transactions) * len(transactions) / max(1, len(transactions) - 1)
    assert 5.9 < lasts_s < 15.1
    assert all(len(t.damaged) <= 1 for t in transactions)


@pytest.mark.parametrize("seed", SEEDS)
def test_blanked_rows_stay(seed: int) -> None:
    """Each statement sets columns of the hit tenants to NULL; nothing is removed, nothing was meant."""
    for transaction in script_of("helpdesk", "blanked", seed).transactions:
        assert transaction.intended == ()
        assert not any(effect.removes for effect in transaction.actual)
        assert all(effect.columns for effect in transaction.actual)
        assert all(s.sql.startswith("UPDATE") and " = NULL" in s.sql for s in transaction.statements)


def test_only_columns_that_nothing_hangs_on_are_blanked() -> None:
    """No key, no link, no mark, and no table of which the database computes something."""
    found = blankable(HELPDESK)
    assert "helpdesk.tickets" not in found
    assert "helpdesk.sites" not in found
    assert found["helpdesk.accounts"] == ("nickname", "last_ip", "born")
    assert blankable(SHOP)["shop.purchase"] == ("total", "remark")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_orphans_are_still_somebodys(name: str, seed: int) -> None:
    """The root goes with foreign keys off, and no table through which others find their tenant."""
    schema = SCHEMAS[name]
    on_path = {step.parent for table in schema.owned for step in schema.path(table)}
    for transaction in script_of(name, "orphans", seed).transactions:
        assert transaction.unchecked
        assert "session_replication_role = replica" in transaction.statements[0].sql
        for effect in transaction.actual:
            assert schema.script.root in effect.tables
            assert not on_path & {*effect.tables}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_a_truncate_is_said_of_every_tenant(name: str, seed: int) -> None:
    """One statement; every table that refers to an emptied one is emptied too, for everybody."""
    plan = pinned_plan(SCHEMAS[name], kind="truncated", seed=seed, profile="simulated")
    transaction = plan.scripts[0].transactions[-1]
    (statement,) = transaction.statements
    (tables,) = {effect.tables for effect in transaction.actual}
    assert {effect.tenant for effect in transaction.actual} == {t.tenant for t in plan.tenants}
    assert tables == referring(SCHEMAS[name], tables[0])
    assert statement.sql == f"TRUNCATE {tables[0]}" + (" CASCADE" if len(tables) > 1 else "")


@pytest.mark.parametrize("seed", SEEDS)
def test_two_operators_share_one_tenant(seed: int) -> None:
    """Each has transactions of their own, in turns, and exactly one tenant is on both lists."""
    transactions = script_of("shop", "two_operators", seed).transactions
    lists = [{t for tx in transactions if tx.operator == number for t in tx.damaged} for number in (0, 1)]
    assert len(lists[0] & lists[1]) == 1
    assert all(tx.pause_s > 0 for tx in transactions if tx.operator)
    assert len({tx.name for tx in transactions}) == len(transactions)


@pytest.mark.parametrize("seed", SEEDS)
def test_rows_are_erased_rightly_and_before(seed: int) -> None:
    """What the first transaction erases was meant, row by row; the tenants are lost some seconds later."""
    transactions = script_of("helpdesk", "erasure", seed).transactions
    erased, *others = transactions[1:] if transactions[0].killed else transactions
    assert erased.damaged == ()
    assert erased.actual == erased.intended
    assert all(effect.keys and effect.tables == ("helpdesk.apps",) for effect in erased.actual)
    assert others[0].pause_s >= 1
    lost = {tenant for tx in others if not tx.killed for tenant in tx.damaged}
    assert lost >= {effect.tenant for effect in erased.actual}


@pytest.mark.parametrize("seed", SEEDS)
def test_moved_rows_go_to_somebody_else(seed: int) -> None:
    """Whole tables of some tenants, without a WHERE on anything else; nothing was meant."""
    for transaction in script_of("helpdesk", "moved", seed).transactions:
        assert transaction.intended == ()
        for effect in transaction.actual:
            assert effect.mode == "move"
            assert effect.to not in (None, effect.tenant)
            assert effect.along == ()
            assert set(effect.tables) <= {*leaves(HELPDESK)}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_a_merge_moves_parents_and_what_hangs_below(name: str, seed: int) -> None:
    """All in one statement for each tenant; numbers that the new one may have are raised."""
    for transaction in script_of(name, "rehomed", seed).transactions:
        assert len(transaction.statements) == len(transaction.actual)
        assert all(effect.along and effect.shifted for effect in transaction.actual)


def test_run_again_all_goes_to_one_receiver() -> None:
    """A rerun would move on what somebody got in the first run."""
    for seed in range(40):
        script = script_of("shop", "rehomed", seed)
        if any(transaction.killed for transaction in script.transactions):
            assert len({e.to for t in script.transactions for e in t.actual}) == 1


def test_tables_that_a_move_would_tear_apart_are_left_out() -> None:
    """A unique value that can be neither raised nor is anybody's alone, or a link that would break."""
    assert leaves(SHOP) == []
    assert leaves(HELPDESK) == ["helpdesk.invoices", "helpdesk.audit", "helpdesk.ledger"]
    assert along(HELPDESK, estate(HELPDESK)) == (
        "helpdesk.comments",
        "helpdesk.attachments",
        "helpdesk.ticket_labels",
    )
    dated = Column(name="day", type="date")
    days = Table(
        name="shop.day",
        tenancy=ByColumn(column="merchant"),
        key=("merchant", "day"),
        columns=(Column(name="merchant", type="text"), dated),
    )
    with_days = msgspec.structs.replace(SHOP, tables=(*SHOP.tables, days))
    assert "shop.day" not in leaves(with_days)
    assert estate(with_days) == []


def test_an_estate_that_hangs_together_with_what_stays_is_not_moved() -> None:
    """What stays refers to what would go, or the other way round, by the tenant's column too."""
    kept = {e.table for e in HELPDESK.script.entities}
    account = ForeignKey(
        columns=("site_id", "tenant_id"), parent="helpdesk.accounts", parent_columns=("id", "tenant_id")
    )
    site = ForeignKey(
        columns=("lead_id", "tenant_id"), parent="helpdesk.sites", parent_columns=("id", "tenant_id")
    )
    for name, key in (("helpdesk.apps", account), ("helpdesk.projects", site)):
        tables = tuple(
            msgspec.structs.replace(t, foreign_keys=(*t.foreign_keys, key)) if t.name == name else t
            for t in HELPDESK.tables
        )
        assert estate(msgspec.structs.replace(HELPDESK, tables=tables)) == []
    assert not kept & {*estate(HELPDESK)}


def test_where_everybody_is_hit_nobody_takes_anything() -> None:
    """A plan without a neighbour that is left alone has no taker."""
    plan = pinned_plan(HELPDESK, kind="taken", seed=1, profile="simulated", survivors="all")
    script = plan.scripts[0]
    hit = msgspec.structs.replace(
        script.transactions[0],
        actual=tuple(Effect(tenant=t.tenant, mode="permanent", tables=()) for t in plan.tenants),
    )
    all_hit = msgspec.structs.replace(script, transactions=(hit,))
    facts = SchemaFacts(HELPDESK)
    bare = [msgspec.structs.replace(t, takes=()) for t in plan.tenants]
    assert with_takers(facts, bare, all_hit, plan.tenants[0].tenant) == tuple(bare)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_neighbour_takes_what_was_left_free(seed: int) -> None:
    """Somebody whom the script leaves alone takes the natural key of one that it removes."""
    plan = pinned_plan(HELPDESK, kind="taken", seed=seed, profile="simulated", survivors="all")
    (taker,) = [tenant for tenant in plan.tenants if tenant.takes]
    hit = {e.tenant for t in plan.scripts[0].transactions for e in t.actual}
    assert taker.tenant not in hit
    (update,) = taker.takes[0].operations
    assert isinstance(update, Update)
    slugs = {
        str(o.values["slug"]): t.tenant
        for t in plan.tenants
        for o in t.initial[0].operations
        if isinstance(o, Insert) and o.table == "helpdesk.tenants"
    }
    assert slugs[str(update.values["slug"])] in hit - {*plan.again}
    alone = pinned_plan(HELPDESK, kind="taken", seed=seed, profile="simulated", survivors="archive")
    assert not any(tenant.takes for tenant in alone.tenants)


def test_a_huge_transaction_has_as_many_rows_as_the_profile_says() -> None:
    """Nearly everybody in one transaction, and tenants of the size that makes it huge."""
    plan = pinned_plan(SHOP, kind="huge", seed=2, profile="simulated", survivors="all")
    sent = [t for t in plan.scripts[0].transactions if not t.killed]
    assert [len(t.damaged) for t in sent] == [len(plan.tenants) - 2]
    rows = [o for t in plan.tenants for tx in t.initial for o in tx.operations]
    assert (
        sum(len(o.rows) if isinstance(o, Copy) else 1 for o in rows)
        > 0.8 * profile_named("simulated").huge_rows
    )


def test_a_lookup_table_takes_what_refers_to_it_along() -> None:
    """One statement; what goes with it by cascade is said of every tenant."""
    plan = pinned_plan(HELPDESK, kind="shared_parent", seed=3, profile="simulated", survivors="all")
    transaction = plan.scripts[0].transactions[-1]
    assert [s.sql for s in transaction.statements] == ["DELETE FROM helpdesk.countries"]
    assert transaction.empties == ("helpdesk.countries",)
    assert {e.tenant for e in transaction.actual} == {t.tenant for t in plan.tenants}
    assert {e.tables for e in transaction.actual} == {
        ("helpdesk.sites", "helpdesk.apps", "helpdesk.invoices")
    }


def test_a_link_that_refuses_or_blanks_stops_the_cascade() -> None:
    """A lookup table that a row refers to without a cascade can't simply be emptied."""
    assert cascaded(HELPDESK, "helpdesk.countries")
    refusing = tuple(
        msgspec.structs.replace(
            t,
            foreign_keys=tuple(
                msgspec.structs.replace(key, on_delete="no action")
                if key.parent == "helpdesk.countries"
                else key
                for key in t.foreign_keys
            ),
        )
        for t in HELPDESK.tables
    )
    assert cascaded(msgspec.structs.replace(HELPDESK, tables=refusing), "helpdesk.countries") == ()
    assert cascaded(HELPDESK, "helpdesk.accounts") == ()
    assert cascaded(HELPDESK, "helpdesk.tenants") == ()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_reaper_purges_only_who_is_still_marked(seed: int) -> None:
    """It runs beside the restores, locks before it looks, and asks for the mark in each statement."""
    script = script_of("helpdesk", "reaped", seed)
    reaper = [t for t in script.transactions if t.during == "restore"]
    marked = {e.tenant for t in script.transactions for e in t.actual if e.mode == "mark"}
    assert len(reaper) == 4
    for run in reaper:
        assert {e.tenant for e in run.actual} == marked
        assert all(s.sql.endswith("FOR UPDATE") for s in run.statements[:2])
        assert all(
            '"deleted_at" IS NOT NULL' in s.sql for s in run.statements if s.sql.startswith("DELETE")
        )
        assert run.actual[0].tables[-1] == "helpdesk.sites"


def test_the_feed_tells_of_a_truncate_once() -> None:
    """However many rows go with a table, one event says so, and no deletion does."""
    table = SHOP.table("shop.line")
    rows: list[RawRow] = [{c.name: f"{n}" for c in table.columns} for n in range(3)]
    gone = tuple(Written(table=table, op="truncate", before=row) for row in rows)
    begin, event, end = events_of(Committed(xid=7, lsn=9, at_s=1.0, written=gone), count())
    assert isinstance(begin, Begin)
    assert isinstance(event, TruncateEvent)
    assert event.table == "shop.line"
    assert isinstance(end, End)
    assert end.count == 1
