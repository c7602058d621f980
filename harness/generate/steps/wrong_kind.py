"""The wrong kind of id, as in 2022: ids of one kind where those of another are expected."""

from __future__ import annotations

from harness.generate.shapes import Means, ScriptShape
from harness.generate.steps.ground import Ground, row_effect
from harness.generate.steps.how import Order
from harness.generate.steps.step import Due, Step, count_words, has_entity, marked_entity
from harness.model.plan import Mode
from harness.model.schema import Entity, Schema


def _means(schema: Schema) -> tuple[Means, ...]:
    """Only the function confuses kinds, and only where it looks for tenants' entities first."""
    scopes = [entity.scope for entity in schema.script.entities if has_entity(schema, entity.scope)]
    can = scopes[:1] == ["tenant"] and "row" in scopes and schema.script.function is not None
    return ("function",) if can else ()


def _due(ground: Ground, shape: ScriptShape) -> Due:
    meant, taken = ground.entity("row"), ground.entity("tenant")
    assert meant is not None  # as _means saw
    assert taken is not None
    mode: Mode = "mark" if shape.mark and marked_entity(ground.schema) else "permanent"
    confused = _confused(ground, meant, taken)
    hit = list(confused.items())[: max(1, shape.hit)]
    orders = [
        Order(name=number, mode=mode, intended=(row_effect(meant, owner, number, mode),))
        for number, owner in (pair for _, pair in hit)
    ]
    done = f"{count_words([tenant for tenant, _ in hit])} {'marked' if mode == 'mark' else 'removed'}"
    return Due(orders=orders, words=f"ids of {meant.name}s where {taken.name}s' are expected: {done}")


def _confused(ground: Ground, meant: Entity, taken: Entity) -> dict[str, tuple[str, str]]:
    """For each tenant that can be hit: an id of another tenant's, and that tenant; in no order."""
    found: dict[str, tuple[str, str]] = {}
    for owner in ground.rng.sample(ground.tenants, len(ground.tenants)):
        for number in ground.ids(meant, owner):
            victim = ground.owner(taken, number)
            if victim is not None and victim != owner:
                found.setdefault(victim, (number, owner))
    return found


# Run again, the function would find the tenants gone and take the ids for what they are.
STEP = Step(kind="wrong_kind", means=_means, due=_due, marks=True, reruns=False)
