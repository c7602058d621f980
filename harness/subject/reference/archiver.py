"""The archiver: reads the feed, and each flush interval makes what came durable, in this order.

    segment written, its retention read back  →  manifest entry, likewise  →  owner index  →  feed offset

A kill between any two of them costs nothing: the feed is read again from the committed offset and what is
in the manifest already is folded away (FM-83). It stops, with the reason, rather than pass something that
it can't carry. Each decision is a small method of its own, so that a test can plant a defect in one.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypeVar

import msgspec

from harness.model.errors import ArchiveBroken, ArchiverStopped
from harness.model.schema import Schema
from harness.subject.reference import format as archive
from harness.subject.reference import segment as layout
from harness.subject.reference.assembler import Assembler, Transaction
from harness.subject.reference.batch import Batch, counters_of
from harness.subject.reference.catalogue import CatalogueWatch
from harness.subject.reference.fencing import Identity, Predecessor, claim, explain, takeover_entry
from harness.subject.reference.format import (
    FeedMark,
    Fence,
    ManifestEntry,
    Part,
    SchemaRef,
    SegmentRef,
)
from harness.subject.reference.health import PROMISE_S, Health, Pulse
from harness.subject.reference.known import Known, recall
from harness.subject.reference.manifest import Link, Manifest
from harness.subject.reference.owners import Owners
from harness.subject.reference.ports import (
    Clock,
    Feed,
    FeedEvent,
    FeedStart,
    FeedUnavailable,
    KeyStore,
    ObjectStore,
    OwnerIndex,
    SchemaDump,
    Source,
    StoredObject,
    StoreUnavailable,
)
from harness.subject.reference.repair import Beats, gap_words
from harness.subject.reference.replay import read_all_parts
from harness.subject.reference.sealing import Entropy, seal
from harness.subject.reference.shapes import Altered
from harness.subject.reference.signing import TRUSTS_ALL, Signer, Trust
from harness.subject.reference.where import Where

READ_LIMIT = 2_000
BATCH_ROWS_MAX = 20_000
RETRY_S = 0.2
T = TypeVar("T")


class ArchiverPorts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that an archiver reaches, and who it is.

    ``signer`` signs its entries, ``trust`` says whose it believes; more exposure than ``promise_s`` is a
    breach.
    """

    feed: Feed
    store: ObjectStore
    keys: KeyStore
    index: OwnerIndex
    source: Source
    clock: Clock
    signer: Signer | None = None
    trust: Trust = TRUSTS_ALL
    identity: Identity = Identity()
    promise_s: float = PROMISE_S


class Archiver:
    """One archiver over one feed. ``run`` ends after ``stop``, or raises SubjectFailed with the reason."""

    assembler_kind: type[Assembler] = Assembler

    def __init__(
        self,
        *,
        schema: Schema,
        ports: ArchiverPorts,
        flush_interval_s: float = 1.0,
        entropy: Entropy = os.urandom,
    ) -> None:
        self.schema = schema
        self.feed, self.source, self.clock = ports.feed, ports.source, ports.clock
        self.store, self.keys, self.index = ports.store, ports.keys, ports.index
        self.signer, self.trust, self.identity = ports.signer, ports.trust, ports.identity
        self.flush_interval_s = flush_interval_s
        self.entropy = entropy
        self.known = Known()
        self.owners = Owners(schema=schema, index=ports.index)
        self.assembler = Assembler()
        self.batch = Batch()
        self.beats = Beats()
        self.flushed_s = 0.0
        self.pulse = Pulse(interval_s=flush_interval_s, promise_s=ports.promise_s)
        self.fence: Fence | None = None
        self.where = Where(ports.source, ports.clock)
        self._counters = counters_of(schema)
        self._run = entropy(4).hex()
        self._feed_name = ""
        self._consumed = 0
        self._held: int | None = None
        self._schema_ref: SchemaRef | None = None
        self._schema_due = False
        self._dumped = False
        self.catalogue = CatalogueWatch()
        self._stopping = False

    @property
    def last(self) -> Link | None:
        """The newest entry of the manifest."""
        return self.known.last

    def stop(self) -> None:
        """Ask ``run`` to end after a last flush."""
        self._stopping = True

    async def run(self) -> None:
        """Archive until stopped."""
        await self.resume()
        pulse = asyncio.ensure_future(self._pulse())
        try:
            while not self._stopping:
                if pulse.done():
                    pulse.result()
                await self.step()
            await self.flush()
        finally:
            pulse.cancel()

    async def step(self) -> None:
        """Read once, at most until the next flush is due, and flush if it is.

        What came before something that can't be carried is made durable before that stops the archiver.
        """
        left_s = self.flushed_s + self.flush_interval_s - self.clock.now_s()
        events = await self._read(max(left_s, 0.0))
        try:
            for event in events:
                self.take(event)
        except ArchiverStopped:
            await self.flush()
            raise
        if self.flush_due():
            await self.flush()

    def take(self, event: FeedEvent) -> None:
        """Take one event of the feed into account."""
        held = self.assembler.open_offset
        self._held = event.offset if held is None else held  # for as long as something can go wrong
        transaction = self.assembler.take(event)
        if transaction is not None:
            self.look_for_gap(transaction)
            self.admit(transaction)
        self._held, self._consumed = None, event.offset + 1

    def look_for_gap(self, transaction: Transaction) -> None:
        """Raise ArchiverStopped when heartbeats before this transaction's are missing."""
        if transaction.snapshot:
            self.beats.begin(transaction.beat, transaction.position.epoch, asked=transaction.asked)
        elif transaction.beat is not None:
            self.beats.take(transaction.beat, transaction.position.epoch)

    def admit(self, transaction: Transaction) -> None:
        """Add a whole transaction to the batch; raises ArchiverStopped for what can't be carried."""
        self.catalogue.follow(transaction)
        if transaction.snapshot:
            self.owners.forget_shapes()
            self._schema_due = not self._dumped
        if (begun := self.assembler.take_begun()) is not None:
            self.batch.belongs_to(begun)
        self.batch.add(transaction, self.owners.split(transaction))

    def flush_due(self) -> bool:
        """Whether the batch must be written now: an interval has passed, or it is large (FM-94)."""
        overdue = self.clock.now_s() >= self.flushed_s + self.flush_interval_s
        return overdue or self.batch.rows >= BATCH_ROWS_MAX

    async def flush(self) -> None:
        """Make the batch durable, and only then let the feed go on from there.

        Not while it may belong to a timeline of which no heartbeat has come yet (FM-25), and no snapshot
        without a heartbeat that is newer than its rows (FM-82): then it waits.
        """
        self.flushed_s = self.clock.now_s()
        if self.batch.end is None or self.beats.awaits_newer:
            return
        if not await self.where.is_sure(self.assembler.epochs):
            return
        batch, self.batch = self.batch, Batch()
        offset = self.offset_to_commit()
        try:
            await self.write(batch, offset)
        except Predecessor:
            await self.resume()
            return
        self.index.flush(self.known.checkpoint())
        await self.move_offset(offset)

    def offset_to_commit(self) -> int:
        """Where a restarted reader must begin: at the first piece of what is not whole yet."""
        held = self.assembler.open_offset if self._held is None else self._held
        return self._consumed if held is None else held

    async def move_offset(self, offset: int) -> None:
        """Tell the feed that everything before ``offset`` is archived."""
        await self._patiently(lambda: self.feed.commit(offset))

    async def write(self, batch: Batch, next_offset: int) -> ManifestEntry:
        """Write the schema if it changed, the batch's segment, then the entry that chains it."""
        await self._renew_schema(batch)
        before = self.last
        seq = before.entry.seq + 1 if before else 1
        parts = self.parts_to_write(batch)
        entry = self._entry(before, batch, next_offset, await self._write_segment(seq, batch, parts))
        self.known.add(await self.chain(entry))
        if batch.beat is not None:
            self.pulse.durable(batch.beat.beat, idle=entry.segment is None)
        return entry

    def health(self) -> Health:
        """Say how the archive is doing, by this archiver's heartbeats."""
        watermark = str(self.last.entry.watermark) if self.last else None
        return self.pulse.health(self.clock.now_s(), watermark=watermark)

    async def chain(self, entry: ManifestEntry) -> Link:
        """Write an entry, signed; raises ArchiverStopped, or Predecessor, when another one is there."""
        body = self.signed(archive.encode_entry(entry))
        try:
            stored = await self.put(archive.manifest_key(entry.seq), body)
        except ArchiveBroken as broken:
            return await self._chain_after_planted(entry, body, broken)
        return Link(entry=entry, stored=stored, sha256=archive.digest(body))

    async def _chain_after_planted(self, entry: ManifestEntry, body: bytes, broken: ArchiveBroken) -> Link:
        """Write an entry whose name is taken; raises what stands in its way if that is another entry.

        Only what comes after the last entry known is read: who plants one must not cost more, the older
        the archive is.
        """
        manifest = await self._read_on()
        self.known.refuse(manifest.refused)
        if manifest.is_planted(archive.manifest_key(entry.seq)):
            await self._patiently(lambda: self.store.put_again(archive.manifest_key(entry.seq), body))
            manifest = await self._read_on()
        written = next((link for link in manifest.links if link.entry.seq == entry.seq), None)
        if written is not None and written.sha256 == archive.digest(body):
            return written
        assert entry.fence is not None  # resume() has claimed one
        raise explain(manifest, entry.fence, entry.seq, body, broken) from broken

    async def _read_on(self) -> Manifest:
        manifest = Manifest(self.store, self.trust, known=self.last)
        await self._patiently(manifest.catch_up)
        return manifest

    def signed(self, body: bytes) -> bytes:
        """Sign an entry, if there is a key to sign with."""
        return body if self.signer is None else self.signer.sign(body)

    def parts_to_write(self, batch: Batch) -> dict[str, list[Part]]:
        """Return what goes into the segment, by tenant."""
        return batch.parts

    async def put(self, key: str, body: bytes) -> StoredObject:
        """Write one object, until the store has it."""
        return await self._patiently(lambda: self.store.put_once(key, body))

    async def _write_segment(
        self, seq: int, batch: Batch, parts: dict[str, list[Part]]
    ) -> SegmentRef | None:
        if not parts or batch.end is None:
            return None
        key = archive.segment_key(batch.end.epoch, seq, self.entropy(8).hex())
        blocks = {
            tenant: seal(
                found,
                tenant=tenant,
                key=await self.keys.current(tenant),
                segment=key,
                entropy=self.entropy,
            )
            for tenant, found in parts.items()
        }
        built = layout.build(blocks)
        stored = await self.put(key, built.body)
        return SegmentRef(
            key=key,
            version=stored.version,
            sha256=archive.digest(built.body),
            size_bytes=len(built.body),
            directory=built.directory,
        )

    def _entry(
        self, before: Link | None, batch: Batch, next_offset: int, segment: SegmentRef | None
    ) -> ManifestEntry:
        if batch.end is None or self._schema_ref is None:
            raise AssertionError("an entry needs a batch, and a schema from resume()")
        return ManifestEntry(
            seq=before.entry.seq + 1 if before else 1,
            prev=before.sha256 if before else None,
            start=before.entry.end if before else None,
            end=batch.end,
            sure=batch.sure or (before.entry.sure if before else None),
            segment=segment,
            feed=FeedMark(feed=self._feed_name, next_offset=next_offset),
            db_schema=self._schema_ref,
            epochs=self.assembler.epochs,
            high=batch.high(before.entry.high if before else {}, self._counters),
            globals=tuple(batch.globals),
            beat=batch.beat or (before.entry.beat if before else None),
            fence=self.fence,
            catalogue=self.catalogue.known or "",
            asked=max(batch.asked, before.entry.asked if before else 0),
        )

    async def resume(self) -> None:
        """Find out from the archive and the feed where to go on; raises ArchiverStopped on a gap."""
        self.index.forget()
        new = await self._learn()
        start = await self._patiently(self.feed.start)
        last = self.last
        same_feed = last is not None and last.entry.feed.feed == start.feed
        gap = self.gap_before(start, last.entry) if last is not None and same_feed else ""
        self._feed_name, self._consumed = start.feed, start.offset
        self.assembler = self.assembler_kind(
            epochs=last.entry.epochs if last else (),
            last=last.entry.end if last else None,
            expects_snapshot=not same_feed,
            gap=gap,
            asked=last.entry.asked if last else 0,
        )
        self.beats = Beats(last.entry.beat if last else None, last.entry.end.epoch if last else 0)
        self._know_shapes(self.known.altered() if same_feed else [])
        self.catalogue = CatalogueWatch(last.entry.catalogue or None if last and same_feed else None)
        if new:
            await self._rebuild_index(new if same_feed else [])
        await self._archive_schema(last, same_feed=same_feed)
        self.pulse.start(self.clock.now_s(), last.entry.beat.at if last and last.entry.beat else None)
        self.flushed_s = self.clock.now_s()

    async def _learn(self) -> Sequence[Link]:
        """Know the archive as it is; return the entries that the owner index does not know yet."""
        self.known = await self._patiently(lambda: recall(self.index.checkpoint, self.store, self.trust))
        through = self.known.entries
        manifest = await self._claimed()
        new = [link for link in manifest.links if link.entry.seq > through]
        for link in new:
            self.known.add(link)
        self.known.refuse(manifest.refused)
        return new

    async def _claimed(self) -> Manifest:
        """Read on, claim the next token, and say so in the archive if it is another one's."""
        manifest = Manifest(self.store, self.trust, known=self.last)
        while True:
            await self._patiently(manifest.catch_up)
            last = manifest.last
            if last is not None and last.entry.fence is not None and last.entry.fence.run == self._run:
                self.fence = last.entry.fence
                return manifest
            self.fence = claim(self.identity, last, self._run)
            if last is None or last.entry.fence is None or not self.identity.take_over:
                return manifest
            with suppress(Predecessor):
                await self.chain(takeover_entry(last, self.fence))

    def gap_before(self, start: FeedStart, last: ManifestEntry) -> str:
        """Say what is lost where the feed goes on later than the archive ends; a snapshot may follow."""
        is_gap = start.offset > last.feed.next_offset
        return gap_words(start.offset, last.feed.next_offset) if is_gap else ""

    async def _rebuild_index(self, links: Sequence[Link]) -> None:
        """Bring the owner index up to the manifest: after a crash, or when it is missing altogether.

        What lies before the last snapshot is void; with a new feed, everything is.
        """
        for link in links[_last_snapshot(links) :]:
            parts = [part async for _, part in read_all_parts(self.store, self.keys, [link])]
            self.owners.remember(parts)
        self.index.flush(self.known.checkpoint())

    def _know_shapes(self, altered: Sequence[Altered]) -> None:
        """Know the tables as they are where the archive ends; a new feed begins with what is declared."""
        for one in altered:
            self.owners.alter(one)
        self.feed.alter(altered)

    async def _archive_schema(self, last: Link | None, *, same_feed: bool) -> None:
        """Archive the schema at the start. On a feed that goes on, its changes come with the feed."""
        known = self._schema_ref = last.entry.db_schema if last else None
        if last is not None and same_feed:
            self._schema_due = last.entry.db_schema.catalogue != last.entry.catalogue
            self._dumped = False
            return
        dump = await self.source.dump_schema()
        self._dumped = dump is not None
        if dump is not None:
            self._schema_ref = await self._put_schema(dump, known)
        elif known is None:
            raise ArchiverStopped("the database can't be reached, and its schema was never archived")

    async def _renew_schema(self, batch: Batch) -> None:
        """Archive the schema anew when the batch, or one before it, holds a change of it.

        What can't be dumped now, since the database is away, is dumped with a later batch.
        """
        batch.begin_schema(self._schema_ref)
        changed = batch.changes_schema()
        if not (changed or self._schema_due):
            return
        dump = await self.source.dump_schema()
        self._schema_due = dump is None or not dump.catalogue
        if dump is not None:
            self._schema_ref = await self._put_schema(dump, self._schema_ref)
            batch.dumped_schema(self._schema_ref)

    async def _put_schema(self, dump: SchemaDump, known: SchemaRef | None) -> SchemaRef:
        """Write a schema that differs from the one known."""
        sha256 = archive.digest(dump.ddl.encode())
        if known is not None and known.sha256 == sha256:
            return msgspec.structs.replace(known, catalogue=dump.catalogue)
        number = known.number + 1 if known else 1
        key, body = archive.schema_key(number, sha256), dump.ddl.encode()
        try:
            stored = await self.put(key, body)
        except ArchiveBroken:  # who knows the DDL can guess the name
            stored = await self._patiently(lambda: self.store.put_again(key, body))
        return SchemaRef(
            number=number,
            key=stored.key,
            version=stored.version,
            sha256=sha256,
            catalogue=dump.catalogue,
        )

    async def _pulse(self) -> None:
        """Write heartbeats, two in each flush interval."""
        while True:
            began_s = self.clock.now_s()
            beaten = await self.source.beat()
            if beaten is not None:
                self.pulse.wrote(beaten, began_s)
            await self.clock.sleep(self.flush_interval_s / 2)

    async def _read(self, wait_s: float) -> list[FeedEvent]:
        try:
            return list(await self.feed.read(limit=READ_LIMIT, wait_s=wait_s))
        except FeedUnavailable:
            await self.clock.sleep(RETRY_S)
            return []

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call until the service answers: an outage delays the archiver, it does not end it."""
        while True:
            try:
                return await call()
            except (StoreUnavailable, FeedUnavailable):
                await self.clock.sleep(RETRY_S)


def _last_snapshot(links: Sequence[Link]) -> int:
    """Return the index of the last entry with a snapshot in it, 0 when there is none."""
    for number in range(len(links) - 1, -1, -1):
        if any(found.kind == "snapshot" for found in links[number].entry.globals):
            return number
    return 0
