"""A canary that sings for the wrong reason: the first batch is right, is looked at, and later ones are not.

FM-3: the guard looks at the canary only, whose tenants really were to go; the list behind it was another.
"""

from __future__ import annotations

from harness.generate.shapes import ScriptShape
from harness.generate.steps.ground import Ground
from harness.generate.steps.how import Manner, orders
from harness.generate.steps.step import Due, Step, any_means, count_words, split


def _due(ground: Ground, shape: ScriptShape) -> Due:
    rightly, hit = split(ground, shape)
    right = orders(ground, rightly, shape.how, intended="permanent", actual="permanent")
    wrong = orders(ground, hit, shape.how, intended=None, actual="permanent")
    return Due(
        orders=[*right, *wrong],
        words=f"a canary batch rightly removes {count_words(rightly)}, later batches {count_words(hit)}",
        manner=Manner(canary=len(right)),
    )


STEP = Step(kind="canary", means=any_means, due=_due, rightly=(1, 2), storm=True)
