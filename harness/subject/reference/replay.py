"""Reading parts back out of segments: one tenant's by ranged reads, or everybody's from whole ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

from harness.model.errors import ArchiveBroken
from harness.subject.reference import segment as layout
from harness.subject.reference.format import Part, SegmentRef, digest
from harness.subject.reference.manifest import READS_AT_ONCE, Link
from harness.subject.reference.ports import KeyStore, ObjectStore
from harness.subject.reference.sealing import header_of, tenant_tag, unseal

INDEXES_KEPT_MAX = 20_000


class TenantReader:
    """Reads the blocks of single tenants, a few at once, each verified before it is opened.

    Bucket indexes are kept once read, since other tenants of the bucket need the same ones.
    """

    def __init__(self, store: ObjectStore, keys: KeyStore) -> None:
        self._store = store
        self._keys = keys
        self._gate = asyncio.Semaphore(READS_AT_ONCE)
        self._indexes: dict[tuple[str, int], bytes] = {}
        self._once: dict[tuple[str, str], tuple[Part, ...]] | None = None

    @contextmanager
    def once(self) -> Iterator[None]:
        """Read each block only once while the context lasts: one restore may need it more than once."""
        self._once = {}
        try:
            yield
        finally:
            self._once = None

    async def parts(self, tenant: str, links: Sequence[Link]) -> list[Part]:
        """Return the tenant's parts in these entries' segments, in commit order."""
        segments = (link.entry.segment for link in links)
        may_hold = [s for s in segments if s is not None and layout.index_place(s.directory, tenant)]
        found = await asyncio.gather(*(self.block(tenant, segment) for segment in may_hold))
        return [part for parts in found for part in parts]

    async def block(self, tenant: str, segment: SegmentRef) -> tuple[Part, ...]:
        """Return the tenant's parts in one segment; raises ArchiveBroken."""
        once, name = self._once, (tenant, segment.key)
        if once is not None and name in once:
            return once[name]
        parts = await self._block(tenant, segment)
        if once is not None:
            once[name] = parts
        return parts

    async def _block(self, tenant: str, segment: SegmentRef) -> tuple[Part, ...]:
        where = layout.index_place(segment.directory, tenant)
        if where is None:
            return ()
        index = await self._index(segment, where)
        where = layout.block_place(index, tenant)
        if where is None:
            return ()
        block = await self._read(segment, where)
        key = await self._keys.get(header_of(block).key_id)
        return unseal(block, tag=tenant_tag(tenant), key=key, segment=segment.key)

    async def _index(self, segment: SegmentRef, place: layout.Place) -> bytes:
        name = (segment.key, place.offset)
        if name not in self._indexes:
            if len(self._indexes) >= INDEXES_KEPT_MAX:
                self._indexes.clear()
            self._indexes[name] = await self._read(segment, place)
        return self._indexes[name]

    async def _read(self, segment: SegmentRef, place: layout.Place) -> bytes:
        async with self._gate:
            data = await self._store.get(segment.key, segment.version, start=place.offset, size=place.size)
        return place.check(data, key=segment.key)


async def read_all_parts(
    store: ObjectStore, keys: KeyStore, links: Sequence[Link]
) -> AsyncIterator[tuple[str, Part]]:
    """Yield (tenant, part) for everything in these entries, whole segments verified by their hash."""
    for link in links:
        segment = link.entry.segment
        if segment is None:
            continue
        body = await read_whole(store, segment)
        for tag, place in layout.all_places(segment.directory, body):
            block = layout.cut(body, place)
            key = await keys.get(header_of(block).key_id)
            for part in unseal(block, tag=tag, key=key, segment=segment.key):
                yield key.tenant, part


async def read_whole(store: ObjectStore, segment: SegmentRef) -> bytes:
    """Read a whole segment; raises ArchiveBroken when it is not what the manifest says."""
    body = await store.get(segment.key, segment.version)
    if digest(body) != segment.sha256:
        raise ArchiveBroken(
            f"{segment.key} has SHA-256 {digest(body)}, the manifest says {segment.sha256}",
            cure="read that version from a replica of the bucket",
        )
    return body
