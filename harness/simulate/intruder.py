"""Someone with the credentials of the simulated bucket (``drive.ports.Intruder``).

The bucket is versioned and locked as a real one is: a version that is locked can't be deleted, and neither
its lock nor versioning can be lifted.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.drive.ports import Answer, ObjectVersion
from harness.simulate.archive_ports import MemoryStore
from harness.simulate.latency import Latency

LOCKED = Answer(refused=True, words="the version is locked in COMPLIANCE mode")


class SimulatedIntruder:
    """Acts on the memory store, a call of the object server at a time."""

    def __init__(self, store: MemoryStore, latency: Latency) -> None:
        self._store = store
        self._latency = latency

    async def versions(self) -> Sequence[ObjectVersion]:
        """List every version, by name and age."""
        await self._latency.object_call()
        return [
            ObjectVersion(key=key, version=version)
            for key, found in sorted(self._store.versions.items())
            for version, _ in found
        ]

    async def read(self, key: str, version: str) -> bytes:
        """Read one version."""
        await self._latency.object_call()
        return dict(self._store.versions[key])[version]

    async def put(self, key: str, body: bytes, *, new: bool) -> Answer:
        """Put an object, locked by the bucket's rule."""
        await self._latency.object_call()
        if new and key in self._store.versions:
            return Answer(refused=True, words="PreconditionFailed")
        return Answer(refused=False, words=f"version {self._store.add_version(key, body)}")

    async def delete(self, key: str, version: str | None, *, bypass: bool = False) -> Answer:  # noqa: ARG002
        """Delete a version that is not locked; hiding an object changes nothing by version."""
        await self._latency.object_call()
        if version is None:
            return Answer(refused=False, words="a delete marker")
        if not self._store.remove_version(key, version):
            return LOCKED
        return Answer(refused=False, words="deleted")

    async def shorten(self, key: str, version: str, *, mode: str) -> Answer:  # noqa: ARG002
        """Refuse what is locked; what is not, may be locked as weakly as one likes."""
        await self._latency.object_call()
        locked = await self._store.retention_s(key, version) is not None
        return LOCKED if locked else Answer(refused=False, words="it was not locked")

    async def suspend_versioning(self) -> Answer:
        """Refuse: a bucket with Object Lock keeps its versions."""
        await self._latency.object_call()
        return Answer(refused=True, words="InvalidBucketState")

    async def remove_lock_rule(self) -> Answer:
        """Take the rule away; what was locked stays so."""
        await self._latency.object_call()
        return Answer(refused=False, words="the bucket has no rule any more")
