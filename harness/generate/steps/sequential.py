"""A run of many seconds, one tenant after another, while everybody goes on writing (FM-10).

It lasts longer than a short drill's budget: whoever takes one instant for all tenants ("just before the
script") loses, for those hit late, legitimate writes older than the budget.
"""

from __future__ import annotations

import msgspec

from harness.generate.shapes import ScriptShape
from harness.generate.steps.ground import Ground
from harness.generate.steps.how import orders
from harness.generate.steps.step import Due, Step, any_means, count_words, pick

LASTS_S = (6.0, 15.0)
HIT_MIN = 2


def _due(ground: Ground, shape: ScriptShape) -> Due:
    hit = pick(ground, max(HIT_MIN, shape.hit))
    how = msgspec.structs.replace(
        shape.how, batching="slow", lasts_s=round(ground.rng.uniform(*LASTS_S), 1)
    )
    return Due(
        orders=orders(ground, hit, how, intended=None, actual="permanent"),
        words=f"a run of about {how.lasts_s:.0f} s removes {count_words(hit)}",
        how=how,
    )


STEP = Step(kind="sequential", means=any_means, due=_due, storm=True)
