"""Plans are real drills: their operations can be performed in any order of writers, and floors hold."""

from __future__ import annotations

from itertools import accumulate, zip_longest

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fixtures.interpreter import Interpreter
from harness.generate import Pins, plans, shapes
from harness.generate.expand import expand
from harness.generate.profiles import Settings
from harness.generate.shapes import PlanShape
from harness.model import plan as model_plan
from harness.model.errors import BadInput, UnknownName
from harness.model.faults import Kill
from harness.model.operations import Copy, Delete, Filler, Insert, Transaction, Update
from harness.model.plan import Plan, TenantPlan
from harness.model.schema import Schema
from harness.schemas import load, names

SCHEMAS = {name: load(name).schema for name in names()}
SMALL = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
any_plan = st.sampled_from(sorted(SCHEMAS)).flatmap(
    lambda name: st.tuples(st.just(SCHEMAS[name]), plans(SCHEMAS[name], tenants=4))
)
small_plan = st.sampled_from(sorted(SCHEMAS)).flatmap(
    lambda name: st.tuples(st.just(SCHEMAS[name]), plans(SCHEMAS[name], tenants=3, pins=Pins(rows=12)))
)


@given(any_plan)
@SMALL
def test_a_plan_survives_its_file(drawn: tuple[Schema, Plan]) -> None:
    """A plan read from the JSON it was written to is the same plan."""
    _, plan = drawn
    assert model_plan.decode(model_plan.encode(plan)) == plan


@given(small_plan, st.data())
@SMALL
def test_operations_can_be_performed(drawn: tuple[Schema, Plan], data: st.DataObject) -> None:
    """Whatever the writers' order, handles resolve, links hold, keys are unique and images always new."""
    schema, plan = drawn
    database = Interpreter(schema)
    for transaction in plan.shared:
        database.run("", transaction)
    for tenant in plan.tenants:
        for transaction in tenant.initial:
            database.run(tenant.tenant, transaction)
        database.changed_by.clear()
        for writer, transaction in _interleaved(
            tenant, data.draw(st.sampled_from(("turns", "first", "last")))
        ):
            database.run(tenant.tenant, transaction, writer=str(writer))
        shared_out = {place: who for place, who in database.changed_by.items() if len(who) > 1}
        assert not shared_out
    for tenant in plan.tenants:
        assert len(tenant.probes) >= 2
        for transaction in tenant.probes:
            database.run(tenant.tenant, transaction)


@given(small_plan)
@SMALL
def test_probes_need_only_the_control_plane(drawn: tuple[Schema, Plan]) -> None:
    """Probes work for a tenant of which nothing but the first transaction of its load is there."""
    schema, plan = drawn
    database = Interpreter(schema)
    for transaction in plan.shared:
        database.run("", transaction)
    for tenant in plan.tenants:
        database.run(tenant.tenant, tenant.initial[0])
        before = sum(database.tenants_rows(tenant.tenant).values())
        for transaction in tenant.probes:
            database.run(tenant.tenant, transaction)
        made = sum(database.tenants_rows(tenant.tenant).values()) - before
        assert made >= 2 * len(tenant.probes)


@given(any_plan)
@SMALL
def test_floors_hold_with_room(drawn: tuple[Schema, Plan]) -> None:
    """Every tenant that is not quiet has its streamed writes, older and younger than the budget."""
    _, plan = drawn
    assert plan.write_s > plan.budget_s
    for tenant in plan.tenants:
        due = sorted(_committed_due_s(tenant))
        if tenant.quiet:
            assert tenant.write_counts == (1,)
            assert len(due) == 1
            assert due[0] < plan.write_s - plan.budget_s
            continue
        assert len(due) >= plan.floors.transactions_per_tenant
        assert sum(at < plan.write_s - plan.budget_s for at in due) >= plan.floors.older_than_budget
        assert sum(at > plan.write_s - plan.budget_s for at in due) >= plan.floors.younger_than_budget


@given(any_plan)
@SMALL
def test_every_writer_does_every_kind(drawn: tuple[Schema, Plan]) -> None:
    """In the write phase each busy tenant inserts, updates, deletes, bulk-loads, moves and rolls back."""
    schema, plan = drawn
    for tenant in plan.tenants:
        if tenant.quiet:
            continue
        written = [
            t
            for writer, count in zip(tenant.writers, tenant.write_counts, strict=True)
            for t in writer[:count]
        ]
        kinds = {type(operation) for t in written for operation in t.operations}
        assert kinds == {Insert, Update, Delete, Copy}
        assert any(not t.commit for t in written)
        updated = {
            (operation.table, column)
            for t in written
            for operation in t.operations
            if isinstance(operation, Update)
            for column in operation.values
        }
        assert any(column in schema.table(table).key for table, column in updated)


@given(any_plan)
@SMALL
def test_a_damaged_tenant_is_quiet(drawn: tuple[Schema, Plan]) -> None:
    """One of the tenants that the first damaging transaction hits is quiet; it may be damaged again."""
    _, plan = drawn
    first = next(t for t in plan.scripts[0].transactions if t.damaged and not t.killed)
    (quiet,) = (t.tenant for t in plan.tenants if t.quiet)
    assert quiet in first.damaged
    assert set(plan.again) <= set(first.damaged)
    assert len(plan.scripts) == (2 if plan.again else 1)
    if plan.again:
        assert set(plan.scripts[1].transactions[0].damaged) == set(plan.again)


@given(any_plan)
@SMALL
def test_long_texts_are_rare(drawn: tuple[Schema, Plan]) -> None:
    """There are long texts, at most two over 200 KB, none over 2 MB."""
    _, plan = drawn
    chars = [
        value.chars
        for tenant in plan.tenants
        for transaction in _all(tenant)
        for operation in transaction.operations
        if isinstance(operation, Insert | Update)
        for value in operation.values.values()
        if isinstance(value, Filler)
    ]
    assert chars
    assert sum(size > 200_000 for size in chars) <= 2
    assert max(chars) <= 2_000_000


@pytest.mark.parametrize("name", names())
def test_the_minimal_plan_is_a_real_drill(name: str) -> None:
    """What Hypothesis shrinks to still damages somebody, writes at floors, and restores in place."""
    plan = _minimal(SCHEMAS[name], tenants=4)
    assert plan.survivors == "all"
    assert plan.scripts[0].transactions[0].damaged
    assert not plan.faults
    assert len(plan.again) == 0
    assert sum(sum(t.write_counts) for t in plan.tenants) > 3 * plan.floors.transactions_per_tenant


def test_the_budget_follows_tenants_and_flushes() -> None:
    """Quick: the larger of 3 s, three flush intervals and an eighth of a second for each tenant."""
    schema = SCHEMAS["shop"]
    assert _minimal(schema).budget_s == 3.0
    assert _minimal(schema, flush_interval_s=2.0).budget_s == 6.0
    assert _minimal(schema, tenants=60).budget_s == 7.5
    assert _minimal(schema, budget_s=4.5).budget_s == 4.5


@given(plans(SCHEMAS["shop"], tenants=3, pins=Pins(fault="write", rows=5)))
@SMALL
def test_an_outage_fits_into_the_budget(plan: Plan) -> None:
    """The budget covers the outage and the recovery after it, which ends before the script starts."""
    (fault,) = plan.faults
    assert isinstance(fault, Kill)
    assert fault.down_s + plan.recovery_s <= plan.budget_s
    assert fault.after_s + fault.down_s < plan.write_s


def test_writers_reach_200_rows_a_second() -> None:
    """Twelve tenants write at least 200 rows a second in the write phase."""
    plan = _minimal(SCHEMAS["helpdesk"], tenants=12)
    rows = sum(
        len(operation.rows) if isinstance(operation, Copy) else 1
        for tenant in plan.tenants
        for writer, count in zip(tenant.writers, tenant.write_counts, strict=True)
        for transaction in writer[:count]
        for operation in transaction.operations
    )
    assert rows / plan.write_s >= 200
    assert plan.floors.rows_per_s == 200


def test_hundreds_of_tenants_write_half_as_fast_once_the_script_begins() -> None:
    """Writers leave the machine to script and restores: a pause for few tenants does not spur on many."""
    plan = _minimal(SCHEMAS["shop"], tenants=240)
    paces = [
        [t.pause_s for t in writer[count - 8 : count]] + [t.pause_s for t in writer[count : count + 8]]
        for tenant in plan.tenants
        if not tenant.quiet
        for writer, count in zip(tenant.writers, tenant.write_counts, strict=True)
    ]
    assert sum(8 / sum(pauses[:8]) for pauses in paces) > 100
    assert sum(8 / sum(pauses[8:]) for pauses in paces) < 80


def test_what_can_not_be_drawn_is_refused() -> None:
    """Unknown names and impossible wishes are refused with what would do."""
    shop = SCHEMAS["shop"]
    with pytest.raises(UnknownName, match="profile"):
        plans(shop, profile="leisurely")
    with pytest.raises(UnknownName, match="step"):
        plans(shop, pins=Pins(kind="meteorite"))
    with pytest.raises(BadInput, match="wrong_kind"):
        plans(shop, pins=Pins(kind="wrong_kind"))
    with pytest.raises(BadInput, match="too few"):
        plans(shop, tenants=1)
    with pytest.raises(BadInput, match="promised"):
        _minimal(shop, budget_s=301.0)


def _minimal(
    schema: Schema, *, tenants: int = 3, budget_s: float | None = None, flush_interval_s: float = 1.0
) -> Plan:
    """Return the plan of the simplest shape: Hypothesis's first example."""
    found: list[PlanShape] = []

    @settings(
        max_examples=1, phases=[Phase.generate], database=None, suppress_health_check=list(HealthCheck)
    )
    @given(shapes(schema, tenants=tenants))
    def collect(shape: PlanShape) -> None:
        found.append(shape)

    collect()
    return expand(found[0], schema, Settings(budget_s=budget_s, flush_interval_s=flush_interval_s))


def _interleaved(tenant: TenantPlan, order: str) -> list[tuple[int, Transaction]]:
    """The write phase and the beginning of the tail, each with its writer."""
    lanes = [
        [(number, t) for t in writer[: count + 5]]
        for number, (writer, count) in enumerate(zip(tenant.writers, tenant.write_counts, strict=True))
    ]
    if order == "turns":
        return [item for turn in zip_longest(*lanes) for item in turn if item is not None]
    return [item for lane in (lanes if order == "first" else lanes[::-1]) for item in lane]


def _committed_due_s(tenant: TenantPlan) -> list[float]:
    """When the committed transactions of the write phase are due."""
    return [
        at
        for writer, count in zip(tenant.writers, tenant.write_counts, strict=True)
        for at, t in zip(accumulate(t.pause_s for t in writer), writer[:count], strict=False)
        if t.commit
    ]


def _all(tenant: TenantPlan) -> list[Transaction]:
    return [*tenant.initial, *(t for writer in tenant.writers for t in writer), *tenant.probes]
