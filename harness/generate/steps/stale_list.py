"""A stale list: tenants that were to go once, and have since been kept, go with those that are to go."""

from __future__ import annotations

from harness.generate.shapes import ScriptShape
from harness.generate.steps.ground import Ground
from harness.generate.steps.how import orders
from harness.generate.steps.step import Due, Step, any_means, count_words, split, too


def _due(ground: Ground, shape: ScriptShape) -> Due:
    rightly, hit = split(ground, shape)
    due = [
        *orders(ground, rightly, shape.how, intended="permanent", actual="permanent"),
        *orders(ground, hit, shape.how, intended=None, actual="permanent"),
    ]
    ground.rng.shuffle(due)
    return Due(orders=due, words=f"a stale list removes {count_words(hit)} that had stayed{too(rightly)}")


STEP = Step(kind="stale_list", means=any_means, due=_due, rightly=(1, 3))
