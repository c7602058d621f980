"""DROP TABLE of a table and all that refer to it: no row event, and every tenant is hit (FM-7)."""

from __future__ import annotations

import msgspec

from harness.generate.shapes import Means, ScriptShape
from harness.generate.steps.ground import Ground
from harness.generate.steps.how import Order
from harness.generate.steps.reshaped import droppable
from harness.generate.steps.step import Due, Step
from harness.generate.steps.truncated import surely_filled
from harness.model.schema import Schema


def _choices(schema: Schema) -> list[tuple[str, ...]]:
    return surely_filled(schema, droppable(schema))


def _means(schema: Schema) -> tuple[Means, ...]:
    return ("tables",) if _choices(schema) else ()


def _due(ground: Ground, shape: ScriptShape) -> Due:
    tables = ground.rng.choice(_choices(ground.schema))
    return Due(
        orders=[Order(name=tables[0], mode="drop", tables=tables)],
        words=f"DROP TABLE {', '.join(tables)}",
        how=msgspec.structs.replace(shape.how, means="tables", batching="one_huge", control_plane=False),
    )


STEP = Step(kind="dropped", means=_means, due=_due, storm=True, in_place=True)
