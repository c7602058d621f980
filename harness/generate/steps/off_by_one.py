"""An off-by-one range: the tenants from one to another were to go, and the next one goes as well."""

from __future__ import annotations

from harness.generate.shapes import ScriptShape
from harness.generate.steps.ground import Ground
from harness.generate.steps.how import Manner, orders
from harness.generate.steps.step import Due, Step, any_means, count_words


def _due(ground: Ground, shape: ScriptShape) -> Due:
    tenants = ground.sorted_tenants()
    rightly = min(max(1, shape.rightly), len(tenants) - 1)
    first = ground.rng.randrange(len(tenants) - rightly)
    meant, next_one = tenants[first : first + rightly], tenants[first + rightly]
    return Due(
        orders=[
            *orders(ground, meant, shape.how, intended="permanent", actual="permanent"),
            *orders(ground, [next_one], shape.how, intended=None, actual="permanent"),
        ],
        words=f"a range of {count_words(meant)} is one too long, and removes {next_one} too",
        manner=Manner(as_range=True),
    )


STEP = Step(kind="off_by_one", means=any_means, due=_due, rightly=(1, 3), one_hit=True)
