"""The judge: pure functions from (plan, schema, history, rows read back) to findings, for every tenant.

    timeline     the history, indexed: transactions, restores, everything else by kind
    settling     open outcomes that later statements on the same rows settle
    scripts      what a script's transaction did to a tenant
    lines        each tenant's line of steps, cut where a restore in place began it anew
    readings     the rows read back, by key
    states       which steps are in a restored state: the least and the greatest set that fit
    incidents    the instant I(t) and the cut
    losses       loss and exposure
    case         all of this together, derived once
    differences  where found rows differ, and why
    checks/      one check a file, in one table
    envelope     what is demanded of a plan outside its envelope
    rulings      runs the checks, puts the verdict together
    load         reads a run folder
    decoding     decodes its history

What should be in a restored state is derived from the history alone. No code is shared with what is judged.
"""

from __future__ import annotations

from harness.judge.load import check_run
from harness.judge.rulings import judge

__all__ = ["check_run", "judge"]
