"""When a script changed the catalogue itself, and when a restore was seen to have brought it back.

What a script dropped is missing until the first restore in place has rebuilt it; meanwhile the catalogue
differs from the one at the cut, and whoever needs what is missing is refused. Neither is a restore's doing.
"""

from __future__ import annotations

from harness.judge.case import Case
from harness.judge.timeline import NEVER
from harness.model.history import CatalogueSeen


def reshaped_s(case: Case) -> float:
    """Return when the first COMMIT that may have changed the catalogue was sent, NEVER if none was."""
    planned = {tx.name: tx for script in case.plan.scripts for tx in script.transactions}
    sent = (
        tx.sent_s
        for tx in case.timeline.of_scripts
        if tx.outcome != "refused"
        and tx.name in planned
        and any(effect.reshapes for effect in planned[tx.name].actual)
    )
    return min(sent, default=NEVER)


def rebuilt_s(case: Case) -> float:
    """Return when the live catalogue was seen again as it was before a script changed it.

    0 when none did, NEVER when that was not seen.
    """
    since_s = reshaped_s(case)
    if since_s == NEVER:
        return 0.0
    seen = [entry for entry in case.timeline.of(CatalogueSeen) if entry.place == "live"]
    before = [entry.digest for entry in seen if entry.at_s < since_s]
    again = (entry.at_s for entry in seen if entry.at_s >= since_s and entry.digest == before[-1])
    return min(again, default=NEVER) if before else NEVER
