"""Two operators at once, each with a list of their own, and one tenant that is on both lists."""

from __future__ import annotations

import msgspec

from harness.generate.shapes import Means, ScriptShape
from harness.generate.steps.ground import Ground
from harness.generate.steps.how import orders
from harness.generate.steps.step import Due, Step, any_means, count_words, pick
from harness.model.schema import Schema


def _means(schema: Schema) -> tuple[Means, ...]:
    """Not the function: what it takes an id for would hang on who of the two comes first."""
    return tuple(means for means in any_means(schema) if means != "function")


def _due(ground: Ground, shape: ScriptShape) -> Due:
    """Both go slowly, so that their transactions come in turns."""
    hit = pick(ground, max(2, shape.hit))
    how = msgspec.structs.replace(shape.how, batching="slow")
    half = len(hit) // 2
    first, second = hit[: half + 1], hit[half:]
    return Due(
        orders=orders(ground, first, how, intended=None, actual="permanent"),
        second=orders(ground, second, how, intended=None, actual="permanent"),
        words=f"two operators at once remove {count_words(hit)}, {hit[half]} both of them",
        how=how,
    )


STEP = Step(kind="two_operators", means=_means, due=_due, storm=True, in_place=True)
