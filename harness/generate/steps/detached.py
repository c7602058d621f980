"""DETACH and DROP of one partition: some rows of some tenants go, and no event tells which (FM-7, FM-61).

One tenant goes by ordinary deletes before: of the others it is only likely that the partition hits them.
"""

from __future__ import annotations

import msgspec

from harness.generate.shapes import Means, ScriptShape
from harness.generate.steps.ground import Ground
from harness.generate.steps.how import Order
from harness.generate.steps.reshaped import detachable
from harness.generate.steps.step import Due, Step, pick
from harness.generate.steps.truncated import surely_filled
from harness.model.schema import Schema

LEAVES = 4
"""A leaf beyond the last one would detach nothing; the reference schemas have so many."""


def _choices(schema: Schema) -> list[str]:
    written = {t.name for t in schema.owned if t.name not in schema.hints or schema.hints[t.name].weight}
    filled = {names[0] for names in surely_filled(schema, [(name,) for name in detachable(schema)])}
    return [name for name in detachable(schema) if name in written | filled]


def _means(schema: Schema) -> tuple[Means, ...]:
    return ("tables",) if _choices(schema) else ()


def _due(ground: Ground, shape: ScriptShape) -> Due:
    table = ground.rng.choice(_choices(ground.schema))
    leaf = ground.rng.randrange(LEAVES)
    (hit,) = pick(ground, 1)
    return Due(
        orders=[
            Order(name=hit, mode="permanent"),
            Order(name=str(leaf), mode="detach", tables=(table,)),
        ],
        words=f"tenant {hit} removed, and DETACH and DROP of partition {leaf} of {table}",
        how=msgspec.structs.replace(shape.how, means="tables", batching="one_each"),
    )


STEP = Step(kind="detached", means=_means, due=_due, storm=True, in_place=True)
