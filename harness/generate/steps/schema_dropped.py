"""DROP SCHEMA CASCADE: tables, types, functions, lookup tables and plumbing go at once (FM-7).

Only where all tables lie in one schema of the database, and not in ``public``, which others may use too.
"""

from __future__ import annotations

import msgspec

from harness.generate.shapes import Means, ScriptShape
from harness.generate.steps.ground import Ground
from harness.generate.steps.how import Order
from harness.generate.steps.reshaped import namespace
from harness.generate.steps.step import Due, Step
from harness.model.schema import Schema


def _means(schema: Schema) -> tuple[Means, ...]:
    return ("tables",) if namespace(schema) else ()


def _due(ground: Ground, shape: ScriptShape) -> Due:
    tables = tuple(table.name for table in ground.schema.tables)
    name = namespace(ground.schema) or ""
    return Due(
        orders=[Order(name=name, mode="drop", tables=tables)],
        words=f"DROP SCHEMA {name} CASCADE",
        how=msgspec.structs.replace(shape.how, means="tables", batching="one_huge", control_plane=False),
    )


STEP = Step(kind="schema_dropped", means=_means, due=_due, storm=True, in_place=True)
