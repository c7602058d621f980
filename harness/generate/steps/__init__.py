"""The grammar of delete scripts: one file a kind of mistake, and one line in ``STEPS``."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import msgspec

from harness.generate.facts import SchemaFacts
from harness.generate.layout import Layout
from harness.generate.shapes import HowShape, ScriptShape
from harness.generate.steps import (
    blanked,
    canary,
    detached,
    dropped,
    erasure,
    huge,
    mode_flipped,
    moved,
    off_by_one,
    orphans,
    reaped,
    rehomed,
    schema_dropped,
    sequential,
    shared_parent,
    stale_list,
    taken,
    truncated,
    two_operators,
    wrong_database,
    wrong_kind,
)
from harness.generate.steps.ground import Ground
from harness.generate.steps.how import Manner, how_words, perform
from harness.generate.steps.step import Step, any_means
from harness.model.errors import UnknownName
from harness.model.plan import Script
from harness.model.schema import Schema

_TABLE = (
    wrong_database.STEP,
    mode_flipped.STEP,
    wrong_kind.STEP,
    stale_list.STEP,
    off_by_one.STEP,
    canary.STEP,
    sequential.STEP,
    blanked.STEP,
    orphans.STEP,
    truncated.STEP,
    dropped.STEP,
    detached.STEP,
    schema_dropped.STEP,
    two_operators.STEP,
    erasure.STEP,
    moved.STEP,
    rehomed.STEP,
    taken.STEP,
    huge.STEP,
    reaped.STEP,
    shared_parent.STEP,
)
STEPS: dict[str, Step] = {step.kind: step for step in _TABLE}
"""Every step by its kind, the simplest first."""


def step_named(kind: str) -> Step:
    """Return the step; raises UnknownName."""
    if kind not in STEPS:
        raise UnknownName("step", kind, list(STEPS))
    return STEPS[kind]


def possible(schema: Schema, *, storm: bool = False) -> list[Step]:
    """Return the steps that the schema can say, in the table's order; ``storm``: the whole grammar."""
    return [
        step for step in STEPS.values() if step.weight and (storm or not step.storm) and step.means(schema)
    ]


def write_script(facts: SchemaFacts, layout: Layout, shape: ScriptShape) -> Script:
    """Return the script that a shape stands for."""
    ground = Ground(facts, layout, Random(f"script {shape.seed}"))
    return _written(ground, shape, "script")


def write_again(
    facts: SchemaFacts, layout: Layout, shape: ScriptShape, again: Sequence[str], first: Script
) -> Script:
    """Return a second script, which damages exactly the tenants ``again``, by the first one's means."""
    gone = [tenant for transaction in first.transactions for tenant in transaction.rightly_deleted]
    ground = Ground(facts, layout, Random(f"again {shape.seed}"), gone=gone, only=again)
    how = HowShape(means=shape.how.means if shape.how.means in any_means(facts.schema) else "tables")
    second = msgspec.structs.replace(
        shape, kind=wrong_database.STEP.kind, hit=len(again), rightly=0, mark=False, how=how
    )
    return _written(ground, second, "again")


def _written(ground: Ground, shape: ScriptShape, prefix: str) -> Script:
    due = step_named(shape.kind).due(ground, shape)
    how = due.how or shape.how
    transactions = perform(ground, due.orders, how, prefix=prefix, manner=due.manner)
    if due.second:
        second = Manner(operator=1)
        transactions += perform(ground, due.second, how, prefix=f"{prefix}.second", manner=second)
    transactions += due.later
    damaged = any(t.damaged for t in transactions if not t.killed)
    return Script(
        kind=shape.kind,
        words=f"{due.words} ({how_words(how)})",
        transactions=transactions,
        damages_nobody=not damaged,
    )
