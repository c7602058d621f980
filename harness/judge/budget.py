"""Whether a loss or an exposure is over the budget, and the finding that says so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from harness.judge.case import Case, Judged
from harness.judge.losses import Loss
from harness.model.history import Stalled
from harness.model.values import table_and_key
from harness.model.verdict import Finding

STALL_S_MAX = 1.0
"""A machine that stood still for longer may explain a loss over a drill's budget, not over the promise."""


def verdict_over(case: Case, seconds: float) -> Literal["broken", "unknown"]:
    """Return what it is that so many seconds, more than the budget, are lost."""
    excused = _stalled_s(case) > STALL_S_MAX and seconds <= case.plan.promise_s
    return "unknown" if excused else "broken"


def _stalled_s(case: Case) -> float:
    return max((e.late_s for e in case.timeline.of(Stalled)), default=0.0)


def over_budget(
    case: Case, what: Literal["loss", "exposure"], judged: Judged, loss: Loss
) -> Iterator[Finding]:
    """Yield a finding when ``loss`` is more than the budget; exactly the budget is within it."""
    if loss.step is None or loss.seconds <= case.plan.budget_s:
        return
    stalled_s = _stalled_s(case)
    excused = verdict_over(case, loss.seconds) == "unknown"
    table, key = table_and_key(next(iter(loss.step.writes)))
    words = "lost" if what == "loss" else "not yet durable in the bucket"
    yield Finding(
        check=what,
        point=1,
        verdict="unknown" if excused else "broken",
        message=(
            f"{words}: {loss.step.tx.name}, acked {loss.seconds:.3f} s before the incident"
            f" ({judged.incident.why}); the budget is {case.plan.budget_s:g} s"
            + (f"; the machine stood still for {stalled_s:.1f} s" if excused else "")
        ),
        tenant=judged.tenant,
        restore=judged.restore.number,
        table=table,
        key=key,
        operation=loss.step.tx.name,
        loss_s=loss.seconds,
    )
