"""Rows erased for good reason, then their tenants lost by mistake: what was erased stays away (FM-13)."""

from __future__ import annotations

from harness.generate.shapes import Means, ScriptShape
from harness.generate.steps.ground import Ground, row_effect
from harness.generate.steps.how import Manner, Order, orders
from harness.generate.steps.step import Due, Step, any_means, count_words, has_entity, pick
from harness.model.schema import Schema

WAITS_S = ((1.0, 4.0), (12.0, 16.0), (12.0, 16.0))
"""How long before the accident rows are erased: now and then within a short drill's budget, else before
it: only then must they stay away from whatever state may be restored."""


def _means(schema: Schema) -> tuple[Means, ...]:
    can = has_entity(schema, "row") and "function" in any_means(schema)
    return ("function",) if can else ()


def _due(ground: Ground, shape: ScriptShape) -> Due:
    """Hit those first of whom a row can be erased."""
    erasable = {
        tenant: found
        for tenant in pick(ground, len(ground.tenants))
        if (found := _erasures(ground, tenant))
    }
    others = [tenant for tenant in ground.tenants if tenant not in erasable]
    hit = [*erasable, *others][: max(1, shape.hit)]
    erased = [order for tenant in hit for order in erasable.get(tenant, ())]
    return Due(
        orders=[*erased, *orders(ground, hit, shape.how, intended=None, actual="permanent")],
        words=f"{len(erased)} rows rightly erased, and then {count_words(hit)} removed",
        manner=Manner(canary=len(erased), wait_s=round(ground.rng.uniform(*ground.rng.choice(WAITS_S)), 1)),
    )


def _erasures(ground: Ground, tenant: str) -> list[Order]:
    """Erase one row of the tenant, of which the function can't take the id for another's."""
    entity = ground.entity("row")
    assert entity is not None  # as _means saw
    for number in ground.ids(entity, tenant):
        meant = row_effect(entity, tenant, number, "permanent")
        if ground.effect_of_id(number, "permanent") == meant:
            return [Order(name=number, mode="permanent", intended=(meant,))]
    return []


STEP = Step(kind="erasure", means=_means, due=_due, storm=True, in_place=True)
