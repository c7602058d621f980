"""Which points of the guarantee a drill judges, and what it does not ask of each."""

from __future__ import annotations

from collections.abc import Sequence

from harness.judge.copies import CopyJudged
from harness.model.plan import Plan

JUDGED = (
    "1 complete",
    "2 prefix",
    "3 nothing else",
    "4 no resurrection (of rows and tenants rightly deleted)",
    "5 no collateral",
    "6 usable",
)
NOT_JUDGED = ("4 no resurrection (of what was erased for the right to be forgotten: no eraser yet)",)


def points_judged(plan: Plan, copies: Sequence[CopyJudged] = ()) -> tuple[str, ...]:
    """Return the points that a drill of ``plan`` judges. ``copies``: what was restored from copies."""
    checked = len({judged.restored.copy for judged in copies if judged.promised})
    return (
        *JUDGED,
        "7 untampered" if plan.attacks else "7 untampered (locks only: nobody attacked)",
        f"8 honest ({f'and {checked} further watermarks' if checked else 'for the restores made'})",
    )
