"""The plans of a trial: what an honest campaign of that seed draws, each plan once and kept.

Trial number n of every defect has the same seed, so that all of them meet the same plans and no plan is
drawn twice. A defect is caught in n campaigns that know nothing of it. Only one with a *hint* meets plans
that are bound to what it needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from random import Random

from harness import schemas
from harness.generate.campaigns import each, pinned_plan
from harness.model.plan import Plan
from harness.model.power import Asked
from harness.model.schema import Schema
from harness.power.benches import BENCHES

KEPT = 6
"""How many campaigns a process keeps: those of the trials at work."""


class Campaign:
    """Plans that are drawn when they are first asked for."""

    def __init__(self, plans: Iterator[Plan]) -> None:
        self._drawn: list[Plan] = []
        self._rest = plans

    def __iter__(self) -> Iterator[Plan]:
        yield from self._drawn
        for plan in self._rest:
            self._drawn.append(plan)
            yield plan


def seed_of(asked: Asked, what: str, number: int) -> int:
    """Return the seed of that trial or batch."""
    return Random(f"power {asked.seed} {what} {number}").getrandbits(31)


@lru_cache(maxsize=2)
def schema_of(name: str) -> Schema:
    """Return the schema of that name, or of that folder."""
    return schemas.load(name).schema


@lru_cache(maxsize=KEPT)
def campaign_of(asked: Asked, seed: int, plans: int, profile: str, kind: str = "") -> Campaign:
    """Return the campaign of that seed, its scripts bound to one ``kind`` if that is named."""
    schema = schema_of(asked.schema)
    if kind:
        return Campaign(pinned(schema, kind=kind, seed=seed, plans=plans, profile=profile))
    unavailable = BENCHES[asked.host].unavailable
    return Campaign(each(schema, seed=seed, plans=plans, profile=profile, unavailable=unavailable))


def pinned(schema: Schema, *, kind: str, seed: int, plans: int, profile: str) -> Iterator[Plan]:
    """Yield plans whose scripts are of one ``kind``."""
    for number in range(plans):
        yield pinned_plan(schema, kind=kind, seed=seed + number, profile=profile)
