"""Reading the manifest: the chain of entries, each verified against the one before.

What was verified once is kept, so that following a living archive costs one listing and the new entries.
An entry is the *oldest version under its name that the archiver signed*: whoever adds a version later
changes nothing (FM-85, FM-86), and whoever plants an object under the next name only comes before the entry
that the archiver then puts there. What is no entry of this archive is passed over and named in ``refused``;
a name in the middle of the chain with no entry under it is an error.
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
    is_manifest_key,
    manifest_key,
)
from harness.subject.reference.ports import ObjectStore, StoredObject
from harness.subject.reference.signing import TRUSTS_ALL, Trust

READS_AT_ONCE = 8
ENTRY_BYTES_MAX = 32 << 20
"""No archiver writes a larger entry; what is larger is refused unread."""


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A verified entry, the object that holds it, and the SHA-256 of its bytes."""

    entry: ManifestEntry
    stored: StoredObject
    sha256: str


class Manifest:
    """The chain as far as it was read; ``links`` grows with each ``catch_up``.

    ``known``: an entry that was verified before, to begin after it. ``refused``: by key, why an object
    under an entry's name is none.
    """

    def __init__(self, store: ObjectStore, trust: Trust = TRUSTS_ALL, *, known: Link | None = None) -> None:
        self._store = store
        self._trust = trust
        self._lock = asyncio.Lock()
        self._gate = asyncio.Semaphore(READS_AT_ONCE)
        self._refused: dict[StoredObject, str] = {}
        self.links: list[Link] = [] if known is None else [known]

    @property
    def last(self) -> Link | None:
        """The newest entry read so far."""
        return self.links[-1] if self.links else None

    @property
    def refused(self) -> dict[str, str]:
        """By key, why what lies there is no entry of this archive."""
        return {stored.key: objection for stored, objection in self._refused.items()}

    def is_planted(self, key: str) -> bool:
        """Whether somebody else took the name that comes next."""
        return key == self._next_key() and key in self.refused

    async def catch_up(self) -> Sequence[Link]:
        """Read and verify the entries that were added; return them. Raises ArchiveBroken."""
        async with self._lock:
            after = manifest_key(self.links[-1].entry.seq) if self.links else ""
            listed = [
                stored
                for stored in await self._store.list(MANIFEST_PREFIX, after=after)
                if is_manifest_key(stored.key)
            ]
            if not listed:
                return ()
            bodies = await asyncio.gather(*(self._get(stored) for stored in listed))
            before = len(self.links)
            await self._add(list(zip(listed, bodies, strict=True)))
            return self.links[before:]

    def _next_key(self) -> str:
        return manifest_key(self.links[-1].entry.seq + 1 if self.links else 1)

    async def _get(self, stored: StoredObject) -> bytes:
        """Read what may be an entry; what was refused before is not read again, though it stays in the way.

        An entry may have come after it, under the same name, as soon as that is the next one.
        """
        if stored.size_bytes > ENTRY_BYTES_MAX or stored in self._refused:
            return b""
        async with self._gate:
            return await self._store.get(stored.key, stored.version)

    async def _add(self, found: list[tuple[StoredObject, bytes]]) -> None:
        """Add what is signed. The signature of the newest such entry vouches for the chain before it."""
        refused: list[StoredObject] = []
        while found and (objection := self._objection(*found[-1])) is not None:
            refused.insert(0, found.pop()[0])
            self._refused.setdefault(refused[0], objection)
        try:
            self.links += _chained(self.last, found)
        except ArchiveBroken:
            await self._add_singly(found)
        for stored in refused:
            if stored.key == self._next_key() and (own := await self._under(stored)) is not None:
                self.links.append(link(self.last, *own))

    async def _add_singly(self, found: list[tuple[StoredObject, bytes]]) -> None:
        """Add entries up to the first one that can't be believed, or does not follow; raise at that one."""
        for stored, body in found:
            objection = self._objection(stored, body)
            own = (stored, body) if objection is None else await self._under(stored)
            if objection is not None:
                self._refused.setdefault(stored, objection)
            if own is None:
                raise ArchiveBroken(
                    f"{stored.key} can't be used, {objection}, and others come after it",
                    cure="bring the true entry back from a replica of the bucket",
                )
            self.links.append(link(self.last, *own))

    async def _under(self, planted: StoredObject) -> tuple[StoredObject, bytes] | None:
        """Return the oldest version that the archiver signed under a name that somebody else took first."""
        for stored in await self._store.versions_of(planted.key):
            if stored not in self._refused:
                body = await self._get(stored)
                objection = self._objection(stored, body)
                if objection is None:
                    return stored, body
                self._refused[stored] = objection
        return None

    def _objection(self, stored: StoredObject, body: bytes) -> str | None:
        return self._trust.objection(stored.key, body)


def _chained(last: Link | None, found: list[tuple[StoredObject, bytes]]) -> list[Link]:
    links: list[Link] = []
    for stored, body in found:
        last = link(last, stored, body)
        links.append(last)
    return links


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
