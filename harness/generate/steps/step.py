"""What a step of the delete-script grammar is, and what its kinds have in common.

A step is one file with one ``Step`` value: a ``kind``, whether a schema can say it, and a pure function
from a shape to orders. Its numbers are drawn by ``draw_script``; which of them mean anything is its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from harness.generate.shapes import HowShape, Means, ScriptShape
from harness.generate.steps.ground import Ground
from harness.generate.steps.how import PLAIN, Manner, Order
from harness.model.plan import ScriptTransaction
from harness.model.schema import Schema


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """What a step wants done: orders, and a sentence about them.

    ``manner``: see ``how.Manner``. ``second``: what another operator does meanwhile. ``how``: how it is
    gone about, where that is the step's own nature and not drawn. ``later``: what is done while tenants
    are restored.
    """

    orders: Sequence[Order]
    words: str
    manner: Manner = PLAIN
    second: Sequence[Order] = ()
    how: HowShape | None = None
    later: tuple[ScriptTransaction, ...] = ()


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of mistake.

    ``means``: by which means it can be made in a schema; empty when the schema can't say it.
    ``due``: what is to be done, for a shape. ``rightly``: least and most tenants that it deletes as
    intended. ``one_hit``: it always hits one tenant. ``marks``: its damage may be a mark instead.
    ``marked``: most tenants that it marks as intended.
    ``reruns``: it may be killed and run again when it removes for good (and not only when it marks).
    ``takes``: a neighbour takes a natural key that its damage left free.
    ``huge``: its tenants have as many rows as the profile allows for.
    ``in_place``: what is its own (what it leaves in the catalogue, or with others, or does later on) is
    to be seen only in a database that lives on.
    ``storm``: only profiles that ask for the whole grammar take it. ``weight``: how often it is drawn,
    beside the others; with 0 only where it is asked for by name.
    """

    kind: str
    means: Callable[[Schema], tuple[Means, ...]]
    due: Callable[[Ground, ScriptShape], Due]
    rightly: tuple[int, int] = (0, 0)
    one_hit: bool = False
    marks: bool = False
    marked: int = 0
    reruns: bool = True
    takes: bool = False
    huge: bool = False
    in_place: bool = False
    storm: bool = False
    weight: int = 1


def any_means(schema: Schema) -> tuple[Means, ...]:
    """Return every means that the schema has; table by table always works."""
    has_function = schema.script.function is not None and has_entity(schema, "tenant")
    found: list[Means] = ["tables"]
    found += ["cascade"] if schema.script.cascades else []
    found += ["function"] if has_function else []
    return tuple(found)


def has_entity(schema: Schema, scope: str) -> bool:
    """Whether ids of an entity of that scope are known beforehand, each tenant having some."""
    return any(
        entity.scope == scope
        and schema.table(entity.table).key == (entity.column,)
        and bool(schema.hints[entity.table].initial if entity.table in schema.hints else None)
        for entity in schema.script.entities
    )


def pick(ground: Ground, count: int) -> list[str]:
    """Return that many of the tenants (all, if there are fewer), in no order."""
    return ground.rng.sample(ground.tenants, min(count, len(ground.tenants)))


def split(ground: Ground, shape: ScriptShape) -> tuple[list[str], list[str]]:
    """Return tenants rightly deleted and tenants hit by mistake; at least one is hit."""
    rightly = min(shape.rightly, len(ground.tenants) - 1)
    chosen = pick(ground, rightly + max(1, shape.hit))
    return chosen[:rightly], chosen[rightly:]


def count_words(tenants: Sequence[str]) -> str:
    """Say how many tenants, and which one if it is one."""
    return f"tenant {tenants[0]}" if len(tenants) == 1 else f"{len(tenants)} tenants"


def too(rightly: Sequence[str]) -> str:
    """Say that some tenants were removed as intended, if there were any."""
    return f", beside {count_words(rightly)} rightly removed" if rightly else ""


def marked_entity(schema: Schema) -> bool:
    """Whether a tenant can be marked: the entity that stands for it has a column for that."""
    first = next((e for e in schema.script.entities if e.scope == "tenant"), None)
    return first is not None and first.mark_column is not None and has_entity(schema, "tenant")
