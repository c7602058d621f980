"""An UPDATE without the right WHERE: columns of tenants' rows are blanked, and every row is still there."""

from __future__ import annotations

import msgspec

from harness.generate.shapes import Means, ScriptShape
from harness.generate.steps.ground import Ground
from harness.generate.steps.how import Order
from harness.generate.steps.partial import blankable
from harness.generate.steps.step import Due, Step, count_words, pick
from harness.model.schema import Schema

TABLES_MAX = 3


def _filled(schema: Schema) -> list[str]:
    """Return the tables in which every tenant has rows from the beginning."""
    return [name for name in blankable(schema) if name in schema.hints and schema.hints[name].initial]


def _means(schema: Schema) -> tuple[Means, ...]:
    return ("tables",) if _filled(schema) else ()


def _due(ground: Ground, shape: ScriptShape) -> Due:
    """Blank in a table where everybody has rows, and in some others."""
    first = ground.rng.choice(_filled(ground.schema))
    others = [name for name in blankable(ground.schema) if name != first]
    tables = (first, *ground.rng.sample(others, min(len(others), ground.rng.randrange(TABLES_MAX))))
    hit = pick(ground, max(1, shape.hit))
    return Due(
        orders=[Order(name=tenant, mode="blank", tables=tables) for tenant in hit],
        words=f"an update blanks columns of {count_words(hit)} in {', '.join(tables)}",
        how=msgspec.structs.replace(shape.how, control_plane=False),
    )


STEP = Step(kind="blanked", means=_means, due=_due, storm=True, in_place=True)
