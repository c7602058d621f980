"""Backup systems that one kind of script leads astray, and some that only look as if it did.

Like those in ``faulty``, each overrides as little of the reference system as it can; each shows itself on
the scripts of one step only, which the table in ``defects`` names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec

from harness.model.history import Cut, Place
from harness.model.schema import Table
from harness.model.values import RawRow
from harness.simulate.faulty import Wrapped
from harness.subject.port import RestoreResult
from harness.subject.reference import fold as folding
from harness.subject.reference.format import Global, Part
from harness.subject.reference.manifest import Link
from harness.subject.reference.ports import Swap
from harness.subject.reference.restorer import Restorer


class RestoresTheCanary(Wrapped):
    """Takes everybody whom the script removed for damaged: they all come back where they were."""

    async def restore(self, tenant: str, cut: Cut, place: Place) -> RestoreResult:
        """Restore in place whoever has a cut of their own, and beside too if that was asked."""
        if cut.xid and place == "scratch":
            await super().restore(tenant, cut, "live")
        return await super().restore(tenant, cut, place)


class RestoresTheCanaryTwice(Wrapped):
    """Near miss: restores those rightly deleted twice, each time beside the live database."""

    async def restore(self, tenant: str, cut: Cut, place: Place) -> RestoreResult:
        """Restore, and in scratch once more."""
        if cut.xid and place == "scratch":
            await super().restore(tenant, cut, place)
        return await super().restore(tenant, cut, place)


class CutsJustAfter(Wrapped):
    """Takes the damaging transaction itself for the last good one."""

    async def restore(self, tenant: str, cut: Cut, place: Place) -> RestoreResult:
        """Restore to the upper bound of the damage."""
        after = Cut(epoch=cut.epoch, lsn_lower=cut.lsn_upper) if cut.xid and cut.lsn_upper else cut
        return await super().restore(tenant, after, place)


class CutsAtTheLowerBound(Wrapped):
    """Near miss: forgets the xid, and cuts at the bound below it, which leaves it out as well."""

    async def restore(self, tenant: str, cut: Cut, place: Place) -> RestoreResult:
        """Restore to the lower bound of the damage."""
        below = Cut(epoch=cut.epoch, lsn_lower=cut.lsn_lower) if cut.xid else cut
        return await super().restore(tenant, below, place)


class CutsLikeTheOneBefore(Wrapped):
    """Takes the latest damage that it was told of for the only one."""

    _latest: Cut = Cut()

    async def restore(self, tenant: str, cut: Cut, place: Place) -> RestoreResult:
        """Restore to the latest cut asked for so far."""
        if not cut.xid:
            return await super().restore(tenant, cut, place)
        self._latest = max(cut, self._latest, key=lambda known: (known.epoch, known.lsn_lower))
        return await super().restore(tenant, self._latest, place)


class RestoresOnlyWhatWasDeleted(Restorer):
    """Brings back the tables in which the damaging transaction deleted rows, and no other."""

    async def swap_for(self, tenant: str, cut: Cut, links: Sequence[Link], *, in_place: bool) -> Swap:
        """Work out what the target shall hold, and empty all tables that lost nothing."""
        swap = await super().swap_for(tenant, cut, links, in_place=in_place)
        lost = await self._lost(tenant, cut, links)
        if not lost:
            return swap
        rows = {name: of if name in lost else () for name, of in swap.rows.items()}
        return msgspec.structs.replace(swap, rows=rows)

    async def _lost(self, tenant: str, cut: Cut, links: Sequence[Link]) -> set[str]:
        parts = await self.reader.parts(tenant, links)
        hits = [part for part in parts if cut.xid and part.xid == cut.xid & folding.XID_MASK]
        return {change.table for part in hits for change in part.changes if change.op == "delete"}


class RestoresWhatWasDeletedFirst(RestoresOnlyWhatWasDeleted):
    """Near miss: asks first which tables lost rows, and then brings back all."""

    async def swap_for(self, tenant: str, cut: Cut, links: Sequence[Link], *, in_place: bool) -> Swap:
        """Work out what the target shall hold."""
        await self._lost(tenant, cut, links)
        return await Restorer.swap_for(self, tenant, cut, links, in_place=in_place)


class EmptiesAtAnyCut(Restorer):
    """Takes global entries of one ``kind``, which are no tenant's own, for what holds at any cut."""

    kind: ClassVar[str]

    def fold(
        self,
        tables: Sequence[Table],
        parts: Sequence[Part],
        globals_: Sequence[Global],
        keeps: folding.Keeps,
    ) -> dict[str, list[RawRow]]:
        """Fold, and empty whatever such an entry ever named."""
        state = super().fold(tables, parts, globals_, keeps)
        named = {found.table for found in globals_ if found.kind == self.kind}
        return {name: [] if name in named else rows for name, rows in state.items()}


class TruncatesBeforeTheCut(EmptiesAtAnyCut):
    """Truncates what was truncated after the cut."""

    kind = "truncate"


class DropsLaterTruncates(Restorer):
    """Near miss: leaves out each TRUNCATE after the cut before it folds."""

    def fold(
        self,
        tables: Sequence[Table],
        parts: Sequence[Part],
        globals_: Sequence[Global],
        keeps: folding.Keeps,
    ) -> dict[str, list[RawRow]]:
        """Fold what lies before the cut."""
        before = [found for found in globals_ if keeps(found.position)]
        return super().fold(tables, parts, before, keeps)


class BringsBackTheErased(Restorer):
    """Takes a transaction that only deletes for damage, and leaves it out."""

    def fold(
        self,
        tables: Sequence[Table],
        parts: Sequence[Part],
        globals_: Sequence[Global],
        keeps: folding.Keeps,
    ) -> dict[str, list[RawRow]]:
        """Fold all transactions that do more than delete."""
        kept = [part for part in parts if any(change.op != "delete" for change in part.changes)]
        return super().fold(tables, kept, globals_, keeps)
