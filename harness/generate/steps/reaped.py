"""Tenants marked by mistake, and a reaper that purges what is marked while they are restored (FM-9).

Whom it finds still marked it removes for good; of whom was restored before, it must find no mark any more.
It takes its locks first, from the tenant's own row down, as a careful reaper does.
"""

from __future__ import annotations

import msgspec

from harness.generate.shapes import Means, ScriptShape
from harness.generate.steps import sql
from harness.generate.steps.ground import Ground
from harness.generate.steps.how import orders
from harness.generate.steps.step import Due, Step, count_words, marked_entity, pick
from harness.model.plan import Effect, ScriptTransaction, Statement
from harness.model.schema import Schema

RUNS = 4
PAUSES_S = (0.3, 2.0)


def _means(schema: Schema) -> tuple[Means, ...]:
    return ("tables",) if marked_entity(schema) else ()


def _due(ground: Ground, shape: ScriptShape) -> Due:
    hit = pick(ground, max(1, shape.hit))
    how = msgspec.structs.replace(shape.how, means="tables", control_plane=False)
    return Due(
        orders=orders(ground, hit, how, intended=None, actual="mark"),
        words=f"{count_words(hit)} marked, and purged by a reaper while they are restored",
        how=how,
        later=tuple(_run(ground, hit, number) for number in range(RUNS)),
    )


def _run(ground: Ground, hit: list[str], number: int) -> ScriptTransaction:
    """One run of the reaper; the marked entity's table is the last to be emptied."""
    entity = ground.entity("tenant")
    assert entity is not None  # as _means saw
    kept = {ground.facts.root, entity.table}
    tables = (*(t.name for t in ground.schema.owned if t.name not in kept), entity.table)
    statements = sql.purge(ground.facts, entity, tables, hit)
    return ScriptTransaction(
        name=f"reaper.{number}",
        statements=tuple(Statement(sql=text) for text in statements),
        intended=(),
        actual=tuple(
            Effect(tenant=tenant, mode="purge", tables=tables, mark_column=entity.mark_column)
            for tenant in hit
        ),
        pause_s=round(ground.rng.uniform(*PAUSES_S), 2),
        during="restore",
    )


STEP = Step(kind="reaped", means=_means, due=_due, storm=True, in_place=True)
