"""Campaigns: plans drawn from a seed so that every kind of case comes up by design, not by luck."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, given, seed, settings

from harness.generate.expand import expand
from harness.generate.profiles import Settings
from harness.generate.shapes import PlanShape
from harness.generate.strategies import Pins, shapes
from harness.model.errors import BadInput
from harness.model.plan import Plan, Survivors
from harness.model.schema import Schema


def campaign(  # noqa: PLR0913 - each is an option of the command line
    schema: Schema,
    *,
    seed: int,
    plans: int,
    profile: str = "quick",
    tenants: int | None = None,
    survivors: Survivors | None = None,
    budget_s: float | None = None,
    flush_interval_s: float = 1.0,
) -> list[Plan]:
    """Return ``plans`` plans, the same for the same arguments and the same version of the house.

    Raises BadInput for arguments of which no plan can be drawn.
    """
    if plans < 1 or seed < 0:
        raise BadInput(
            f"{plans} plans of seed {seed} can't be drawn", cure="give at least one plan, and a seed from 0"
        )
    asked = Settings(profile=profile, budget_s=budget_s, flush_interval_s=flush_interval_s)
    return [
        expand(_drawn(schema, profile, tenants, pins, seed * 1000 + number), schema, asked)
        for number, pins in enumerate(_strata(plans, survivors))
    ]


def _strata(plans: int, survivors: Survivors | None) -> list[Pins]:
    both: tuple[Survivors, Survivors] = ("all", "archive")
    return [
        Pins(
            survivors=survivors or both[number % 2],
            initial="snapshot" if number == 0 else None,
            fault="write" if number == 1 else "none",
            again=number == 2,
        )
        for number in range(plans)
    ]


def _drawn(schema: Schema, profile: str, tenants: int | None, pins: Pins, number: int) -> PlanShape:
    """Let Hypothesis draw: its first example is always the minimal one, so the second is taken."""
    found: list[PlanShape] = []

    @seed(number)
    @settings(
        max_examples=3,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(shapes(schema, profile=profile, tenants=tenants, pins=pins))
    def collect(shape: PlanShape) -> None:
        found.append(shape)

    collect()
    return found[min(1, len(found) - 1)]
