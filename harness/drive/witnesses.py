"""The second witness: begun before the load, and heard once the last restore is over.

Each tenant that the plan names is held against its first restore to just before a transaction. Tenants with
one cut are read together. What can't be heard is journaled with its reason, and goes no further than that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

from harness.drive.drill import Drill
from harness.drive.ports import Rows, Witness
from harness.drive.restores import Restores, stored_rows
from harness.model.errors import RestoreproofError
from harness.model.folder import witness_file
from harness.model.history import Cut, WitnessBegan, Witnessed, WitnessRefused


class Hearing:
    """The second witness of a drill: ``begin`` it, then ``hear`` it.

    A context: leaving it has the witness end, however far it had come.
    """

    def __init__(self, drill: Drill) -> None:
        self._drill = drill
        self._witness = drill.world.witness if drill.plan.witnessed else None

    async def begin(self) -> None:
        """Have the witness keep everything from here on, or say that there is none; raises TimedOut."""
        if not self._drill.plan.witnessed:
            return
        at_s = self._drill.journal.now_s
        if self._witness is None:
            self._drill.journal.write(WitnessRefused(at_s=at_s(), reason=self._drill.world.no_witness))
            return
        limit_s = self._drill.plan.limits.rebuild_s
        words = await self._drill.within(limit_s, "the second witness has begun", self._witness.begin())
        self._drill.journal.write(WitnessBegan(at_s=at_s(), words=words))

    async def hear(self, restores: Restores) -> None:
        """Read every tenant of the plan at the cut of its restore."""
        if self._witness is None:
            return
        by_cut: dict[Cut, list[tuple[str, int]]] = {}
        for tenant in self._drill.plan.witnessed:
            number, cut = restores.to_a_cut.get(tenant, (0, Cut()))
            if why_not := _why_not(number, cut):
                self._unheard(tenant, number, why_not)
            else:
                by_cut.setdefault(cut, []).append((tenant, number))
        if by_cut:
            await self._hear(by_cut, self._witness)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._witness is not None:
            await self._witness.end()

    async def _hear(self, by_cut: Mapping[Cut, Sequence[tuple[str, int]]], witness: Witness) -> None:
        limits = self._drill.plan.limits
        try:
            await self._drill.within(limits.rebuild_s, "the second witness has it all", witness.gather())
        except RestoreproofError as failed:
            for asked in by_cut.values():
                self._all_unheard(asked, f"it could not keep everything: {failed}")
            return
        for cut, asked in by_cut.items():
            tenants = [tenant for tenant, _ in asked]
            fact = f"the second witness is restored to before transaction {cut.xid}"
            try:
                rows = await self._drill.within(limits.rebuild_s, fact, witness.read(cut, tenants))
            except RestoreproofError as failed:
                self._all_unheard(asked, str(failed))
            else:
                self._heard(asked, rows)

    def _heard(self, asked: Sequence[tuple[str, int]], rows: Mapping[str, Rows]) -> None:
        journal, tables = self._drill.journal, self._drill.where.tables
        for tenant, number in asked:
            file, stored = witness_file(number, tenant), stored_rows(number, rows[tenant], tables)
            journal.store(file, stored)
            journal.write(
                Witnessed(at_s=journal.now_s(), tenant=tenant, restore=number, rows=len(stored), file=file)
            )

    def _all_unheard(self, asked: Sequence[tuple[str, int]], detail: str) -> None:
        for tenant, number in asked:
            self._unheard(tenant, number, detail)

    def _unheard(self, tenant: str, number: int, detail: str) -> None:
        at_s = self._drill.journal.now_s()
        self._drill.journal.write(Witnessed(at_s=at_s, tenant=tenant, restore=number, detail=detail))


def _why_not(number: int, cut: Cut) -> str:
    """Return why a tenant can't be read at the cut of its restore, or an empty text."""
    if not number:
        return "it was not restored to before a transaction"
    if not cut.lsn_upper:
        return f"whether transaction {cut.xid}, before which it was restored, committed is not known"
    if cut.without:
        return "the script gave it rows of others, which its restore leaves out"
    return ""
