"""Traps of concurrency in plans: what straddles the incident begins before it and ends after it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import accumulate
from random import Random

import msgspec
import pytest

from fixtures.handmade import QUIET, TENANTS, meeting_plan, shop_plan
from harness import schemas
from harness.generate.campaigns import campaign
from harness.generate.facts import SchemaFacts
from harness.generate.initial import load
from harness.generate.reduced import reduced
from harness.generate.scribe import Scribe
from harness.generate.shapes import TenantShape
from harness.generate.traps import (
    HELD_S_MAX,
    STRADDLERS_MAX,
    THINKS_IN_ALL_S_MAX,
    THINKS_S,
    with_meeting,
    with_straddlers,
)
from harness.generate.validate import validate
from harness.model import plan as plans
from harness.model.errors import BadInput
from harness.model.operations import OPEN_S_MAX, Transaction, Update
from harness.model.plan import Plan

HELPDESK, SHOP = schemas.load("helpdesk").schema, schemas.load("shop").schema
Met = tuple[str, int, Transaction]
ALWAYS = 1.0


def held(plan: Plan) -> dict[str, float]:
    """Return which writers' transactions are held open, and for how long; not those that meet another."""
    return {
        tx.name: tx.hold_s
        for tenant in plan.tenants
        for writer in tenant.writers
        for tx in writer
        if tx.hold_s and not tx.serializable
    }


def straddled(seed: int, *, damaged: tuple[str, ...] = (TENANTS[0],), script_s: float = 8.0) -> Plan:
    """Return a plan by hand in which transactions straddle the script."""
    plan = shop_plan()
    tenants = with_straddlers(plan.tenants, damaged, Random(seed), script_s, share=ALWAYS)
    return msgspec.structs.replace(plan, tenants=tenants)


def serializable(plan: Plan) -> list[Met]:
    """Return the serializable transactions, each with its tenant and writer."""
    return [
        (tenant.tenant, number, tx)
        for tenant in plan.tenants
        for number, writer in enumerate(tenant.writers)
        for tx in writer
        if tx.serializable
    ]


@cache
def drawn(profile: str) -> list[Plan]:
    """Return plans of a profile that hunts, each with the schema that is the quicker one to draw for."""
    schema = {"storm": SHOP, "hunt": HELPDESK, "chase": SHOP}[profile]
    found = campaign(schema, seed=4, plans=12, profile=profile, tenants=3)
    for plan in found:
        validate(plan, schema)
    return found


HUNTING = ("storm", "hunt", "chase")


@pytest.mark.parametrize("profile", HUNTING)
def test_in_some_plans_of_profiles_that_hunt_two_writers_meet(profile: str) -> None:
    """Both change one row of the control plane first; the one due first waits until the other is due."""
    met = [plan for plan in drawn(profile) if serializable(plan)]
    assert 0 < len(met) < 8
    for plan in met:
        for (tenant, one, first), (same, other, second) in batched_in_twos(serializable(plan)):
            assert (tenant, one != other) == (same, True)
            changes = [tx.operations[0] for tx in (first, second)]
            assert all(isinstance(change, Update) for change in changes)
            assert len({change.handle for change in changes if isinstance(change, Update)}) == 1
            assert max(first.hold_s, second.hold_s) > 0
            assert (first.commit, second.commit) == (True, True)


def batched_in_twos(found: list[Met]) -> Iterator[tuple[Met, Met]]:
    """Yield what was found two by two: the two that meet come one after the other."""
    assert len(found) % 2 == 0
    yield from zip(found[::2], found[1::2], strict=True)


def test_a_tenant_without_a_second_writer_meets_nobody() -> None:
    """Nor does one whose writers are never due close together, or who has no row that both may change."""
    facts = SchemaFacts(SHOP)
    lonely = Scribe(facts, "a", 0, Random(1), {})
    one = tuple(Transaction(name=f"one.{n}", operations=(), pause_s=1.0) for n in range(3))
    two = tuple(Transaction(name=f"two.{n}", operations=(), pause_s=1.0) for n in range(3))
    late = tuple(Transaction(name=f"late.{n}", operations=(), pause_s=9.0) for n in range(3))
    assert with_meeting(lonely, [one], [3]) == (one,)
    assert with_meeting(lonely, [one, two], [3, 3]) == (one, two)
    load(lonely, TenantShape(rows=5), 2)
    assert with_meeting(lonely, [one, late], [3, 3]) == (one, late)
    met = with_meeting(lonely, [one, two], [3, 3])
    assert [sum(tx.serializable for tx in writer) for writer in met] == [1, 1]


@pytest.mark.parametrize("profile", HUNTING)
def test_some_plans_of_profiles_that_hunt_hold_transactions_over_the_script(profile: str) -> None:
    """Some do, most don't."""
    assert 0 < sum(bool(held(plan)) for plan in drawn(profile)) < 8


@pytest.mark.parametrize("profile", HUNTING)
def test_in_most_plans_of_profiles_that_hunt_some_clients_think_amid_their_transactions(
    profile: str,
) -> None:
    """Others commit meanwhile. Nobody thinks where there is one operation, nor for long in all."""
    assert 4 <= sum(bool(thinking(plan)) for plan in drawn(profile)) < len(drawn(profile))
    for plan in drawn(profile):
        for tx in thinking(plan):
            gaps = len(tx.operations) - 1
            assert gaps >= 1
            assert tx.think_s <= THINKS_S[1]
            assert tx.think_s * gaps <= THINKS_IN_ALL_S_MAX + gaps * 5e-5  # it is rounded
        thinkers = {bool(tx.think_s) for w in writers(plan) for tx in w if len(tx.operations) > 1}
        assert len(thinkers) == 1  # all clients do always, or never


def thinking(plan: Plan) -> list[Transaction]:
    """Return the transactions amid which a client thinks."""
    return [tx for writer in writers(plan) for tx in writer if tx.think_s]


def writers(plan: Plan) -> list[tuple[Transaction, ...]]:
    """Return the transactions of each writer of any tenant."""
    return [writer for tenant in plan.tenants for writer in tenant.writers]


def test_a_quick_plan_holds_nothing() -> None:
    """What every quick drill is sure to prove has no traps."""
    quick = campaign(SHOP, seed=4, plans=3, tenants=3)
    assert [(held(plan), serializable(plan), thinking(plan)) for plan in quick] == [({}, [], [])] * 3


@pytest.mark.parametrize("seed", range(8))
def test_what_straddles_begins_before_the_script_and_ends_after_it(seed: int) -> None:
    """It is committed, soon enough, and of writers of whom most are damaged; who is quiet stays so."""
    plan = straddled(seed)
    assert 1 <= len(held(plan)) <= STRADDLERS_MAX
    for tenant in plan.tenants:
        for writer in tenant.writers:
            due = zip(writer, accumulate(tx.pause_s for tx in writer), strict=True)
            for tx, due_s in [(tx, due_s) for tx, due_s in due if tx.hold_s]:
                assert tenant.tenant != QUIET
                assert tx.commit
                assert due_s < 8.0 < due_s + tx.hold_s
                assert tx.hold_s <= HELD_S_MAX


def test_a_writer_who_begins_after_the_script_straddles_nothing() -> None:
    """Nor does one who is through long before it."""
    assert held(straddled(1, script_s=0.2)) == {}
    assert held(straddled(1, script_s=10_000.0)) == {}


def test_a_plan_of_nobody_but_the_quiet_is_left_as_it_is() -> None:
    """There is nobody who could hold anything open."""
    quiet = [tenant for tenant in shop_plan().tenants if tenant.quiet]
    assert with_straddlers(quiet, (QUIET,), Random(1), 8.0, share=ALWAYS) == tuple(quiet)


def test_a_hold_has_a_limit() -> None:
    """A script would stand still behind it: the plan is refused with what would do."""
    plan = next(plan for plan in drawn("chase") if held(plan))
    name, hold_s = next(iter(held(plan).items()))
    text, hold = plans.encode(plan), f'"hold_s":{hold_s}'.encode()
    with pytest.raises(BadInput, match=f"{name} is to be held open for 60 s") as refused:
        validate(plans.decode(text.replace(hold, b'"hold_s":60')), SHOP)
    assert f"at most {OPEN_S_MAX:g} s" in refused.value.cure
    with pytest.raises(BadInput, match="hold_s"):
        plans.decode(text.replace(hold, b'"hold_s":-1'))
    plan, thinks = next((plan, tx) for plan in drawn("chase") for tx in thinking(plan))
    asked = plans.encode(plan).replace(f'"think_s":{thinks.think_s}'.encode(), b'"think_s":6')
    with pytest.raises(BadInput, match=r"is to be held open for \d+ s"):
        validate(plans.decode(asked), SHOP)


def test_what_is_held_open_or_meets_for_nothing_is_plain_in_the_smallest_plan() -> None:
    """Also where the transactions themselves are needed; one that matters stays as it is."""
    plan = meeting_plan()
    wanted, other = serializable(plan)[0][2].name, next(iter(held(plan)))

    def fails(smaller: Plan) -> bool:
        there = {tx.name: tx for tenant in smaller.tenants for writer in tenant.writers for tx in writer}
        return other in there and wanted in there and there[wanted].serializable

    small = reduced(plan, fails)
    assert [tx.name for _, _, tx in serializable(small)] == [wanted]
    assert held(small) == {}
