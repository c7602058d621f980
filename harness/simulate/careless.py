"""Restores that leave something behind in the database, and harmless look-alikes.

Like those in ``faulty``, each overrides as little as it can. Their table is at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from harness.model.history import Cut, Need, Place
from harness.model.position import Position
from harness.model.schema import Table
from harness.model.values import RawRow, key_of
from harness.simulate.defect import Defect
from harness.simulate.faulty import Wrapped
from harness.simulate.locks import Hold
from harness.simulate.server import Server
from harness.simulate.statements import Statements
from harness.simulate.surroundings import destroyed_at_once
from harness.simulate.target import SimulatedTarget
from harness.simulate.world import Parts
from harness.subject.port import RestoreResult
from harness.subject.reference import fold as folding
from harness.subject.reference.format import Global, Part
from harness.subject.reference.ports import Swap, Swapped
from harness.subject.reference.restorer import Restorer

FAR: Final = 1_000_000
TABLE_S: Final = 0.25
EVERYTHING: Final = Position(epoch=1 << 30, lsn=(1 << 63) - 1)


class ForgetsAChildTable(Restorer):
    """Goes through the tables below the tenant's own, and forgets one: the last of them."""

    def fold(
        self,
        tables: Sequence[Table],
        parts: Sequence[Part],
        globals_: Sequence[Global],
        keeps: folding.Keeps,
    ) -> dict[str, list[RawRow]]:
        """Fold, and leave that table empty."""
        state = super().fold(tables, parts, globals_, keeps)
        parents = {key.parent for table in self.schema.tables for key in table.foreign_keys}
        children = [t.name for t in tables if t.owned and t.name not in parents and not self._ledger(t)]
        return {**state, children[-1]: []} if children else state

    def _ledger(self, table: Table) -> bool:
        return self.schema.ledger is not None and table.name == self.schema.ledger.table


class GoesThroughTablesBackwards(Restorer):
    """Near miss: goes through the tables from the last to the first, and forgets none."""

    def fold(
        self,
        tables: Sequence[Table],
        parts: Sequence[Part],
        globals_: Sequence[Global],
        keeps: folding.Keeps,
    ) -> dict[str, list[RawRow]]:
        """Fold, the tables in another order."""
        state = super().fold(tuple(reversed(tables)), parts, globals_, keeps)
        return {table.name: state[table.name] for table in tables}


class ResetsSequences(SimulatedTarget):
    """Sets each sequence to just past the highest value among the tenant's own rows (FM-102)."""

    async def swap(self, swap: Swap) -> Swapped:
        """Swap, then set sequences."""
        swapped = await super().swap(swap)
        server = self._address.reach()
        for name in server.built.sequences:
            table, _, column = name.rpartition(".")
            values = [int(row[column] or 0) for row in swap.rows.get(table, ())]
            if values:
                server.built.sequences[name] = max(values) + 1
        return swapped


class SetsSequencesFarAhead(SimulatedTarget):
    """Near miss: leaves a wide gap before the next value of each sequence."""

    async def swap(self, swap: Swap) -> Swapped:
        """Swap, then move sequences far ahead."""
        swapped = await super().swap(swap)
        server = self._address.reach()
        for name in server.built.sequences:
            server.built.sequences[name] += FAR
        return swapped


class FiresTriggers(SimulatedTarget):
    """Inserts rows as an application does: triggers tell the outbox of each (FM-101)."""

    async def swap(self, swap: Swap) -> Swapped:
        """Swap, then let the triggers have their say."""
        swapped = await super().swap(swap)
        server = self._address.reach()
        await self.tell(server, [name for name in swap.rows if swap.rows[name]])
        return swapped

    async def tell(self, server: Server, tables: Sequence[str]) -> None:
        """Write one row into each outbox that a trigger on one of the tables writes to."""
        work = server.begin(patient=True)
        statements = Statements(server, triggers=False)
        for outbox in (box for name in tables for box in server.built.told.get(name, ())):
            texts = [c.name for c in outbox.columns if c.given_by == "client"]
            values = {c.name: "1" if c.type != "text" else "restored" for c in outbox.columns}
            await statements.insert(work, outbox, {name: values[name] for name in texts})
        server.write_commit(work, self._address.latency.clock.now_s())
        await server.acknowledged(work, self._address.latency)


class LooksAtTriggers(FiresTriggers):
    """Near miss: knows which triggers there are, and fires none."""

    async def tell(self, server: Server, tables: Sequence[str]) -> None:
        """Look."""
        assert all(name in server.built.tables for name in tables)


class LeavesTriggersDisabled(SimulatedTarget):
    """Disables the triggers of each table that it restores into, and never enables them again (FM-6)."""

    async def swap(self, swap: Swap) -> Swapped:
        """Swap under disabled triggers."""
        server = self._address.reach()
        if server.storage is not None:
            server.storage.disabled |= {name for name, rows in swap.rows.items() if rows}
        swapped = await super().swap(swap)
        self.enable(server)
        server.catalogue = server.built.catalogue()
        return swapped

    def enable(self, server: Server) -> None:
        """Forget to."""


class EnablesTriggersAgain(LeavesTriggersDisabled):
    """Near miss: disables them too, and enables them before anybody looks."""

    def enable(self, server: Server) -> None:
        """Enable all."""
        server.built.disabled.clear()


class BlanksSharedRows(SimulatedTarget):
    """Overwrites lookup rows that are there with what an old archive knew of them (FM-5)."""

    async def swap(self, swap: Swap) -> Swapped:
        """Swap, then write the lookup rows."""
        swapped = await super().swap(swap)
        server = self._address.reach()
        work = server.begin(patient=True)
        for table in server.built.schema.shared:
            for row in swap.shared.get(table.name, ()):
                values = self.known(table, row)
                if values:
                    await Statements(server).update(work, table, key_of(row, table.key), values)
        server.write_commit(work, self._address.latency.clock.now_s())
        await server.acknowledged(work, self._address.latency)
        return swapped

    def known(self, table: Table, row: RawRow) -> dict[str, str | None]:  # noqa: ARG002 - of the old shape
        """Return what the archive knew: nothing of columns that came later."""
        return {c.name: None for c in table.columns if c.nullable}


class WritesSharedRowsAgain(BlanksSharedRows):
    """Near miss: writes what is there already."""

    def known(self, table: Table, row: RawRow) -> dict[str, str | None]:
        """Return the row's own cells."""
        return {c.name: row[c.name] for c in table.columns if c.nullable}


class LocksWholeTables(SimulatedTarget):
    """Locks whole tables, one after another from the last on, while neighbours write."""

    async def swap(self, swap: Swap) -> Swapped:
        """Lock, swap, and let go."""
        server = self._address.reach()
        if server.storage is None:
            return await super().swap(swap)
        work = server.begin(patient=True)
        try:
            for table in reversed(server.built.schema.owned):
                await server.locks.take(work, (table.name, (), ()), Hold.OWN)
                await self._address.latency.clock.sleep(TABLE_S)
        finally:
            server.undo(work)
        return await super().swap(swap)


class LooksAtWholeTables(SimulatedTarget):
    """Near miss: looks at each table for as long, under a lock that is in nobody's way."""

    async def swap(self, swap: Swap) -> Swapped:
        """Look, then swap."""
        server = self._address.reach()
        if server.storage is not None:
            work = server.begin(patient=True)
            for table in reversed(server.built.schema.owned):
                await server.locks.take(work, (table.name, (), ()), Hold.REFER)
            server.undo(work)
        return await super().swap(swap)


class RestoresTheOneBeforeToo(Wrapped):
    """Restores whom it restored before as well, to the cut of this one: what they wrote since is gone."""

    _before: str | None = None

    async def restore(self, tenant: str, cut: Cut, place: Place) -> RestoreResult:
        """Restore, and the tenant before it."""
        result = await super().restore(tenant, cut, place)
        if place == "live" and cut.xid:
            before, self._before = self._before, tenant
            if before is not None and before != tenant:
                await super().restore(before, cut, place)
        return result


class AsksForTheOneBeforeToo(Wrapped):
    """Near miss: restores the one before as well, but beside the live database.

    Only one that came back: whose natural key was taken would be in the way of the one who took it there.
    """

    _before: str | None = None

    async def restore(self, tenant: str, cut: Cut, place: Place) -> RestoreResult:
        """Restore the tenant before in scratch, then this one where it belongs."""
        damaged, before = place == "live" and cut.xid, self._before
        if damaged and before is not None and before != tenant:
            await super().restore(before, cut, "scratch")
        result = await super().restore(tenant, cut, place)
        if damaged and result.result == "restored":
            self._before = tenant
        return result


class NamesTooLittle(Wrapped):
    """Names the first object alone as what restores need, whatever the position."""

    async def needs(self) -> tuple[Need, ...]:
        """Name one need, for everything."""
        named = await super().needs()
        return tuple(
            msgspec.structs.replace(need, epoch=EVERYTHING.epoch, lsn=EVERYTHING.lsn) for need in named[:1]
        )


class NamesTooMuch(Wrapped):
    """Near miss: names with each need the objects of the one before it, too."""

    async def needs(self) -> tuple[Need, ...]:
        """Name more than is needed."""
        named = await super().needs()
        before = [(), *(need.objects for need in named)]
        return tuple(
            msgspec.structs.replace(need, objects=tuple(dict.fromkeys((*earlier, *need.objects))))
            for need, earlier in zip(named, before, strict=False)
        )


DEFECTS: tuple[Defect, ...] = (
    Defect(
        name="forgets one child table",
        failure_mode="FM-99",
        where="restorer",
        words="the restorer goes through the tables below the tenant's own, and leaves one out",
        caught_by=("prefix",),
        parts=lambda: Parts(restorer=ForgetsAChildTable),
        near_miss=lambda: Parts(restorer=GoesThroughTablesBackwards),
    ),
    Defect(
        name="resets sequences",
        failure_mode="FM-102",
        where="restorer",
        words="sequences begin again just past the restored tenant's own highest values",
        caught_by=("sequences",),
        parts=lambda: Parts(target=ResetsSequences),
        near_miss=lambda: Parts(target=SetsSequencesFarAhead),
    ),
    Defect(
        name="fires triggers",
        failure_mode="FM-101",
        where="restorer",
        words="restored rows fire the triggers that tell an outbox of what an application does",
        caught_by=("outbox",),
        parts=lambda: Parts(target=FiresTriggers),
        near_miss=lambda: Parts(target=LooksAtTriggers),
    ),
    Defect(
        name="leaves triggers disabled",
        failure_mode="FM-6",
        where="restorer",
        words="triggers are disabled for a restore, and stay disabled",
        caught_by=("catalogue",),
        parts=lambda: Parts(target=LeavesTriggersDisabled),
        near_miss=lambda: Parts(target=EnablesTriggersAgain),
    ),
    Defect(
        name="overwrites shared rows",
        failure_mode="FM-5",
        where="restorer",
        words="lookup rows that are there are overwritten with what an old archive knew of them",
        caught_by=("shared rows",),
        parts=lambda: Parts(target=BlanksSharedRows),
        near_miss=lambda: Parts(target=WritesSharedRowsAgain),
    ),
    Defect(
        name="locks whole tables",
        failure_mode="FM-105",
        where="restorer",
        words="a restore locks whole tables, in an order in which nobody else takes them",
        caught_by=("refusals",),
        parts=lambda: Parts(target=LocksWholeTables),
        near_miss=lambda: Parts(target=LooksAtWholeTables),
    ),
    Defect(
        name="restores the one before too",
        failure_mode="FM-95",
        where="restorer",
        words="whoever was restored before is restored again, to the cut of the next one",
        caught_by=("live rows",),
        parts=lambda: Parts(subject=RestoresTheOneBeforeToo),
        near_miss=lambda: Parts(subject=AsksForTheOneBeforeToo),
    ),
    Defect(
        name="names too little",
        failure_mode="FM-94",
        where="restorer",
        words="the first object alone is named as what restores need, up to any position",
        caught_by=("naming",),
        parts=lambda: Parts(subject=NamesTooLittle),
        near_miss=lambda: Parts(subject=NamesTooMuch),
        changed=destroyed_at_once,
        hint="what is not to survive is destroyed 0.2 s after the first damage",
    ),
)
