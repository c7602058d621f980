"""What is demanded of a plan outside its envelope: neither loss nor exposure, but all that is safe anyway.

Points 3, 4, 5, 7 and 8 hold outside, too. So does the equality of each row with an image that was written:
a cell that nobody wrote makes a row that was never written. What else is found is told, and no breach.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from harness.judge.check import unknown
from harness.model.plan import Plan
from harness.model.verdict import Finding, Verdict

NAME = "envelope"
POINTS_OUTSIDE = frozenset({3, 4, 5, 7, 8})
CHECKS_OUTSIDE = frozenset({"exact"})


def at_best(plan: Plan) -> Verdict:
    """Return the best verdict that a drill of this plan can have."""
    return "unknown" if plan.outside else "proven"


def outside(plan: Plan) -> Iterator[Finding]:
    """Yield the finding that says why nothing is proven, for a plan outside its envelope."""
    if plan.outside:
        reasons = "; ".join(plan.outside)
        yield unknown(NAME, f"outside the envelope ({reasons}): loss and exposure are not demanded")


def demanded(plan: Plan, finding: Finding) -> Finding:
    """Return the finding as it counts for this plan."""
    holds = finding.point in POINTS_OUTSIDE or finding.check in CHECKS_OUTSIDE
    if holds or finding.verdict == "unknown" or not plan.outside:
        return finding
    message = f"{finding.message} (not demanded outside the envelope)"
    return msgspec.structs.replace(finding, verdict="unknown", message=message)
