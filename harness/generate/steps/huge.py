"""One huge transaction that removes nearly everybody, with all their rows (FM-14).

Decoding it and writing it into the archive holds up what comes after it, of those too who are left alone:
their exposure is judged as everybody's. How many rows it has is the profile's.
"""

from __future__ import annotations

import msgspec

from harness.generate.shapes import ScriptShape
from harness.generate.steps.ground import Ground
from harness.generate.steps.how import orders
from harness.generate.steps.step import Due, Step, any_means, count_words, pick

LEFT_ALONE = 2


def _due(ground: Ground, shape: ScriptShape) -> Due:
    """Leave somebody alone, who writes on and must not wait."""
    hit = pick(ground, max(1, len(ground.tenants) - LEFT_ALONE))
    how = msgspec.structs.replace(shape.how, batching="one_huge")
    return Due(
        orders=orders(ground, hit, how, intended=None, actual="permanent"),
        words=f"one huge transaction removes {count_words(hit)}",
        how=how,
    )


STEP = Step(kind="huge", means=any_means, due=_due, storm=True, huge=True)
