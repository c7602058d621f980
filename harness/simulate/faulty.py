"""Archivers, restorers and subjects that are wrong in one decision, and some that only look wrong.

Each overrides as little of the reference system as it can. None of them knows whether it runs in the
simulator or on real services.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Final

import msgspec

from harness.model.history import Cut, Need, Place
from harness.model.position import Position
from harness.model.schema import ByColumn, Schema, Table
from harness.model.values import RawRow
from harness.simulate.world import Parts
from harness.subject.port import RestoreResult, Subject, Watermark
from harness.subject.reference import fold as folding
from harness.subject.reference.archiver import Archiver, ArchiverPorts
from harness.subject.reference.assembler import Transaction
from harness.subject.reference.batch import Batch
from harness.subject.reference.format import Global, ManifestEntry, Part
from harness.subject.reference.manifest import Link
from harness.subject.reference.ports import FeedStart, Swap
from harness.subject.reference.restorer import Restorer
from harness.subject.reference.sealing import Entropy

FULL_ROWS: Final = 2_000
LATER_S: Final = 2.0
AHEAD_BYTES: Final = 1 << 20


class DropsLastSegment(Restorer):
    """Believes that the last segment before the cut is still being written."""

    def links_for(self, cut: Cut) -> list[Link]:
        """Leave out the last entry that has a segment, and what follows."""
        links = super().links_for(cut)
        full = [n for n, link in enumerate(links) if link.entry.segment is not None]
        return links[: full[-1]] if len(full) > 1 else links


class DropsEmptyEntries(Restorer):
    """Near miss: leaves out entries in which there is nothing to read."""

    def links_for(self, cut: Cut) -> list[Link]:
        """Keep only entries with a segment or something global."""
        links = super().links_for(cut)
        return [link for link in links if link.entry.segment is not None or link.entry.globals] or links


class LosesRowInTheMiddle(Restorer):
    """Loses one row of the tenant: the middle one of its largest table at which nothing points."""

    def fold(
        self,
        tables: Sequence[Table],
        parts: Sequence[Part],
        globals_: Sequence[Global],
        keeps: folding.Keeps,
    ) -> dict[str, list[RawRow]]:
        """Fold, then lose a row."""
        state = super().fold(tables, parts, globals_, keeps)
        largest = max(_leaves(self.schema, tables), key=lambda table: len(state[table]), default=None)
        if largest is not None and state[largest]:
            rows = state[largest]
            del rows[len(rows) // 2]
        return state


class RestoresNeighboursRow(Restorer):
    """Has a buffer that still holds a row of the tenant before, and takes it for the next one's."""

    _left_over: RawRow | None = None

    async def swap_for(self, tenant: str, cut: Cut, links: Sequence[Link], *, in_place: bool) -> Swap:
        """Work out what the target shall hold, and mix the row left over into it."""
        swap = await super().swap_for(tenant, cut, links, in_place=in_place)
        table = next(t for t in self.schema.owned if _stands_alone(t, self.schema))
        rows = list(swap.rows[table.name])
        left_over, self._left_over = self._left_over, rows[0] if rows else None
        if left_over is not None:
            rows.append(_as_if_owned(table, left_over, tenant))
        return msgspec.structs.replace(swap, rows={**swap.rows, table.name: rows})


class ReadsNeighboursRows(Restorer):
    """Near miss: reads the blocks of the tenant restored before once more, and uses nothing of them."""

    _before: str | None = None

    async def swap_for(self, tenant: str, cut: Cut, links: Sequence[Link], *, in_place: bool) -> Swap:
        """Work out what the target shall hold, after a needless look at a neighbour."""
        if self._before is not None:
            await self.reader.parts(self._before, links)
        self._before = tenant
        return await super().swap_for(tenant, cut, links, in_place=in_place)


class BringsBackDeletedRow(Restorer):
    """Forgets one deletion: a row that was deleted for good reason is there again."""

    def fold(
        self,
        tables: Sequence[Table],
        parts: Sequence[Part],
        globals_: Sequence[Global],
        keeps: folding.Keeps,
    ) -> dict[str, list[RawRow]]:
        """Fold, then bring back the last deleted row that would not stand out."""
        state = super().fold(tables, parts, globals_, keeps)
        names = set(_leaves(self.schema, tables))
        for part in reversed([part for part in parts if keeps(part.position)]):
            for change in reversed(part.changes):
                row = change.before
                if change.op == "delete" and change.table in names and row is not None:
                    table = self.schema.table(change.table)
                    if _would_fit(table, row, state):
                        state[table.name].append(row)
                        return state
        return state


class LooksForDeletedRows(BringsBackDeletedRow):
    """Near miss: looks for such a row too, and leaves it deleted."""

    def fold(
        self,
        tables: Sequence[Table],
        parts: Sequence[Part],
        globals_: Sequence[Global],
        keeps: folding.Keeps,
    ) -> dict[str, list[RawRow]]:
        """Fold, and do no more than look."""
        super().fold(tables, parts, globals_, keeps)
        return Restorer.fold(self, tables, parts, globals_, keeps)


class WritesTenantsBackwards(Archiver):
    """Near miss: writes the tenants of a segment from the last to the first, and skips none."""

    def parts_to_write(self, batch: Batch) -> dict[str, list[Part]]:
        """Return all parts, in another order."""
        return dict(reversed(super().parts_to_write(batch).items()))


class SkipsTenant(Archiver):
    """Drops everything that one tenant writes: the first one it meets."""

    _skipped: str | None = None

    def admit(self, transaction: Transaction) -> None:
        """Add a transaction to the batch, without that tenant's part."""
        split = self.owners.split(transaction)
        owners = [tenant for tenant in split.parts if not tenant.startswith("@")]
        self._skipped = self._skipped or next(iter(owners), None)
        if self._skipped is not None:
            split.parts.pop(self._skipped, None)
        self.batch.add(transaction, split)


class MovesOffsetLate(Archiver):
    """Near miss: tells the feed of each batch with the next one; what is read again is folded away."""

    _late: int | None = None

    async def move_offset(self, offset: int) -> None:
        """Tell the feed of the batch before."""
        late, self._late = self._late, offset
        if late is not None:
            await super().move_offset(late)


class MovesOffsetFirst(Archiver):
    """Moves the offset when a batch is closed, writes it with the next flush, and never looks for gaps."""

    _late: Batch | None = None

    async def flush(self) -> None:
        """Tell the feed of this batch, and write the one before."""
        await self.move_offset(self.offset_to_commit())
        late, self._late = self._late, self.batch
        self.batch = Batch() if late is None else late
        await super().flush()

    def gap_before(self, start: FeedStart, last: ManifestEntry) -> str:  # noqa: ARG002 - it does not look
        """Look the other way."""
        return ""

    def look_for_gap(self, transaction: Transaction) -> None:
        """Look the other way here too."""


class Bell:
    """What a restore rings when it wants the archiver to settle."""

    def __init__(self) -> None:
        self.rung = False


class FlushesWhenAsked(Archiver):
    """Keeps everything in its buffer until the bell rings, or the buffer is full."""

    bell: Bell = Bell()

    def flush_due(self) -> bool:
        """Flush for the bell, when full, and to begin an epoch; else wait for the next interval."""
        last, end = self.last, self.batch.end
        begins = last is None or end is None or end.epoch > last.entry.end.epoch
        if begins or self.batch.rows >= FULL_ROWS:
            return super().flush_due()
        if super().flush_due() and not self.bell.rung:
            self.flushed_s = self.clock.now_s()
        rung, self.bell.rung = self.bell.rung, False
        return rung


class FlushesLater(Archiver):
    """Near miss: flushes half as often as it should, which is still far within the budget."""

    def __init__(
        self,
        *,
        schema: Schema,
        ports: ArchiverPorts,
        flush_interval_s: float = LATER_S,  # noqa: ARG002 - takes the place of the reference's
        entropy: Entropy,
    ) -> None:
        super().__init__(schema=schema, ports=ports, flush_interval_s=LATER_S, entropy=entropy)


class FallsAsleep(Archiver):
    """Archives nothing any more once no tenant wrote for a while: the first write after that is lost.

    Only in the archive's first epoch, so that a drill goes on after its incident.
    """

    after_s: ClassVar[float] = 8.0

    _wrote_s: float | None = None
    _asleep = False

    def admit(self, transaction: Transaction) -> None:
        """Add a transaction to the batch while awake."""
        now_s = self.clock.now_s()
        if len(self.assembler.epochs) == 1 and transaction.beat is None:
            if self._wrote_s is not None and now_s - self._wrote_s > self.after_s:
                self._asleep = True
            self._wrote_s = now_s
        if self.awake:
            super().admit(transaction)

    @property
    def awake(self) -> bool:
        """Whether it archives what comes."""
        return not self._asleep


class NoticesSilence(FallsAsleep):
    """Near miss: notices each silence as well, and archives what comes after it."""

    after_s = 1.4

    @property
    def awake(self) -> bool:
        """Always."""
        return True


class DozesOff(FallsAsleep):
    """The same, after a shorter silence."""

    after_s = 1.4


class Wrapped:
    """A subject around another one, which does everything as that one does."""

    def __init__(self, inner: Subject) -> None:
        self.inner = inner
        self.name = inner.name
        self.flush_interval_s = inner.flush_interval_s

    async def epoch(self, system_id: str, timeline: int) -> int:
        """Ask the one inside."""
        return await self.inner.epoch(system_id, timeline)

    async def watermark(self) -> Watermark | None:
        """Ask the one inside."""
        return await self.inner.watermark()

    async def needs(self) -> tuple[Need, ...]:
        """Ask the one inside."""
        return await self.inner.needs()

    async def restore(self, tenant: str, cut: Cut, place: Place) -> RestoreResult:
        """Ask the one inside."""
        return await self.inner.restore(tenant, cut, place)


class RunsAhead(Wrapped):
    """Reports how far the capture has come, and calls that durable."""

    async def watermark(self) -> Watermark | None:
        """Report a position that the archive has not come to yet."""
        seen = await super().watermark()
        if seen is None:
            return None
        ahead = Position(epoch=seen.position.epoch, lsn=seen.position.lsn + AHEAD_BYTES)
        return msgspec.structs.replace(seen, position=ahead)


class LagsBehind(Wrapped):
    """Near miss: reports the watermark that it saw one look before."""

    _before: Watermark | None = None

    async def watermark(self) -> Watermark | None:
        """Report the watermark before this one, if there was any."""
        seen, before = await super().watermark(), self._before
        self._before = seen
        if seen is None or before is None:
            return seen
        return msgspec.structs.replace(seen, position=before.position)


class CutsAllAtTheStart(Wrapped):
    """Cuts every tenant at the earliest cut it was ever asked for in that epoch."""

    _earliest: Cut | None = None

    async def restore(self, tenant: str, cut: Cut, place: Place) -> RestoreResult:
        """Restore to the start of the script instead of to the tenant's own damage."""
        if not cut.xid:
            return await super().restore(tenant, cut, place)
        first = self._earliest
        if first is None or (cut.epoch, cut.lsn_lower) < (first.epoch, first.lsn_lower):
            self._earliest = first = cut
        early = Cut(epoch=first.epoch, lsn_lower=first.lsn_lower)
        return await super().restore(tenant, early if first is not cut else cut, place)


class NeverBreached(Wrapped):
    """Calls itself behind, however late it is."""

    async def watermark(self) -> Watermark | None:
        """Ask the one inside, and make the best of it."""
        seen = await super().watermark()
        if seen is None or seen.state != "breached":
            return seen
        return msgspec.structs.replace(seen, state="behind", exposure_s=None)


class BreachedSoon(Wrapped):
    """Near miss: says so a little before the promise is over."""

    async def watermark(self) -> Watermark | None:
        """Ask the one inside, and call it breached from a minute of exposure on."""
        seen = await super().watermark()
        if seen is None or (seen.exposure_s or 0.0) < 60.0:
            return seen
        return msgspec.structs.replace(seen, state="breached")


class RingsForSettling(Wrapped):
    """Rings the archiver's bell before each restore, and gives it a moment."""

    def __init__(self, inner: Subject, *, bell: Bell) -> None:
        super().__init__(inner)
        self._bell = bell

    async def restore(self, tenant: str, cut: Cut, place: Place) -> RestoreResult:
        """Ask the archiver to settle, then restore."""
        self._bell.rung = True
        return await super().restore(tenant, cut, place)


def flushes_when_asked() -> Parts:
    """Return an archiver and a subject that share a bell of their own."""
    bell = Bell()
    archiver = type("FlushesWhenAsked", (FlushesWhenAsked,), {"bell": bell})
    return Parts(archiver=archiver, subject=partial(RingsForSettling, bell=bell))


def _leaves(schema: Schema, tables: Sequence[Table]) -> list[str]:
    """Return the owned tables among ``tables`` at which no other table points."""
    parents = {key.parent for table in schema.tables for key in table.foreign_keys}
    return [table.name for table in tables if table.owned and table.name not in parents]


def _stands_alone(table: Table, schema: Schema) -> bool:
    """Whether a row of another tenant would fit into ``table`` with nothing but its tenant changed."""
    if not isinstance(table.tenancy, ByColumn) or table.name == schema.script.root:
        return False
    return all(set(key.columns) == {table.tenancy.column} for key in table.foreign_keys)


def _as_if_owned(table: Table, row: RawRow, tenant: str) -> RawRow:
    """Return the row as another tenant's, its other unique cells changed so that it can be inserted."""
    assert isinstance(table.tenancy, ByColumn)  # as _stands_alone() saw to
    unique = {column for columns in (table.key, *table.unique) for column in columns}
    changed = {column: _other(table.column(column).type, row[column]) for column in unique}
    return {**row, **changed, table.tenancy.column: tenant}


def _other(type_name: str, text: str | None) -> str | None:
    """Return another value of the same type."""
    match type_name:
        case "smallint" | "integer" | "bigint":
            return str(int(text or 0) + 900_000)
        case "uuid":
            return str(uuid.uuid5(uuid.NAMESPACE_OID, text or ""))
    return f"{text}'"


def _would_fit(table: Table, row: RawRow, state: dict[str, list[RawRow]]) -> bool:
    """Whether nothing in ``state`` has the row's unique cells, and all its parents are there."""
    free = all(
        _cells(row, columns) not in [_cells(other, columns) for other in state[table.name]]
        for columns in (table.key, *table.unique)
    )
    return free and all(
        None in _cells(row, key.columns)
        or key.parent not in state
        or _cells(row, key.columns) in [_cells(parent, key.parent_columns) for parent in state[key.parent]]
        for key in table.foreign_keys
    )


def _cells(row: RawRow, columns: tuple[str, ...]) -> list[str | None]:
    return [row[column] for column in columns]
