"""Backup systems led astray by rows that change hands, and some that only look as if they were."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from harness.model.history import Cut
from harness.model.values import RawRow
from harness.subject.reference import fold as folding
from harness.subject.reference.format import Part
from harness.subject.reference.manifest import Link
from harness.subject.reference.ports import Swap, Taken
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
