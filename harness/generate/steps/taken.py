"""Tenants removed with their own rows, and before they come back somebody takes a freed key (FM-12).

The restore in place has to refuse then, naming both rows; beside it must work. Nobody is left to take
anything where only the archive survives.
"""

from __future__ import annotations

import msgspec

from harness.generate.facts import SchemaFacts
from harness.generate.shapes import Means, ScriptShape
from harness.generate.steps.ground import Ground
from harness.generate.steps.how import orders
from harness.generate.steps.step import Due, Step, any_means, count_words, pick
from harness.generate.takings import natural_keys
from harness.model.schema import Schema


def _means(schema: Schema) -> tuple[Means, ...]:
    return any_means(schema) if natural_keys(SchemaFacts(schema)) else ()


def _due(ground: Ground, shape: ScriptShape) -> Due:
    """Leave one tenant alone, which takes the key of another."""
    hit = pick(ground, min(max(1, shape.hit), len(ground.tenants) - 1))
    how = msgspec.structs.replace(shape.how, control_plane=True)
    return Due(
        orders=orders(ground, hit, how, intended=None, actual="permanent"),
        words=f"{count_words(hit)} removed, and a neighbour takes a natural key that was left free",
        how=how,
    )


STEP = Step(kind="taken", means=_means, due=_due, storm=True, in_place=True, takes=True)
