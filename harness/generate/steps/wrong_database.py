"""Run on production what was meant for a test database: nobody here was to be deleted."""

from __future__ import annotations

from harness.generate.shapes import ScriptShape
from harness.generate.steps.ground import Ground
from harness.generate.steps.how import orders
from harness.generate.steps.step import Due, Step, any_means, count_words, pick


def _due(ground: Ground, shape: ScriptShape) -> Due:
    hit = pick(ground, max(1, shape.hit))
    return Due(
        orders=orders(ground, hit, shape.how, intended=None, actual="permanent"),
        words=f"a clean-up meant for a test database deletes {count_words(hit)}",
    )


STEP = Step(kind="wrong_database", means=any_means, due=_due)
