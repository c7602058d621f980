"""Systems that mistake the order of transaction ids for that of commits, and one that only looks so.

Ids are given when transactions begin to write; what counts is when they commit. A transaction that was open
while the script committed has an older id, and lies after the cut all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import msgspec

from harness.generate.traps import with_straddlers
from harness.model.history import Cut
from harness.model.plan import Plan
from harness.model.position import Position
from harness.model.schema import Table
from harness.model.values import RawRow
from harness.simulate.defect import Defect
from harness.simulate.world import Parts
from harness.subject.reference import fold as folding
from harness.subject.reference.format import Global, Part
from harness.subject.reference.restorer import LSN_MAX, Restorer


class CutsById(Restorer):
    """Restores what has an id before that of the damage, wherever in commit order it lies."""

    def upper_bound(self, cut: Cut) -> Position:
        """Return the end of the cut's epoch: what began before the cut may have committed at any time."""
        return Position(epoch=cut.epoch, lsn=LSN_MAX) if cut.xid else super().upper_bound(cut)

    def keeps(self, cut: Cut, parts: Sequence[Part], globals_: Sequence[Global]) -> folding.Keeps:
        """Return which transactions have lower ids."""
        before = super().keeps(cut, parts, globals_)
        hit = cut.xid & folding.XID_MASK
        xids = {part.position: part.xid for part in parts if part.xid and part.position.epoch == cut.epoch}
        return lambda position: xids[position] < hit if hit and position in xids else before(position)


class ReadsByIds(Restorer):
    """Near miss: goes through the transactions by their ids, and folds them in commit order."""

    def fold(
        self,
        tables: Sequence[Table],
        parts: Sequence[Part],
        globals_: Sequence[Global],
        keeps: folding.Keeps,
    ) -> dict[str, list[RawRow]]:
        """Fold, the transactions handed over in another order."""
        return super().fold(tables, sorted(parts, key=lambda part: part.xid), globals_, keeps)


def held_open(plan: Plan) -> Plan:
    """Return the plan with transactions held open over the beginning of its script."""
    damaged = [tenant for tx in plan.scripts[0].transactions for tenant in tx.damaged]
    rng = Random(f"held open {plan.seed}")
    tenants = with_straddlers(plan.tenants, damaged, rng, plan.write_s, share=1.0)
    return msgspec.structs.replace(plan, tenants=tenants)


DEFECTS: tuple[Defect, ...] = (
    Defect(
        name="cuts by transaction id",
        failure_mode="FM-30",
        where="restorer",
        words="the restorer takes what began before the damage for committed before it",
        caught_by=("nothing else",),
        parts=lambda: Parts(restorer=CutsById),
        near_miss=lambda: Parts(restorer=ReadsByIds),
        kind="blanked",
        changed=held_open,
        hint="writes of the damaged tenants straddle the incident",
    ),
)
