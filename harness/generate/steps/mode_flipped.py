"""The mode flipped by mistake: tenants that were to be marked are removed, beside some treated rightly."""

from __future__ import annotations

from collections.abc import Sequence

from harness.generate.shapes import Means, ScriptShape
from harness.generate.steps.ground import Ground
from harness.generate.steps.how import orders
from harness.generate.steps.step import Due, Step, any_means, count_words, marked_entity, split, too
from harness.model.schema import Schema


def _means(schema: Schema) -> tuple[Means, ...]:
    return any_means(schema) if marked_entity(schema) else ()


def _due(ground: Ground, shape: ScriptShape) -> Due:
    rightly, hit = split(ground, shape)
    others = [tenant for tenant in ground.tenants if tenant not in (*rightly, *hit)]
    marked = ground.rng.sample(others, min(shape.marked, len(others)))
    return Due(
        orders=[
            *orders(ground, marked, shape.how, intended="mark", actual="mark"),
            *orders(ground, rightly, shape.how, intended="permanent", actual="permanent"),
            *orders(ground, hit, shape.how, intended="mark", actual="permanent"),
        ],
        words=f"{count_words(hit)} to be marked{_like(marked)}, removed by a flipped mode{too(rightly)}",
    )


def _like(marked: Sequence[str]) -> str:
    return f" like {count_words(marked)}" if marked else ""


STEP = Step(kind="mode_flipped", means=_means, due=_due, rightly=(0, 2), marked=2)
