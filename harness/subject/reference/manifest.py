"""Reading the manifest: the chain of entries, each verified against the one before.

What was verified once is kept, so that following a living archive costs one listing and the new entries.
Reading is always by the *oldest* version of an entry: whoever adds a version later changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from harness.model.errors import ArchiveBroken
from harness.subject.reference.format import (
    MANIFEST_PREFIX,
    ManifestEntry,
    decode_entry,
    digest,
    manifest_key,
)
from harness.subject.reference.ports import ObjectStore, StoredObject

READS_AT_ONCE = 8


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A verified entry, the object that holds it, and the SHA-256 of its bytes."""

    entry: ManifestEntry
    stored: StoredObject
    sha256: str


class Manifest:
    """The chain as far as it was read; ``links`` grows with each ``catch_up``."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._lock = asyncio.Lock()
        self._gate = asyncio.Semaphore(READS_AT_ONCE)
        self.links: list[Link] = []

    @property
    def last(self) -> Link | None:
        """The newest entry read so far."""
        return self.links[-1] if self.links else None

    async def catch_up(self) -> Sequence[Link]:
        """Read and verify the entries that were added; return them. Raises ArchiveBroken."""
        async with self._lock:
            after = manifest_key(self.links[-1].entry.seq) if self.links else ""
            listed = await self._store.list(MANIFEST_PREFIX, after=after)
            bodies = await asyncio.gather(*(self._get(stored) for stored in listed))
            before = len(self.links)
            for stored, body in zip(listed, bodies, strict=True):
                self.links.append(link(self.last, stored, body))
            return self.links[before:]

    async def _get(self, stored: StoredObject) -> bytes:
        async with self._gate:
            return await self._store.get(stored.key, stored.version)


def link(before: Link | None, stored: StoredObject, body: bytes) -> Link:
    """Verify that ``body`` is the entry that follows ``before``; raises ArchiveBroken."""
    entry = decode_entry(body, key=stored.key)
    seq = before.entry.seq + 1 if before else 1
    if stored.key != manifest_key(seq) or entry.seq != seq:
        raise ArchiveBroken(
            f"after entry {seq - 1} comes {stored.key} (entry {entry.seq}): {manifest_key(seq)} is gone",
            cure="bring the missing entry back from a replica of the bucket",
        )
    if entry.prev != (before.sha256 if before else None):
        raise ArchiveBroken(
            f"{stored.key} does not follow the entry before it: that one has SHA-256"
            f" {before.sha256 if before else None}, it names {entry.prev}",
            cure="one of the two was changed after it was written: compare with a replica",
        )
    return Link(entry=entry, stored=stored, sha256=digest(body))
