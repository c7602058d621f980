"""Draws plans with Hypothesis, and expands shapes into explicit operations by pure functions."""

from __future__ import annotations

from harness.generate.campaigns import campaign, pinned_plan
from harness.generate.strategies import Pins, plans, shapes
from harness.generate.validate import validate

__all__ = ["Pins", "campaign", "pinned_plan", "plans", "shapes", "validate"]
