"""An UPDATE of the tenant's column that nobody meant: rows of some tenants are others' now (FM-41).

Whoever gets them may be damaged too: then its own rows have gone on to somebody else, just before.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from harness.generate.shapes import Means, ScriptShape
from harness.generate.steps.ground import Ground
from harness.generate.steps.how import Order
from harness.generate.steps.moves import leaves
from harness.generate.steps.step import Due, Step, count_words, pick
from harness.model.schema import Schema


def _sure(schema: Schema) -> list[str]:
    """Return tables that can be moved and in which every tenant has rows."""
    filled = {name for name, hint in schema.hints.items() if hint.initial}
    filled |= {schema.ledger.table} if schema.ledger else set()
    return [name for name in leaves(schema) if name in filled]


def _means(schema: Schema) -> tuple[Means, ...]:
    return ("tables",) if _sure(schema) else ()


def given_away(ground: Ground, shape: ScriptShape, tables: Sequence[str]) -> list[Order]:
    """Return orders that give rows of the tenants hit to others; at least one tenant is not hit.

    Run again after a kill, it would move on what somebody else had got: then all goes to one receiver.
    """
    *hit, receiver = pick(ground, min(max(1, shape.hit), len(ground.tenants) - 1) + 1)
    orders = []
    for number, tenant in enumerate(hit):
        earlier = hit[:number] if shape.how.killed_after is None else []
        to = ground.rng.choice([receiver, *earlier[-1:]])
        orders.append(Order(name=tenant, mode="move", tables=tuple(tables), to=to))
    return orders


def _due(ground: Ground, shape: ScriptShape) -> Due:
    sure = _sure(ground.schema)
    first = ground.rng.choice(sure)
    others = [name for name in leaves(ground.schema) if name != first]
    chosen = {first, *ground.rng.sample(others, ground.rng.randrange(len(others) + 1))}
    tables = [table.name for table in ground.schema.owned if table.name in chosen]
    orders = given_away(ground, shape, tables)
    return Due(
        orders=orders,
        words=f"rows of {count_words([o.name for o in orders])} in {', '.join(tables)} are given to others",
        how=msgspec.structs.replace(shape.how, means="tables", control_plane=False),
    )


STEP = Step(kind="moved", means=_means, due=_due, storm=True, in_place=True)
