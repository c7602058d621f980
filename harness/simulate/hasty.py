"""Archivers and stores that report work as done too early, and harmless look-alikes."""

from __future__ import annotations

from typing import Final

import msgspec

from harness.simulate.life import LivingStore
from harness.subject.reference.archiver import Archiver
from harness.subject.reference.batch import Batch
from harness.subject.reference.format import SEGMENT_PREFIX, Part
from harness.subject.reference.ports import StoredObject

LOST_EVERY: Final = 3


class FlushesHalf(Archiver):
    """A flush in the midst of a transaction: its later half goes into the next segment (FM-79)."""

    _rest: dict[str, list[Part]]

    def parts_to_write(self, batch: Batch) -> dict[str, list[Part]]:
        """Return the parts, the last one of each tenant halved, and the halves of the flush before."""
        rest = getattr(self, "_rest", {})
        self._rest = {}
        found: dict[str, list[Part]] = {}
        for tenant in dict.fromkeys((*rest, *batch.parts)):
            parts = [*rest.get(tenant, ()), *batch.parts.get(tenant, ())]
            if tenant in batch.parts and len(parts[-1].changes) > 1:
                parts[-1] = self._halved(tenant, parts[-1])
            found[tenant] = parts
        return found

    def _halved(self, tenant: str, part: Part) -> Part:
        middle = len(part.changes) // 2
        self._rest[tenant] = [msgspec.structs.replace(part, changes=part.changes[middle:])]
        return msgspec.structs.replace(part, changes=part.changes[:middle])


class WritesHalvesTogether(Archiver):
    """Near miss: takes each last transaction apart as well, and writes both halves in one segment."""

    def parts_to_write(self, batch: Batch) -> dict[str, list[Part]]:
        """Return all parts, the last one of each tenant in two pieces."""
        return {tenant: [*parts[:-1], *_pieces(parts[-1])] for tenant, parts in batch.parts.items()}


def _pieces(part: Part) -> list[Part]:
    middle = len(part.changes) // 2
    halves = (part.changes[:middle], part.changes[middle:])
    return [msgspec.structs.replace(part, changes=half) for half in halves if half]


class AnswersTooSoon(LivingStore):
    """Says that an object is stored while it is only in a cache, and loses every third segment."""

    _segments = 0

    async def put_once(self, key: str, body: bytes) -> StoredObject:
        """Write an object once; now and then not for long."""
        stored = await super().put_once(key, body)
        if key.startswith(SEGMENT_PREFIX):
            self._segments += 1
            if self._segments % LOST_EVERY == 0:
                self._store.versions.pop(key, None)
        return stored


class AnswersLate(LivingStore):
    """Near miss: its answers take a while longer."""

    async def put_once(self, key: str, body: bytes) -> StoredObject:
        """Write an object once, and wait."""
        stored = await super().put_once(key, body)
        await self._life.wait(self._latency.object_call())
        return stored
