"""Backup systems led astray by rows that change hands, keys that were taken, later and shared rows.

And some that only look as if they were: near misses.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from harness.model.errors import RestoreRefused
from harness.model.history import Cut
from harness.model.schema import Table
from harness.model.values import RawRow
from harness.subject.reference import fold as folding
from harness.subject.reference.format import Part
from harness.subject.reference.manifest import Link
from harness.subject.reference.ports import Swap, Swapped, Taken, Target
from harness.subject.reference.restorer import Restorer


class KeepsWhatWasGiven(Restorer):
    """Does not leave out the rows that somebody was given by mistake."""

    async def swap_for(self, tenant: str, cut: Cut, links: Sequence[Link], *, in_place: bool) -> Swap:
        """Work out what the target shall hold, at the cut alone."""
        whole = msgspec.structs.replace(cut, without=())
        return await super().swap_for(tenant, whole, links, in_place=in_place)


class LeavesOutTwice(Restorer):
    """Near miss: names each transaction to be left out twice."""

    async def swap_for(self, tenant: str, cut: Cut, links: Sequence[Link], *, in_place: bool) -> Swap:
        """Work out what the target shall hold."""
        twice = msgspec.structs.replace(cut, without=cut.without * 2)
        return await super().swap_for(tenant, twice, links, in_place=in_place)


class TakesNothingBack(Restorer):
    """Leaves with others what went to them."""

    async def swap_for(self, tenant: str, cut: Cut, links: Sequence[Link], *, in_place: bool) -> Swap:
        """Work out what the target shall hold, and take nothing from anybody."""
        swap = await super().swap_for(tenant, cut, links, in_place=in_place)
        return msgspec.structs.replace(swap, taken=())


class TakesTooMuch(Restorer):
    """Takes from whoever got rows of the tenant all that it has in the same tables."""

    async def taken(
        self, tenant: str, cut: Cut, links: Sequence[Link], parts: Sequence[Part], keeps: folding.Keeps
    ) -> tuple[Taken, ...]:
        """Return what went to others, and all that these had in the same tables already."""
        taken = await super().taken(tenant, cut, links, parts, keeps)
        to = {c.moved for part in parts for c in part.changes if c.moved is not None and c.became}
        tables = {one.table for one in taken}
        more = [await self._everything(other, links, tables, keeps) for other in sorted(to)]
        return (*taken, *(one for of in more for one in of))

    async def _everything(
        self, tenant: str, links: Sequence[Link], tables: set[str], keeps: folding.Keeps
    ) -> list[Taken]:
        parts = await self.reader.parts(tenant, links)
        rows = self.fold(self.schema.owned, parts, [], keeps)
        keys = {table.name: table.key for table in self.schema.owned}
        return [
            Taken(
                table=name, columns=keys[name], cells=tuple(_cells(row, keys[name]) for row in rows[name])
            )
            for name in sorted(tables)
            if rows[name]
        ]


class TakesTwice(Restorer):
    """Near miss: names each row that it takes back twice."""

    async def taken(
        self, tenant: str, cut: Cut, links: Sequence[Link], parts: Sequence[Part], keeps: folding.Keeps
    ) -> tuple[Taken, ...]:
        """Return what went to others, each twice."""
        return 2 * await super().taken(tenant, cut, links, parts, keeps)


def _cells(row: RawRow, columns: Sequence[str]) -> tuple[str, ...]:
    return tuple(row[column] or "" for column in columns)


class BringsBackUnderAnotherName(Restorer):
    """Where a natural key was taken, changes its own row's until it fits: whoever refers to it is lost."""

    async def restore(self, tenant: str, cut: Cut, target: Target, *, in_place: bool) -> Swapped:
        """Restore, under another name if need be."""
        try:
            return await super().restore(tenant, cut, target, in_place=in_place)
        except RestoreRefused:
            links = self.links_for(cut)
            swap = await self.swap_for(tenant, cut, links, in_place=in_place)
            root = self.schema.table(self.schema.script.root)
            own = [_renamed(row, root) for row in swap.rows[root.name]]
            return await target.swap(msgspec.structs.replace(swap, rows={**swap.rows, root.name: own}))


class RefusesAfterASecondTry(Restorer):
    """Near miss: tries a second time before it refuses."""

    async def restore(self, tenant: str, cut: Cut, target: Target, *, in_place: bool) -> Swapped:
        """Restore, twice if it was refused."""
        try:
            return await super().restore(tenant, cut, target, in_place=in_place)
        except RestoreRefused:
            return await super().restore(tenant, cut, target, in_place=in_place)


class RefusesWithoutAReason(Restorer):
    """Refuses in words of its own, from which nobody learns what is in the way."""

    async def restore(self, tenant: str, cut: Cut, target: Target, *, in_place: bool) -> Swapped:
        """Restore, or refuse."""
        try:
            return await super().restore(tenant, cut, target, in_place=in_place)
        except RestoreRefused:
            raise RestoreRefused("something is in the way") from None


class ThrowsLaterRowsAway(Restorer):
    """Takes rows written after the cut for garbage: they go, and are set aside nowhere."""

    async def swap_for(self, tenant: str, cut: Cut, links: Sequence[Link], *, in_place: bool) -> Swap:
        """Work out what the target shall hold, and set nothing aside."""
        swap = await super().swap_for(tenant, cut, links, in_place=in_place)
        return msgspec.structs.replace(swap, set_aside=False)


class SetsAsideInScratchToo(Restorer):
    """Near miss: sets aside in a scratch database as well, where nothing is in the way."""

    async def swap_for(self, tenant: str, cut: Cut, links: Sequence[Link], *, in_place: bool) -> Swap:
        """Work out what the target shall hold."""
        swap = await super().swap_for(tenant, cut, links, in_place=in_place)
        return msgspec.structs.replace(swap, set_aside=True)


class ForgetsSharedRows(Restorer):
    """Takes it for granted that lookup tables are whole."""

    async def swap_for(self, tenant: str, cut: Cut, links: Sequence[Link], *, in_place: bool) -> Swap:
        """Work out what the target shall hold, lookup tables aside."""
        swap = await super().swap_for(tenant, cut, links, in_place=in_place)
        return msgspec.structs.replace(swap, shared={})


class AddsSharedRowsTwice(Restorer):
    """Near miss: names each shared row twice; what is there is not added."""

    async def swap_for(self, tenant: str, cut: Cut, links: Sequence[Link], *, in_place: bool) -> Swap:
        """Work out what the target shall hold."""
        swap = await super().swap_for(tenant, cut, links, in_place=in_place)
        return msgspec.structs.replace(swap, shared={name: [*of, *of] for name, of in swap.shared.items()})


def _renamed(row: RawRow, root: Table) -> RawRow:
    taken = {column for columns in root.unique for column in columns} - {*root.key}
    return {column: f"{text}-restored" if column in taken else text for column, text in row.items()}
