"""What an archiver knows of its archive, and how it knows it again after a restart.

A start that reads the manifest from its first entry takes the longer, the older the archive is, and nothing
is archived meanwhile. So each flush leaves a checkpoint beside the owner index, in one transaction with it:
where the last entry is, and which entries since the last snapshot tell how tables changed. Those are read
back; if one of them is not what was written, the checkpoint is worth nothing and everything is read. The
entries before are not looked at by a start: restores and ``verify`` read and verify all of them, as ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from harness.model.errors import ArchiveBroken
from harness.subject.reference.catalogue import alters_in
from harness.subject.reference.format import decode_entry, digest, manifest_key
from harness.subject.reference.health import Held
from harness.subject.reference.manifest import Link
from harness.subject.reference.ports import Checkpoint, ObjectStore, Pinned
from harness.subject.reference.shapes import Altered
from harness.subject.reference.signing import Trust


class Known:
    """Grows by each entry; ``shaping``: those since the last snapshot that say how tables are."""

    def __init__(self) -> None:
        self.last: Link | None = None
        self.shaping: list[Link] = []
        self._segments = 0
        self._refused_before = 0
        self._refused: set[str] = set()

    @property
    def entries(self) -> int:
        """How many entries the manifest has."""
        return self.last.entry.seq if self.last else 0

    @property
    def held(self) -> Held:
        """How much of what is in the bucket."""
        refused = self._refused_before + len(self._refused)
        return Held(entries=self.entries, segments=self._segments, refused=refused)

    def add(self, link: Link) -> None:
        """Take the next entry into account."""
        self.last = link
        self._segments += link.entry.segment is not None
        if any(found.kind == "snapshot" for found in link.entry.globals):
            self.shaping = [link]
        elif any(found.altered is not None for found in link.entry.globals):
            self.shaping.append(link)

    def refuse(self, keys: Iterable[str]) -> None:
        """Take objects into account that lie under an entry's name and are none."""
        self._refused |= set(keys)

    def altered(self) -> list[Altered]:
        """Return how tables were changed since the last snapshot, in order."""
        return alters_in(link.entry for link in self.shaping)

    def checkpoint(self) -> Checkpoint:
        """Return what must be kept; raises AssertionError while there is no entry.

        Of the objects refused only those that a later listing won't show again are counted.
        """
        assert self.last is not None
        settled = sum(key <= manifest_key(self.entries) for key in self._refused)
        return Checkpoint(
            last=_pinned(self.last),
            shaping=tuple(map(_pinned, self.shaping)),
            segments=self._segments,
            refused=self._refused_before + settled,
        )

    @classmethod
    def back(cls, checkpoint: Checkpoint, last: Link, shaping: list[Link]) -> Known:
        """Return what was known when the checkpoint was made."""
        known = cls()
        known.last, known.shaping = last, shaping
        known._segments, known._refused_before = checkpoint.segments, checkpoint.refused
        return known


async def recall(checkpoint: Checkpoint | None, store: ObjectStore, trust: Trust) -> Known:
    """Return what was known at the checkpoint; nothing, when there is none or the archive denies it.

    Raises StoreUnavailable.
    """
    if checkpoint is None:
        return Known()
    pins = (*checkpoint.shaping, checkpoint.last)
    try:
        *shaping, last = await asyncio.gather(*(_read(pin, store, trust) for pin in pins))
    except ArchiveBroken:
        return Known()
    return Known.back(checkpoint, last, shaping)


async def _read(pin: Pinned, store: ObjectStore, trust: Trust) -> Link:
    at = pin.stored
    body = await store.get(at.key, at.version)
    objection = trust.objection(at.key, body)
    if digest(body) != pin.sha256 or objection is not None:
        raise ArchiveBroken(f"{at.key} is not the entry that was written, {objection or 'by its SHA-256'}")
    return Link(entry=decode_entry(body, key=at.key), stored=at, sha256=pin.sha256)


def _pinned(link: Link) -> Pinned:
    return Pinned(stored=link.stored, sha256=link.sha256)
