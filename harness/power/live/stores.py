"""Archivers' clients of the object store that report work as done too early, and harmless look-alikes."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from harness.simulate.faulty import Bell, FlushesWhenAsked
from harness.simulate.tampered import Through
from harness.subject.reference.adapters.wiring import store_of
from harness.subject.reference.archiver import Archiver, ArchiverPorts
from harness.subject.reference.config import ArchiveConfig
from harness.subject.reference.format import SEGMENT_PREFIX
from harness.subject.reference.ports import ObjectStore, StoredObject

LOST_EVERY: Final = 3
BRIEF_S: Final = 2.0

StoreKind = Callable[[ObjectStore, ArchiveConfig], ObjectStore]


def over(kind: StoreKind, config: ArchiveConfig) -> Callable[..., Archiver]:
    """Return what makes the reference archiver, over a store of that kind."""

    def make(*, ports: ArchiverPorts, **others: object) -> Archiver:
        changed = msgspec.structs.replace(ports, store=kind(ports.store, config))
        return Archiver(ports=changed, **others)  # type: ignore[arg-type]  # as wiring gives them

    return make


class LeavesSegmentsUnlocked(Through):
    """Locks segments for two seconds, as one does whose retention is in the wrong unit (FM-89)."""

    def __init__(self, inner: ObjectStore, config: ArchiveConfig) -> None:
        super().__init__(inner)
        brief = msgspec.structs.replace(config, retention_s=BRIEF_S)
        self._brief = store_of(brief, config.s3_endpoint)

    async def put_once(self, key: str, body: bytes) -> StoredObject:
        """Write an object once; a segment with next to no lock."""
        store = self._brief if key.startswith(SEGMENT_PREFIX) else self._inner
        return await store.put_once(key, body)


class LocksAndLooks(Through):
    """Near miss: asks twice whether what it wrote is locked."""

    def __init__(self, inner: ObjectStore, _: ArchiveConfig) -> None:
        super().__init__(inner)

    async def put_once(self, key: str, body: bytes) -> StoredObject:
        """Write an object once, and look at its lock again."""
        stored = await super().put_once(key, body)
        await self.retention_s(stored.key, stored.version)
        return stored


class AnswersTooSoon(Through):
    """Says that an object is stored while it is only in a cache, and loses every third segment (FM-93)."""

    def __init__(self, inner: ObjectStore, _: ArchiveConfig) -> None:
        super().__init__(inner)
        self._segments = 0

    async def put_once(self, key: str, body: bytes) -> StoredObject:
        """Write an object once; now and then say so only."""
        self._segments += key.startswith(SEGMENT_PREFIX)
        if key.startswith(SEGMENT_PREFIX) and self._segments % LOST_EVERY == 0:
            return StoredObject(key=key, version=str(uuid.uuid4()), size_bytes=len(body))
        return await super().put_once(key, body)


class FileBell(Bell):
    """A bell between two processes: it has been rung when its file is there."""

    def __init__(self, config: ArchiveConfig) -> None:
        self._file = Path(config.state_path).with_name("bell")

    @property
    def rung(self) -> bool:
        """Whether somebody rang since it was last heard."""
        return self._file.exists()

    @rung.setter
    def rung(self, rung: bool) -> None:
        if not rung:
            self._file.unlink(missing_ok=True)
        elif self._file.parent.exists():
            self._file.touch()


def flushes_when_asked(config: ArchiveConfig) -> Callable[..., Archiver]:
    """Return the archiver that waits for the bell of this archive."""
    return type("FlushesWhenAsked", (FlushesWhenAsked,), {"bell": FileBell(config)})


leaves_unlocked = partial(over, LeavesSegmentsUnlocked)
locks_and_looks = partial(over, LocksAndLooks)
answers_too_soon = partial(over, AnswersTooSoon)
