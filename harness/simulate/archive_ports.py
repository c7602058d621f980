"""In-memory ports of the reference backup system: what its archiver and restorer reach in a simulation.

They keep the same promises as the real ones (write once, oldest version read, offsets that only a commit
moves) and can fail on demand: ``down`` makes a port unreachable. Nothing here waits but on the clock given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence

from harness.model.errors import ArchiveBroken, RestoreRefused
from harness.subject.reference.health import Beaten
from harness.subject.reference.ports import (
    Checkpoint,
    Clock,
    FeedEvent,
    FeedStart,
    FeedUnavailable,
    SchemaDump,
    SchemaMissing,
    StoredObject,
    StoreUnavailable,
    Swap,
    Swapped,
    TenantKey,
    Whereabouts,
)
from harness.subject.reference.shapes import Altered

READ_POLL_S = 0.02


class MemoryFeed:
    """A change feed: ``events`` is the topic, an event's offset its place in the list."""

    def __init__(self, clock: Clock, *, name: str = "feed-1") -> None:
        self.name = name
        self.events: list[FeedEvent] = []
        self.committed = 0
        self.down = False
        self._clock = clock
        self._next = 0

    def append(self, make: Callable[[int], FeedEvent]) -> None:
        """Add the event that ``make`` gives for its offset."""
        self.events.append(make(len(self.events)))

    async def start(self) -> FeedStart:
        """Begin at the committed offset."""
        self._require_up()
        self._next = self.committed
        return FeedStart(feed=self.name, offset=self.committed)

    async def read(self, *, limit: int, wait_s: float) -> Sequence[FeedEvent]:
        """Return what there is, or wait for it."""
        self._require_up()
        end_s = self._clock.now_s() + wait_s
        while self._next >= len(self.events) and self._clock.now_s() < end_s:
            await self._clock.sleep(min(READ_POLL_S, end_s - self._clock.now_s()))
        self._require_up()
        found = self.events[self._next : self._next + limit]
        self._next += len(found)
        return found

    def alter(self, altered: Sequence[Altered]) -> None:
        """Nothing to be known: values are text already."""

    async def commit(self, offset: int) -> None:
        """Keep the offset for the next ``start``."""
        self._require_up()
        self.committed = offset

    def _require_up(self) -> None:
        if self.down:
            raise FeedUnavailable("the simulated feed is down")


class MemoryStore:
    """A bucket with versions: per key its versions, oldest first. ``sent_bytes`` counts what was read.

    ``made`` holds (key, version) of every version in the order in which they became readable, ``unlocked``
    those that nothing locks; every other one is locked for ``locked_s``, None for none at all.
    """

    def __init__(self, *, retention_s: float = 3600.0) -> None:
        self.versions: dict[str, list[tuple[str, bytes]]] = {}
        self.made: list[tuple[str, str]] = []
        self.unlocked: set[tuple[str, str]] = set()
        self.sent_bytes = 0
        self.down = self.full = False
        self.locked_s: float | None = retention_s

    async def put_once(self, key: str, body: bytes) -> StoredObject:
        """Write a new key; the same bytes again give the same version."""
        self._require_up()
        if self.full:
            raise StoreUnavailable("the simulated object store has no space left")
        if key in self.versions:
            version, stored = self.versions[key][0]
            if stored != body:
                raise ArchiveBroken(f"{key} exists with other bytes", cure="stop the other archiver")
        else:
            version = self.add_version(key, body)
        return StoredObject(key=key, version=version, size_bytes=len(body))

    async def put_again(self, key: str, body: bytes) -> StoredObject:
        """Add a version, whatever is there."""
        self._require_up()
        return StoredObject(key=key, version=self.add_version(key, body), size_bytes=len(body))

    def add_version(self, key: str, body: bytes, *, locked: bool = True) -> str:
        """Add a version, as an overwrite does, and return its id."""
        version = f"v{len(self.made) + 1:08d}"
        self.versions.setdefault(key, []).append((version, body))
        self.made.append((key, version))
        if not locked:
            self.unlocked.add((key, version))
        return version

    def remove_version(self, key: str, version: str) -> bool:
        """Delete a version for good, unless it is locked; return whether it is gone."""
        if self._lock_s(key, version) is not None:
            return False
        left = [found for found in self.versions.get(key, ()) if found[0] != version]
        self.versions[key] = left
        if not left:
            del self.versions[key]
        return True

    def copy(self) -> MemoryStore:
        """Return a store of its own with all that is in this one now."""
        twin = MemoryStore()
        twin.versions = {key: list(found) for key, found in self.versions.items()}
        twin.made, twin.unlocked, twin.locked_s = list(self.made), set(self.unlocked), self.locked_s
        return twin

    async def get(self, key: str, version: str, *, start: int = 0, size: int | None = None) -> bytes:
        """Read part of one version."""
        self._require_up()
        for found, body in self.versions.get(key, ()):
            if found == version:
                data = body[start:] if size is None else body[start : start + size]
                self.sent_bytes += len(data)
                return data
        raise ArchiveBroken(f"{key} has no version {version}")

    async def list(self, prefix: str, *, after: str = "") -> Sequence[StoredObject]:
        """List the oldest version of each key."""
        self._require_up()
        keys = sorted([key for key in self.versions if key > after and key.startswith(prefix)])
        return [self._oldest(key) for key in keys]

    def _oldest(self, key: str) -> StoredObject:
        version, body = self.versions[key][0]
        return StoredObject(key=key, version=version, size_bytes=len(body))

    async def versions_of(self, key: str) -> Sequence[StoredObject]:
        """List the versions of one key, the oldest first."""
        self._require_up()
        return [
            StoredObject(key=key, version=version, size_bytes=len(body))
            for version, body in self.versions.get(key, ())
        ]

    async def retention_s(self, key: str, version: str) -> float | None:
        """Return the retention of a version that exists."""
        return self._lock_s(key, version)

    def _lock_s(self, key: str, version: str) -> float | None:
        known = any(version == found for found, _ in self.versions.get(key, ()))
        return self.locked_s if known and (key, version) not in self.unlocked else None

    def _require_up(self) -> None:
        if self.down:
            raise StoreUnavailable("the simulated object store is down")


class MemoryKeys:
    """Tenants' keys, made from the tenant's name, so that a simulation repeats itself."""

    def __init__(self) -> None:
        self.keys: dict[str, TenantKey] = {}

    async def current(self, tenant: str) -> TenantKey:
        """Return the tenant's key, made if need be."""
        key_id = hashlib.sha256(b"id\0" + tenant.encode()).hexdigest()[:32]
        secret = hashlib.sha256(b"secret\0" + tenant.encode()).digest()
        return self.keys.setdefault(key_id, TenantKey(id=key_id, tenant=tenant, secret=secret))

    async def get(self, key_id: str) -> TenantKey:
        """Return a key that was made before."""
        try:
            return self.keys[key_id]
        except KeyError:
            raise ArchiveBroken(f"key {key_id} is not in the key store") from None


class MemoryIndex:
    """The owner index. ``crash`` forgets what was not flushed, ``lose`` forgets everything."""

    def __init__(self) -> None:
        self.checkpoint: Checkpoint | None = None
        self._kept: dict[tuple[str, tuple[str, ...], tuple[str, ...]], str] = {}
        self._new: dict[tuple[str, tuple[str, ...], tuple[str, ...]], str] = {}

    def get(self, table: str, columns: tuple[str, ...], cells: tuple[str, ...]) -> str | None:
        """Return the tenant, if known."""
        key = (table, columns, cells)
        return self._new.get(key) or self._kept.get(key)

    def put(self, table: str, columns: tuple[str, ...], cells: tuple[str, ...], owner: str) -> None:
        """Remember an owner."""
        self._new[table, columns, cells] = owner

    def flush(self, checkpoint: Checkpoint) -> None:
        """Keep everything put so far."""
        self._kept |= self._new
        self._new.clear()
        self.checkpoint = checkpoint

    def forget(self) -> None:
        """Forget what was not flushed; a crash does the same."""
        self._new.clear()

    def lose(self) -> None:
        """Forget everything, as when the index's disk is gone."""
        self._kept.clear()
        self._new.clear()
        self.checkpoint = None


class MemorySource:
    """The captured database beside the feed; ``on_beat`` writes the heartbeat row, if anything does."""

    def __init__(self, ddl: str, *, on_beat: Callable[[], None] = lambda: None) -> None:
        self.ddl = ddl
        self.catalogue = "catalogue-1"
        self.beats = 0
        self.down = False
        self.whereabouts = Whereabouts()
        self._on_beat = on_beat

    async def where(self) -> Whereabouts | None:
        """Say nothing of where it is, but that it is there."""
        return None if self.down else self.whereabouts

    async def dump_schema(self) -> SchemaDump | None:
        """Return the DDL."""
        return None if self.down else SchemaDump(ddl=self.ddl, catalogue=self.catalogue)

    async def beat(self) -> Beaten | None:
        """Write a heartbeat."""
        if self.down:
            return None
        self.beats += 1
        self._on_beat()
        return Beaten(beat=self.beats)


class MemoryTarget:
    """A target that only notes what it was asked: the DDL it was built with, how high ids were then, and
    each swap.
    """

    def __init__(self, *, refuses: str | None = None) -> None:
        self.ddl: str | None = None
        self.high: Mapping[str, int] = {}
        self.tables: dict[str, tuple[str, ...]] = {}
        self.catalogue = ""
        self.swaps: list[Swap] = []
        self._refuses = refuses

    async def build_schema(self, ddl: str, high: Mapping[str, int]) -> None:
        """Note both."""
        self.ddl, self.high = ddl, high

    async def columns(self) -> Mapping[str, Collection[str]]:
        """Return what a test said of the tables."""
        return self.tables

    async def catalogue_digest(self) -> str:
        """Return what a test said of the catalogue."""
        return self.catalogue

    async def swap(self, swap: Swap) -> Swapped:
        """Note the swap, or refuse it."""
        if self.ddl is None:
            raise SchemaMissing("nothing was built here")
        if self._refuses is not None:
            raise RestoreRefused(self._refuses)
        self.swaps.append(swap)
        return Swapped(rows=sum(map(len, swap.rows.values())), set_aside=(), shared_added={})
