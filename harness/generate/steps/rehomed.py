"""Two tenants merged that nobody wanted to merge: parents change hands, and their descendants with them.

No event tells of the descendants (re-homing): only the rows with the tenant's own column are updated.
"""

from __future__ import annotations

import msgspec

from harness.generate.shapes import Means, ScriptShape
from harness.generate.steps.ground import Ground
from harness.generate.steps.moved import given_away
from harness.generate.steps.moves import along, estate
from harness.generate.steps.step import Due, Step, count_words
from harness.model.schema import Schema


def _means(schema: Schema) -> tuple[Means, ...]:
    """Only where something hangs below what is moved."""
    return ("tables",) if along(schema, estate(schema)) else ()


def _due(ground: Ground, shape: ScriptShape) -> Due:
    orders = given_away(ground, shape, estate(ground.schema))
    return Due(
        orders=orders,
        words=f"{count_words([o.name for o in orders])} merged into others, with all that hangs below",
        how=msgspec.structs.replace(shape.how, means="tables", control_plane=False),
    )


STEP = Step(kind="rehomed", means=_means, due=_due, storm=True, in_place=True)
