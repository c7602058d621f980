"""Backup systems that fall for an attacker with the bucket's credentials, and harmless look-alikes.

Like those in ``faulty``, each overrides as little of the reference system as it can.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.model.history import Cut
from harness.model.schema import Schema
from harness.simulate.life import LivingStore
from harness.subject.reference.archiver import Archiver, ArchiverPorts
from harness.subject.reference.format import SEGMENT_PREFIX
from harness.subject.reference.manifest import Manifest
from harness.subject.reference.ports import KeyStore, ObjectStore, StoredObject, Swapped, Target
from harness.subject.reference.replay import TenantReader
from harness.subject.reference.restorer import Restorer
from harness.subject.reference.sealing import Entropy
from harness.subject.reference.signing import TRUSTS_ALL, Trust


class Through:
    """A client of the object store through another one, which does everything as that one does."""

    def __init__(self, inner: ObjectStore) -> None:
        self._inner = inner

    async def put_once(self, key: str, body: bytes) -> StoredObject:
        """Ask the one inside."""
        return await self._inner.put_once(key, body)

    async def put_again(self, key: str, body: bytes) -> StoredObject:
        """Ask the one inside."""
        return await self._inner.put_again(key, body)

    async def get(self, key: str, version: str, *, start: int = 0, size: int | None = None) -> bytes:
        """Ask the one inside."""
        return await self._inner.get(key, version, start=start, size=size)

    async def list(self, prefix: str, *, after: str = "") -> Sequence[StoredObject]:
        """Ask the one inside."""
        return await self._inner.list(prefix, after=after)

    async def versions_of(self, key: str) -> Sequence[StoredObject]:
        """Ask the one inside."""
        return await self._inner.versions_of(key)

    async def retention_s(self, key: str, version: str) -> float | None:
        """Ask the one inside."""
        return await self._inner.retention_s(key, version)


class GetsNewest(Through):
    """Reads the newest version of a key, whichever was asked for."""

    async def get(self, key: str, version: str, *, start: int = 0, size: int | None = None) -> bytes:
        """Forget the version."""
        there = await self._inner.versions_of(key)
        version = there[-1].version if there else version
        return await self._inner.get(key, version, start=start, size=size)


class GetsOldest(Through):
    """Reads the oldest version of a key, whichever was asked for."""

    async def get(self, key: str, version: str, *, start: int = 0, size: int | None = None) -> bytes:
        """Forget the version."""
        there = await self._inner.versions_of(key)
        version = there[0].version if there else version
        return await self._inner.get(key, version, start=start, size=size)


class ListsNewest(Through):
    """Lists the newest version of each key."""

    async def list(self, prefix: str, *, after: str = "") -> Sequence[StoredObject]:
        """List what was put last."""
        listed = await self._inner.list(prefix, after=after)
        return [(await self._inner.versions_of(found.key))[-1] for found in listed]


class PinsOnlyKeys(Restorer):
    """Takes the manifest's word for a segment's key, and reads whatever lies there now."""

    def __init__(
        self, *, schema: Schema, store: ObjectStore, keys: KeyStore, trust: Trust = TRUSTS_ALL
    ) -> None:
        super().__init__(schema=schema, store=store, keys=keys, trust=trust)
        self.reader = TenantReader(GetsNewest(store), keys)


class PinsOldestOfKeys(Restorer):
    """Near miss: forgets VersionIds too, but reads the version that was there first."""

    def __init__(
        self, *, schema: Schema, store: ObjectStore, keys: KeyStore, trust: Trust = TRUSTS_ALL
    ) -> None:
        super().__init__(schema=schema, store=store, keys=keys, trust=trust)
        self.reader = TenantReader(GetsOldest(store), keys)


class ReadsLatestEntries(Restorer):
    """Reads the newest version of each manifest entry, and believes it."""

    def __init__(
        self, *, schema: Schema, store: ObjectStore, keys: KeyStore, trust: Trust = TRUSTS_ALL
    ) -> None:
        super().__init__(schema=schema, store=store, keys=keys, trust=trust)
        self.manifest = Manifest(ListsNewest(store), TRUSTS_ALL)


class LooksAtLatestEntries(Restorer):
    """Near miss: looks at the newest version of each entry first, but believes only what is signed."""

    def __init__(
        self, *, schema: Schema, store: ObjectStore, keys: KeyStore, trust: Trust = TRUSTS_ALL
    ) -> None:
        super().__init__(schema=schema, store=store, keys=keys, trust=trust)
        self.manifest = Manifest(ListsNewest(store), trust)


class BelievesUnsigned(Restorer):
    """Verifies the chain of hashes, and no signature."""

    def __init__(
        self,
        *,
        schema: Schema,
        store: ObjectStore,
        keys: KeyStore,
        trust: Trust = TRUSTS_ALL,  # noqa: ARG002 - takes the place of the reference's
    ) -> None:
        super().__init__(schema=schema, store=store, keys=keys, trust=TRUSTS_ALL)


class VerifiesFromTheBeginning(Restorer):
    """Near miss: keeps nothing of what it verified, and reads the whole manifest for each restore."""

    def __init__(
        self, *, schema: Schema, store: ObjectStore, keys: KeyStore, trust: Trust = TRUSTS_ALL
    ) -> None:
        super().__init__(schema=schema, store=store, keys=keys, trust=trust)
        self._trusts = trust

    async def restore(self, tenant: str, cut: Cut, target: Target, *, in_place: bool) -> Swapped:
        """Forget the manifest, then restore."""
        self.manifest = Manifest(self.store, self._trusts)
        return await super().restore(tenant, cut, target, in_place=in_place)


class ChainsAfterForged(Archiver):
    """Signs its own entries, and goes on after whoever's entry it finds."""

    def __init__(
        self,
        *,
        schema: Schema,
        ports: ArchiverPorts,
        flush_interval_s: float = 1.0,
        entropy: Entropy,
    ) -> None:
        super().__init__(schema=schema, ports=ports, flush_interval_s=flush_interval_s, entropy=entropy)
        self.trust = TRUSTS_ALL


class LeavesSegmentsUnlocked(LivingStore):
    """Puts segments without retention, and takes the server's word that the bucket locks."""

    async def put_once(self, key: str, body: bytes) -> StoredObject:
        """Write an object once; a segment without a lock."""
        stored = await super().put_once(key, body)
        if key.startswith(SEGMENT_PREFIX):
            self._store.unlocked.add((stored.key, stored.version))
        return stored


class LocksAndLooks(LivingStore):
    """Near miss: asks twice whether what it wrote is locked."""

    async def put_once(self, key: str, body: bytes) -> StoredObject:
        """Write an object once, and look at its lock again."""
        stored = await super().put_once(key, body)
        await self.retention_s(stored.key, stored.version)
        return stored
