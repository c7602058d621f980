"""``archive verify``: the whole archive read and checked through the ports, every problem named."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from harness.model.errors import SubjectFailed
from harness.subject.reference import segment as layout
from harness.subject.reference.fencing import is_takeover
from harness.subject.reference.format import ManifestEntry, SchemaRef, digest, schemas_of
from harness.subject.reference.manifest import Link, Manifest
from harness.subject.reference.ports import KeyStore, ObjectStore
from harness.subject.reference.replay import read_whole
from harness.subject.reference.sealing import header_of, unseal
from harness.subject.reference.signing import TRUSTS_ALL, Trust


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. ``ok`` is False when there is any problem."""

    ok: bool
    entries: int
    segments: int
    blocks: int
    size_bytes: int
    shortest_retention_s: float | None
    problems: tuple[str, ...]


class Verifier:
    """Checks chain, signatures, hashes, seals, retention and gaps of one archive."""

    def __init__(self, store: ObjectStore, keys: KeyStore, trust: Trust = TRUSTS_ALL) -> None:
        self._store = store
        self._trust = trust
        self._keys = keys
        self._blocks = 0
        self._size_bytes = 0
        self._retentions: list[float] = []

    async def verify(self) -> Verified:
        """Read everything; never raises for what is wrong with the archive."""
        manifest = Manifest(self._store, self._trust)
        problems: list[str] = []
        try:
            await manifest.catch_up()
        except SubjectFailed as failed:
            problems.append(failed.message)
        problems += [f"{key} is refused: {objection}" for key, objection in manifest.refused.items()]
        problems += [problem async for problem in self._problems(manifest.links)]
        return Verified(
            ok=not problems,
            entries=len(manifest.links),
            segments=sum(link.entry.segment is not None for link in manifest.links),
            blocks=self._blocks,
            size_bytes=self._size_bytes,
            shortest_retention_s=min(self._retentions, default=None),
            problems=tuple(problems),
        )

    async def _problems(self, links: list[Link]) -> AsyncIterator[str]:
        before: Link | None = None
        schemas: set[str] = set()
        for link in links:
            for problem in _gaps(before, link):
                yield problem
            named = (self._schema(schema, schemas) for schema in schemas_of(link.entry))
            for check in (self._entry(link), self._segment(link), *named):
                try:
                    await check
                except SubjectFailed as failed:
                    yield failed.message
            before = link

    async def _entry(self, link: Link) -> None:
        self._size_bytes += link.stored.size_bytes
        await self._locked(link.stored.key, link.stored.version)

    async def _segment(self, link: Link) -> None:
        segment = link.entry.segment
        if segment is None:
            return
        self._size_bytes += segment.size_bytes
        body = await read_whole(self._store, segment)
        for tag, place in layout.all_places(segment.directory, body):
            block = layout.cut(body, place)
            key = await self._keys.get(header_of(block).key_id)
            unseal(block, tag=tag, key=key, segment=segment.key)
            self._blocks += 1
        await self._locked(segment.key, segment.version)

    async def _schema(self, schema: SchemaRef, seen: set[str]) -> None:
        if schema.key in seen:
            return
        seen.add(schema.key)
        body = await self._store.get(schema.key, schema.version)
        self._size_bytes += len(body)
        if digest(body) != schema.sha256:
            raise SubjectFailed(f"{schema.key} has SHA-256 {digest(body)}, not {schema.sha256}")
        await self._locked(schema.key, schema.version)

    async def _locked(self, key: str, version: str) -> None:
        left_s = await self._store.retention_s(key, version)
        if left_s is None or left_s <= 0:
            raise SubjectFailed(f"{key} is not locked any more ({left_s} s left)")
        self._retentions.append(left_s)


def _gaps(before: Link | None, link: Link) -> list[str]:
    entry, gaps = link.entry, []
    if entry.start != (before.entry.end if before else None):
        gaps.append(f"entry {entry.seq} begins at {entry.start}, the one before ended elsewhere")
    if entry.start is not None and entry.end <= entry.start and not is_takeover(entry):
        gaps.append(f"entry {entry.seq} ends at {entry.end}, before it begins")
    if _token(entry) < (_token(before.entry) if before else 0):
        gaps.append(f"entry {entry.seq} has a lower token than the one before: two archivers wrote")
    if before and entry.feed.feed == before.entry.feed.feed:
        if entry.feed.next_offset < before.entry.feed.next_offset:
            gaps.append(f"entry {entry.seq} ends at an earlier feed offset than the one before")
    elif before and not any(found.kind == "snapshot" for found in entry.globals):
        gaps.append(f"entry {entry.seq} goes over to another feed without a snapshot")
    return gaps


def _token(entry: ManifestEntry) -> int:
    return entry.fence.token if entry.fence else 0
