"""Processes that can be killed: what a simulated archiver reaches, only as long as it lives.

A killed process does nothing any more, whatever its ``finally`` blocks would like to do: its task is
cancelled, and every port it holds refuses to act. A call that was under way may or may not have had its
effect, as with a real SIGKILL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TypeVar

import msgspec

from harness.drive.ports import ConnectionLost
from harness.model.position import format_lsn
from harness.simulate.archive_ports import MemoryIndex, MemoryKeys, MemoryStore
from harness.simulate.latency import Latency
from harness.simulate.operator import pg_timestamp
from harness.simulate.sessions import Address
from harness.simulate.switches import Cut, Wire
from harness.subject.reference.health import Beaten
from harness.subject.reference.ports import (
    Checkpoint,
    SchemaDump,
    StoredObject,
    StoreUnavailable,
    TenantKey,
    Whereabouts,
)

T = TypeVar("T")


class Life:
    """Of one process: over once ``end`` was called."""

    def __init__(self) -> None:
        self._over = False
        self._going = asyncio.Event()
        self._going.set()

    def end(self) -> None:
        """Kill it: from here on none of its calls has an effect."""
        self._over = True
        self._going.set()

    def begin(self) -> None:
        """Have a new process in its place, once nothing of it is left."""
        self._over = False

    def pause(self) -> None:
        """Stop it in its tracks, at its next call."""
        self._going.clear()

    def resume(self) -> None:
        """Let it go on."""
        self._going.set()

    def demand(self) -> None:
        """Raise CancelledError in a process that was killed."""
        if self._over:
            raise asyncio.CancelledError("killed")

    async def going(self) -> None:
        """Wait while the process stands still; raises CancelledError in one that was killed."""
        await self._going.wait()
        self.demand()

    async def wait(self, awaitable: Awaitable[T]) -> T:
        """Wait for something that takes time, and go on only if the process still lives."""
        result = await awaitable
        await self.going()
        return result


class LivingStore:
    """A client of the object store (``reference.ports.ObjectStore``); counts what it was sent."""

    def __init__(self, store: MemoryStore, latency: Latency, life: Life, wire: Wire | None = None) -> None:
        self.sent_bytes = 0
        self._store = store
        self._latency = latency
        self._life = life
        self._wire = wire or Wire(latency.clock)

    async def put_once(self, key: str, body: bytes) -> StoredObject:
        """Write an object once; its answer may be lost though the object is there (FM-84)."""
        await self._life.wait(self._ask())
        stored = await self._store.put_once(key, body)
        await self._life.wait(self._latency.object_call())
        await self._life.wait(self._answer())
        return stored

    async def put_again(self, key: str, body: bytes) -> StoredObject:
        """Add a version."""
        await self._life.wait(self._ask())
        stored = await self._store.put_again(key, body)
        await self._life.wait(self._latency.object_call())
        await self._life.wait(self._answer())
        return stored

    async def get(self, key: str, version: str, *, start: int = 0, size: int | None = None) -> bytes:
        """Read part of one version."""
        await self._life.wait(self._ask())
        body = await self._store.get(key, version, start=start, size=size)
        await self._life.wait(self._answer())
        self.sent_bytes += len(body)
        return body

    async def list(self, prefix: str, *, after: str = "") -> Sequence[StoredObject]:
        """List the oldest version of each key."""
        await self._life.wait(self._ask())
        return await self._store.list(prefix, after=after)

    async def versions_of(self, key: str) -> Sequence[StoredObject]:
        """List the versions of one key."""
        await self._life.wait(self._ask())
        return await self._store.versions_of(key)

    async def retention_s(self, key: str, version: str) -> float | None:
        """Return how much longer a version is locked."""
        await self._life.wait(self._ask())
        return await self._store.retention_s(key, version)

    async def _ask(self) -> None:
        await self._latency.object_call()
        try:
            await self._wire.ask()
        except Cut as cut:
            raise StoreUnavailable(str(cut)) from None

    async def _answer(self) -> None:
        try:
            await self._wire.answer()
        except Cut as cut:
            raise StoreUnavailable(str(cut)) from None


class LivingKeys:
    """A client of the key store (``reference.ports.KeyStore``)."""

    def __init__(self, keys: MemoryKeys, life: Life) -> None:
        self._keys = keys
        self._life = life

    async def current(self, tenant: str) -> TenantKey:
        """Return the tenant's key."""
        self._life.demand()
        return await self._keys.current(tenant)

    async def get(self, key_id: str) -> TenantKey:
        """Return a key by its id."""
        self._life.demand()
        return await self._keys.get(key_id)


class LivingIndex:
    """An archiver's hold on its owner index (``reference.ports.OwnerIndex``)."""

    def __init__(self, index: MemoryIndex, life: Life) -> None:
        self._index = index
        self._life = life
        index.forget()

    @property
    def checkpoint(self) -> Checkpoint | None:
        """How far it is complete."""
        return self._index.checkpoint

    def get(self, table: str, columns: tuple[str, ...], cells: tuple[str, ...]) -> str | None:
        """Return the tenant, if known."""
        return self._index.get(table, columns, cells)

    def put(self, table: str, columns: tuple[str, ...], cells: tuple[str, ...], owner: str) -> None:
        """Remember an owner."""
        self._life.demand()
        self._index.put(table, columns, cells, owner)

    def forget(self) -> None:
        """Forget what was put since the last flush."""
        self._life.demand()
        self._index.forget()

    def flush(self, checkpoint: Checkpoint) -> None:
        """Keep everything put so far."""
        self._life.demand()
        self._index.flush(checkpoint)


class LivingSource:
    """An archiver's own connection to the captured database (``reference.ports.Source``)."""

    def __init__(self, address: Address, life: Life) -> None:
        self._address = address
        self._life = life

    async def where(self) -> Whereabouts | None:
        """Return who answers, None when nobody does."""
        try:
            await self._life.wait(self._address.ask())
            server = self._address.reach()
        except ConnectionLost:
            return None
        return Whereabouts(system_id=server.system_id, timeline=server.timeline)

    async def dump_schema(self) -> SchemaDump | None:
        """Return the schema as its data: the simulator's DDL."""
        try:
            await self._life.wait(self._address.ask())
            catalogue = self._address.reach().catalogue
        except ConnectionLost:
            return None
        if catalogue is None:
            return None
        return SchemaDump(ddl=msgspec.json.encode(catalogue).decode(), catalogue=catalogue.digest())

    async def beat(self) -> Beaten | None:
        """Write the heartbeat row in a transaction of its own."""
        try:
            await self._life.wait(self._address.ask())
            server = self._address.reach()
        except ConnectionLost:
            return None
        now_s = self._address.latency.clock.now_s()
        server.heartbeat = {
            **server.heartbeat,
            "beat": str(int(server.heartbeat["beat"] or 0) + 1),
            "at": pg_timestamp(now_s),
            "timeline": str(server.timeline),
            "forked_at": None if server.fork_lsn is None else format_lsn(server.fork_lsn),
            "catalogue": server.catalogue.digest() if server.catalogue else "",
        }
        server.append(server.draw_xid(), now_s, heartbeat=server.heartbeat)
        row = server.heartbeat
        return Beaten(beat=int(row["beat"] or 0), at=row["at"] or "")
