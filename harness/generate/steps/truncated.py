"""TRUNCATE of a table, alone or with all that refer to it: no row event, and every tenant is hit (FM-7)."""

from __future__ import annotations

import msgspec

from harness.generate.shapes import Means, ScriptShape
from harness.generate.steps.ground import Ground
from harness.generate.steps.how import Order
from harness.generate.steps.partial import truncatable
from harness.generate.steps.step import Due, Step
from harness.model.schema import Schema


def _means(schema: Schema) -> tuple[Means, ...]:
    """One table, or by CASCADE; only tables where tenants are sure to have rows."""
    sizes = {len(names) > 1 for names in _choices(schema)}
    return (*(("tables",) if False in sizes else ()), *(("cascade",) if True in sizes else ()))


def _choices(schema: Schema) -> list[tuple[str, ...]]:
    return surely_filled(schema, truncatable(schema))


def surely_filled(schema: Schema, sets: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return those sets of tables in which every tenant has rows from the beginning."""
    filled = {name for name, hint in schema.hints.items() if hint.initial}
    filled |= {schema.ledger.table} if schema.ledger else set()
    written = {t.name for t in schema.owned if t.name not in schema.hints or schema.hints[t.name].weight}
    return [names for names in sets if filled & {*names} or written <= {*names}]


def _due(ground: Ground, shape: ScriptShape) -> Due:
    cascade = shape.how.means == "cascade"
    tables = ground.rng.choice([t for t in _choices(ground.schema) if (len(t) > 1) == cascade])
    return Due(
        orders=[Order(name=tables[0], mode="truncate", tables=tables)],
        words=f"TRUNCATE {tables[0]}{' CASCADE' if cascade else ''}",
        how=msgspec.structs.replace(shape.how, means="tables", batching="one_huge", control_plane=False),
    )


STEP = Step(kind="truncated", means=_means, due=_due, storm=True, in_place=True)
