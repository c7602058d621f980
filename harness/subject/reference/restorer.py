"""The restorer: one tenant's rows at a cut, out of the archive and into a database.

It reads the manifest (verified once, then kept), of the segments only the blocks of the tenant asked for
and those of the shared tables, folds them by primary key up to the cut and hands the rows to the target,
which swaps them in. What is read follows that tenant's size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise

import msgspec

from harness.model.errors import ArchiveBroken, NotWhole, RestoreRefused
from harness.model.history import Cut
from harness.model.position import Position
from harness.model.schema import Schema, Table
from harness.model.values import RawRow
from harness.subject.reference import fitting, hands
from harness.subject.reference import fold as folding
from harness.subject.reference.format import SHARED, Global, Part, SchemaRef, digest
from harness.subject.reference.incidents import NamedCut, cut_before_time
from harness.subject.reference.manifest import Link, Manifest
from harness.subject.reference.ports import (
    KeyStore,
    ObjectStore,
    SchemaMissing,
    Swap,
    Swapped,
    Taken,
    Target,
)
from harness.subject.reference.replay import TenantReader
from harness.subject.reference.shapes import Altered
from harness.subject.reference.signing import TRUSTS_ALL, Trust

LSN_MAX = (1 << 64) - 1


class Restorer:
    """Restores tenants of one archive; keeps what it verified of the manifest between restores."""

    def __init__(
        self, *, schema: Schema, store: ObjectStore, keys: KeyStore, trust: Trust = TRUSTS_ALL
    ) -> None:
        self.schema = schema
        self.store = store
        self.manifest = Manifest(store, trust)
        self.reader = TenantReader(store, keys)

    async def restore(self, tenant: str, cut: Cut, target: Target, *, in_place: bool) -> Swapped:
        """Bring ``tenant`` back to ``cut`` in ``target``; raises RestoreRefused, ArchiveBroken.

        Where the end of the archive is asked for and is not whole, because the capture left something out
        that nobody has noticed yet, it is brought back to the watermark, and that is said.
        """
        await self.manifest.catch_up()
        try:
            return await self._restore(tenant, cut, target, in_place=in_place)
        except NotWhole as hole:
            sure = self.manifest.links[-1].entry.watermark
            if cut.epoch or sure >= self.manifest.links[-1].entry.end:
                raise
            up_to = msgspec.structs.replace(cut, epoch=sure.epoch, lsn_lower=sure.lsn, lsn_upper=sure.lsn)
            swapped = await self._restore(tenant, up_to, target, in_place=in_place)
            why = f"behind which the archive is not whole: {hole.message}"
            return msgspec.structs.replace(swapped, short=f"brought back to the watermark {sure}, {why}")

    async def _restore(self, tenant: str, cut: Cut, target: Target, *, in_place: bool) -> Swapped:
        links = self.links_for(cut)
        swap = await self.swap_for(tenant, cut, links, in_place=in_place)
        changed = in_place and await self.was_changed_since(swap.schema, target)
        ddl = await self.ddl(swap.schema) if changed else ""
        if ddl:
            await target.build_schema(ddl, swap.high)
        try:
            swapped = await self._put(swap, target)
        except SchemaMissing:
            built = ddl or await self.ddl(swap.schema)
            swapped = await self._build_and_put(swap, target, built)
            ddl = built if in_place else ""
        if ddl:  # now that rows are back that others refer to
            await target.build_schema(ddl, swap.high)
        return swapped

    async def _build_and_put(self, swap: Swap, target: Target, ddl: str) -> Swapped:
        await target.build_schema(ddl, swap.high)
        try:
            return await self._put(swap, target)
        except SchemaMissing:  # there was no such table at the cut
            if not await target.columns():
                return _without_tables(swap)
            return await target.swap(await self.fitted(swap, target))

    async def _put(self, swap: Swap, target: Target) -> Swapped:
        changed = swap.earlier or swap.later
        return await target.swap(await self.fitted(swap, target) if changed else swap)

    async def fitted(self, swap: Swap, target: Target) -> Swap:
        """Return the swap with rows and tables in the shape that the target's tables have.

        Raises SchemaMissing for an empty target, RestoreRefused for a shape that none had since the cut.
        """
        there = await target.columns()
        if not there:
            raise SchemaMissing("the target database has none of the tables")
        return fitting.fitted(swap, self.schema, there)

    async def was_changed_since(self, schema: SchemaRef, target: Target) -> bool:
        """Whether archive or ``target`` know of a change since this schema: some of it may be missing."""
        last = self.manifest.links[-1].entry
        if last.db_schema.sha256 != schema.sha256 or last.catalogue not in ("", schema.catalogue):
            return True
        return await target.catalogue_digest() not in ("", schema.catalogue)

    async def is_reshaped(self, target: Target) -> bool:
        """Whether ``target`` had DDL of which the archive does not know yet."""
        await self.manifest.catch_up()
        known = self.manifest.last.entry.catalogue if self.manifest.last else ""
        return bool(known) and await target.catalogue_digest() not in ("", known)

    async def swap_for(self, tenant: str, cut: Cut, links: Sequence[Link], *, in_place: bool) -> Swap:
        """Work out what the target shall hold."""
        globals_ = [found for link in links for found in link.entry.globals]
        parts = await self.reader.parts(tenant, links)
        if not parts:
            raise RestoreRefused(
                f"the archive holds nothing of tenant {tenant} up to that cut",
                cure="look whether id and cut are right; what is in the database was not touched",
            )
        self._require_told_apart(cut, links, parts)
        keeps = self.keeps(cut, parts, globals_)
        shared = await self.reader.parts(SHARED, links)
        earlier, later = self._altered(keeps)
        if hands.changed_hands(parts, cut):
            rows = await self.fold_together(tenant, cut, links, parts, keeps)
        else:
            rows = self.fold(self.schema.owned, parts, globals_, keeps)
        return Swap(
            tenant=tenant,
            rows=rows,
            shared=self.fold(self.schema.shared, shared, globals_, keeps),
            high=self.manifest.links[-1].entry.high,
            set_aside=in_place,
            taken=await self.taken(tenant, cut, links, parts, keeps) if in_place else (),
            schema=folding.schema_at([link.entry for link in links], keeps),
            earlier=earlier,
            later=later,
        )

    async def fold_together(
        self, tenant: str, cut: Cut, links: Sequence[Link], parts: Sequence[Part], keeps: folding.Keeps
    ) -> dict[str, list[RawRow]]:
        """Return the tenant's rows, some of which came with a parent from others, whose blocks it reads."""
        found = {tenant: parts}
        asked = [tenant]
        while asked:
            whose = asked.pop()
            for other in hands.origins(found[whose], whose, cut, keeps) - found.keys():
                found[other] = await self.reader.parts(other, links)
                asked.append(other)
        globals_ = [one for link in links for one in link.entry.globals]
        rows = hands.fold_together(found, globals_, schema=self.schema, cut=cut, keeps=keeps)
        return rows[tenant]

    async def taken(
        self, tenant: str, cut: Cut, links: Sequence[Link], parts: Sequence[Part], keeps: folding.Keeps
    ) -> tuple[Taken, ...]:
        """Return which of the tenant's rows went to others after the cut, up to the archive's end."""
        later = [link for link in self.manifest.links if link.entry.seq > links[-1].entry.seq]
        found: dict[str, Sequence[Part]] = {tenant: [*parts, *await self.reader.parts(tenant, later)]}
        found[tenant] = [p for p in found[tenant] if not keeps(p.position) or hands.undone(cut, p)]
        asked = [tenant]
        while asked:
            whose = asked.pop()
            for other in sorted(hands.receivers(found[whose], whose) - found.keys()):
                read = await self.reader.parts(other, [*links[-1:], *later])
                found[other] = [part for part in read if not keeps(part.position)]
                asked.append(other)
        return hands.taken_away(found, tenant, {table.name: table.key for table in self.schema.owned})

    async def gives_away(self, tenant: str, cut: Cut) -> bool:
        """Whether rows of the tenant are known to have gone to others after the cut."""
        await self.manifest.catch_up()
        links = self.links_for(cut)
        parts = await self.reader.parts(tenant, links)
        keeps = self.keeps(cut, parts, [one for link in links for one in link.entry.globals])
        return bool(await self.taken(tenant, cut, links, parts, keeps))

    def _altered(self, keeps: folding.Keeps) -> tuple[tuple[Altered, ...], tuple[Altered, ...]]:
        """Return how tables changed before the cut, since the last snapshot, and after it."""
        earlier: list[Altered] = []
        later: list[Altered] = []
        for found in (found for link in self.manifest.links for found in link.entry.globals):
            kept = keeps(found.position)
            if kept and found.kind == "snapshot":
                earlier.clear()
            if found.altered is not None:
                (earlier if kept else later).append(found.altered)
        return tuple(earlier), tuple(later)

    def links_for(self, cut: Cut) -> list[Link]:
        """Return the entries that a restore to ``cut`` needs: from the snapshot before it, up to it."""
        links = self.manifest.links
        if not links:
            raise RestoreRefused("the archive is empty", cure="let the archiver write its first segment")
        upper = self.upper_bound(cut)
        wanted = [link for link in links if link.entry.start is None or link.entry.start < upper]
        if cut.epoch and not any(cut.epoch == e.ordinal for e in links[-1].entry.epochs):
            raise RestoreRefused(
                f"the archive knows no epoch {cut.epoch}",
                cure=f"its epochs are {[e.ordinal for e in links[-1].entry.epochs]}",
            )
        self._require_no_hole(links, cut)
        base = _last_snapshot(wanted, self.lower_bound(cut))
        return [link for link in wanted if base is None or link.entry.end >= base]

    def _require_no_hole(self, links: Sequence[Link], cut: Cut) -> None:
        """Refuse a cut in a stretch that only a later snapshot stands for: its transactions are unknown.

        It begins at the watermark before: what had followed the gap may be archived when it is noticed.
        """
        lower = Position(epoch=cut.epoch, lsn=cut.lsn_lower)
        for before, link, taken in _repairs(links):
            since, until = before.entry.watermark, self.sure_from(link, taken)
            if since < lower < until:
                raise RestoreRefused(
                    f"capture was interrupted from {since} to {until}, and the cut lies between",
                    cure=f"restore to {since}, or to {until}",
                )

    def _require_told_apart(self, cut: Cut, links: Sequence[Link], parts: Sequence[Part]) -> None:
        """Refuse to leave out what a repair's snapshot shows as the tenant's own, like all else it has."""
        if not cut.without:
            return
        base, repairs = links[0], _repairs(self.manifest.links)
        repaired = {taken.epoch for _, link, taken in repairs if link.entry.seq == base.entry.seq}
        for given in cut.without:
            told = any(hands.undone(Cut(without=(given,)), part) for part in parts)
            if given.epoch in repaired and not told:
                raise RestoreRefused(
                    f"what transaction {given} gave can't be left out: the snapshot since, in"
                    f" {base.stored.key}, shows it like any other row",
                    cure="restore to a cut before that snapshot",
                )

    def sure_from(self, link: Link, taken: Global) -> Position:
        """Return from where on a state after a snapshot is sure: the newest heartbeat with it."""
        return max(link.entry.watermark, taken.position)

    def upper_bound(self, cut: Cut) -> Position:
        """Return a position that nothing of the restored state lies after."""
        if not cut.epoch:
            return Position(epoch=LSN_MAX, lsn=LSN_MAX)
        lsn = cut.lsn_upper if cut.xid else cut.lsn_lower
        return Position(epoch=cut.epoch, lsn=lsn or LSN_MAX)

    def lower_bound(self, cut: Cut) -> Position:
        """Return a position up to which everything is in the restored state, as far as is known."""
        return Position(epoch=cut.epoch, lsn=cut.lsn_lower) if cut.epoch else self.upper_bound(cut)

    def keeps(self, cut: Cut, parts: Sequence[Part], globals_: Sequence[Global]) -> folding.Keeps:
        """Return which transactions are in the restored state."""
        return folding.keeps_until(cut, parts, globals_)

    def fold(
        self,
        tables: Sequence[Table],
        parts: Sequence[Part],
        globals_: Sequence[Global],
        keeps: folding.Keeps,
    ) -> dict[str, list[RawRow]]:
        """Return the rows of ``tables`` that the archive gives."""
        keys = {table.name: table.key for table in tables}
        state = folding.fold(parts, globals_, keys=keys, keeps=keeps)
        return {table: list(rows.values()) for table, rows in state.items()}

    async def cut_before_time(self, tenant: str, at: datetime) -> NamedCut:
        """Return the cut of ``tenant`` that stands for a time; raises RestoreRefused, ArchiveBroken."""
        await self.manifest.catch_up()
        links = self.links_for(Cut())
        globals_ = [found for link in links for found in link.entry.globals]
        parts = await self.reader.parts(tenant, links)
        return cut_before_time(at, parts, globals_, str(links[-1].entry.end))

    async def ddl(self, schema: SchemaRef) -> str:
        """Read an archived schema; raises ArchiveBroken."""
        body = await self.store.get(schema.key, schema.version)
        if digest(body) != schema.sha256:
            raise ArchiveBroken(f"{schema.key} is not what the manifest says: SHA-256 {digest(body)}")
        return body.decode()


def _without_tables(swap: Swap) -> Swapped:
    """Put nothing where there are no tables; raises RestoreRefused when there is something to be put.

    After an interruption of the capture the schema archived next may be younger than the rows.
    """
    if any(swap.rows.values()):
        raise RestoreRefused(
            f"{swap.schema.key}, archived as the schema of that cut, has none of the tables that the"
            f" rows of tenant {swap.tenant} lay in",
            cure="restore to an earlier cut, or into a database that has the tables",
        )
    return Swapped(rows=0, set_aside=(), shared_added={})


def _repairs(links: Sequence[Link]) -> Iterator[tuple[Link, Link, Global]]:
    """Yield each snapshot that is not its epoch's first, with its entry and the one before that."""
    for before, link in pairwise(links):
        for found in link.entry.globals:
            if found.kind == "snapshot" and before.entry.end.epoch == found.epoch:
                yield before, link, found


def _last_snapshot(links: Sequence[Link], until: Position) -> Position | None:
    found = [
        entry.position
        for link in links
        for entry in link.entry.globals
        if entry.kind == "snapshot" and entry.position <= until
    ]
    return max(found, default=None)
