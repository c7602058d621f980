"""A restorer that mixes two rows up, which a second witness disputes; and one that turns their order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from harness.model.plan import Plan
from harness.model.schema import Table
from harness.model.values import RawRow
from harness.simulate.defect import Defect
from harness.simulate.world import Parts
from harness.subject.reference import fold as folding
from harness.subject.reference.format import Global, Part
from harness.subject.reference.restorer import Restorer


class MixesTwoRows(Restorer):
    """Puts together a row that has a cell of the row beside it."""

    def fold(
        self,
        tables: Sequence[Table],
        parts: Sequence[Part],
        globals_: Sequence[Global],
        keeps: folding.Keeps,
    ) -> dict[str, list[RawRow]]:
        """Fold, and mix two rows of the first table in which that can be done."""
        state = super().fold(tables, parts, globals_, keeps)
        for table in tables:
            if _mixed(table, state[table.name]):
                break
        return state


def _mixed(table: Table, rows: list[RawRow]) -> bool:
    """Give a row a text of the next one, in a column that nothing depends on; False if none can be."""
    others = (*table.unique, *(key.columns for key in table.foreign_keys))
    bound = {*table.key, *(column for key in others for column in key)}
    for column in table.columns:
        if column.type == "text" and column.given_by == "client" and column.name not in bound:
            for number, (row, beside) in enumerate(pairwise(rows)):
                if None not in (row[column.name], beside[column.name]) and row != beside:
                    rows[number] = {**row, column.name: beside[column.name]}
                    if rows[number] != row:
                        return True
    return False


class TurnsTheOrder(Restorer):
    """Near miss: gives back the same rows, the last one first."""

    def fold(
        self,
        tables: Sequence[Table],
        parts: Sequence[Part],
        globals_: Sequence[Global],
        keeps: folding.Keeps,
    ) -> dict[str, list[RawRow]]:
        """Fold, and turn the rows of each table round."""
        state = super().fold(tables, parts, globals_, keeps)
        return {table: rows[::-1] for table, rows in state.items()}


def heard(plan: Plan) -> Plan:
    """Return the plan with a second witness for all whom its first script damages."""
    damaged = dict.fromkeys(t for tx in plan.scripts[0].transactions for t in tx.damaged)
    return plan if plan.survivors == "archive" else msgspec.structs.replace(plan, witnessed=tuple(damaged))


DEFECTS: tuple[Defect, ...] = (
    Defect(
        name="mixes two rows up",
        failure_mode="FM-70",
        where="restorer",
        words="the restorer puts a text of one row into the row beside it",
        caught_by=("witness",),
        parts=lambda: Parts(restorer=MixesTwoRows),
        near_miss=lambda: Parts(restorer=TurnsTheOrder),
        changed=heard,
        hint="a second witness of all who are damaged",
    ),
)
