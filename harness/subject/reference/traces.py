"""What feed and archive hold, transaction by transaction, in the words of ``model.stages``.

For the blame of losses only: the harness has it read at a drill's end. The archive is read by this room's
own reader, since blocks are sealed in a format and with keys that are nobody else's business; a restorer
has no part in it. Segments that no manifest entry names (an archiver died between the two) are read too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from harness.model.errors import SubjectFailed
from harness.model.position import Position
from harness.model.schema import Schema
from harness.model.stages import ArchiveRead, InSegment, InTopic, Mark, SegmentUnreadable
from harness.model.values import Key, RawRow, to_row
from harness.subject.port import Holding
from harness.subject.reference import segment as layout
from harness.subject.reference.format import SEGMENT_PREFIX, SHARED, Part, RowChange
from harness.subject.reference.manifest import READS_AT_ONCE, Link, Manifest
from harness.subject.reference.ports import (
    Begin,
    End,
    FeedEvent,
    KeyStore,
    MessageEvent,
    ObjectStore,
    RowEvent,
    StoredObject,
    TruncateEvent,
)
from harness.subject.reference.replay import read_whole
from harness.subject.reference.sealing import header_of, unseal
from harness.subject.reference.signing import TRUSTS_ALL, Trust

T = TypeVar("T")
Keys = dict[str, tuple[str, ...]]
"""Per table the columns of its key."""


def keys_of(schema: Schema) -> Keys:
    """Return the key columns of all tables."""
    return {table.name: table.key for table in schema.tables}


class _Open:
    """The events of one transaction as they come."""

    def __init__(self, xid: int, offset: int) -> None:
        self.xid, self.first, self.seen = xid, offset, 0
        self.marks: list[Mark] = []


def in_topic(
    events: Iterable[tuple[FeedEvent, float]], schema: Schema, *, feed: str, cluster: int
) -> Iterator[InTopic]:
    """Yield the transactions of a feed in its order; events come with the time at which they came."""
    keys, now, last = keys_of(schema), None, (0, 0.0)
    for event, at_s in events:
        xid = getattr(event, "xid", 0)
        if now is not None and (now.xid != xid or (isinstance(event, Begin) and now.seen)):
            yield _told(now, last, feed, cluster)
            now = None
        now, last = now or _Open(xid, event.offset), (event.offset, at_s)
        if isinstance(event, End):
            yield _told(now, last, feed, cluster, event)
            now = None
        else:
            _take(now, event, keys)
    if now is not None:
        yield _told(now, last, feed, cluster)


def _take(now: _Open, event: FeedEvent, keys: Keys) -> None:
    if isinstance(event, RowEvent | TruncateEvent | MessageEvent):
        now.seen += 1
    if isinstance(event, RowEvent) and event.table in keys:
        now.marks += _marks(event, keys)
    elif isinstance(event, TruncateEvent):
        now.marks.append(Mark(table=event.table, op="truncate"))


def _told(now: _Open, last: tuple[int, float], feed: str, cluster: int, end: End | None = None) -> InTopic:
    offset, at_s = last
    return InTopic(
        feed=feed,
        cluster=cluster,
        xid=now.xid,
        first=now.first,
        last=offset,
        at_s=at_s,
        seen=now.seen,
        lsn=end.lsn if end else None,
        count=end.count if end else None,
        marks=tuple(now.marks),
    )


class ReferenceHoldings:
    """What an archive of this format holds (``subject.port.Traceable``)."""

    def __init__(
        self, *, schema: Schema, store: ObjectStore, keys: KeyStore, trust: Trust = TRUSTS_ALL
    ) -> None:
        self._keys_of = keys_of(schema)
        self._store = store
        self._keys = keys
        self._trust = trust

    async def holdings(self, after: Position | None) -> Sequence[Holding]:
        """Read the archive from ``after`` on; what can't be read is told."""
        manifest, why_not = Manifest(self._store, self._trust), ""
        try:
            await manifest.catch_up()
        except SubjectFailed as failed:
            why_not = str(failed)
        links = [link for link in manifest.links if after is None or link.entry.end > after]
        forged = [one for one in await self._each(links, self._forged) if one]
        end = manifest.last.entry.end if manifest.last else Position(epoch=0, lsn=0)
        found: list[Holding] = [
            ArchiveRead(
                entries=len(manifest.links),
                epoch=end.epoch,
                lsn=end.lsn,
                why_not=why_not or next(iter(forged), ""),
            )
        ]
        for named in await self._each(links, self._named):
            found += named
        return [*found, *[held async for held in self._unnamed(manifest.links, links)]]

    @staticmethod
    async def _each(links: Sequence[Link], ask: Callable[[Link], Awaitable[T]]) -> list[T]:
        """Ask of each link, a few at once."""
        gate = asyncio.Semaphore(READS_AT_ONCE)

        async def gated(link: Link) -> T:
            async with gate:
                return await ask(link)

        return await asyncio.gather(*map(gated, links))

    async def _forged(self, link: Link) -> str:
        """Say why an entry is not the archiver's own, though a later one of its own follows it."""
        try:
            body = await self._store.get(link.stored.key, link.stored.version)
        except SubjectFailed as failed:
            return str(failed)
        objection = self._trust.objection(link.stored.key, body)
        return f"{link.stored.key}: {objection}, and the archiver went on after it" if objection else ""

    async def _named(self, link: Link) -> list[Holding]:
        segment, seq = link.entry.segment, link.entry.seq
        if segment is None:
            return []
        try:
            body = await read_whole(self._store, segment)
            places = layout.all_places(segment.directory, body)
            stored = StoredObject(key=segment.key, version=segment.version, size_bytes=len(body))
            return [held async for held in self._parts(stored, body, places, seq)]
        except SubjectFailed as failed:
            return [SegmentUnreadable(segment=segment.key, entry=seq, why=str(failed))]

    async def _unnamed(self, known: Sequence[Link], links: Sequence[Link]) -> AsyncIterator[Holding]:
        """Yield what is in segments since the first of ``links`` that no entry names."""
        named = {link.entry.segment.key for link in known if link.entry.segment is not None}
        first = min((s.key for link in links if (s := link.entry.segment) is not None), default="")
        try:
            listed = await self._store.list(SEGMENT_PREFIX, after=first.rpartition("-")[0])
            for stored in [one for one in listed if one.key not in named]:
                body = await self._store.get(stored.key, stored.version)
                places = layout.all_places_by_size(body)
                async for held in self._parts(stored, body, places, None):
                    yield held
        except SubjectFailed:
            return  # what lies beside an archive, whoever put it there, need not be readable

    async def _parts(
        self,
        stored: StoredObject,
        body: bytes,
        places: Sequence[tuple[bytes, layout.Place]],
        entry: int | None,
    ) -> AsyncIterator[InSegment]:
        for tag, place in places:
            block = layout.cut(body, place)
            key = await self._keys.get(header_of(block).key_id)
            for part in unseal(block, tag=tag, key=key, segment=stored.key):
                yield self._held(stored, entry, key.tenant, part)

    def _held(self, stored: StoredObject, entry: int | None, tenant: str, part: Part) -> InSegment:
        return InSegment(
            segment=stored.key,
            version=stored.version,
            entry=entry,
            tenant=None if tenant == SHARED else tenant,
            epoch=part.epoch,
            lsn=part.lsn,
            xid=part.xid,
            marks=tuple(mark for change in part.changes for mark in _marks(change, self._keys_of)),
        )


def _marks(change: RowEvent | RowChange, keys: Keys) -> Iterator[Mark]:
    """Yield one mark for a change, and one more for the old key where it changed."""
    columns = keys.get(change.table, ())
    after, before = change.after, change.before or {}
    old = _key({**(after or {}), **before}, columns)
    if after is None:
        yield Mark(table=change.table, op=change.op, key=old)
        return
    new = _key(after, columns)
    if before and old != new:
        yield Mark(table=change.table, op="delete", key=old)
    yield Mark(table=change.table, op=change.op, key=new, row=to_row(after))


def _key(image: RawRow, columns: Sequence[str]) -> Key:
    return tuple(image.get(column) or "" for column in columns)
