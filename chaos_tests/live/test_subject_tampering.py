"""Attacks on a real bucket with its own credentials: refused, or without effect on what a restore reads."""

from __future__ import annotations

import asyncio
import io
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from minio import Minio
from minio.commonconfig import COMPLIANCE, GOVERNANCE
from minio.deleteobjects import DeleteObject
from minio.error import S3Error
from minio.retention import Retention

from fixtures.archive import Bench, insert, note_row, tenant_row
from fixtures.object_servers import ObjectServer
from harness.model.errors import ArchiverStopped
from harness.stack.world.bucket import patient_client
from harness.stack.world.intruder import MinioIntruder
from harness.subject.reference import format as archive
from harness.subject.reference.adapters.s3_store import S3Store
from harness.subject.reference.fencing import Identity
from harness.subject.reference.format import Global
from harness.subject.reference.manifest import Manifest
from harness.subject.reference.signing import Signer

pytestmark = pytest.mark.live

T = TypeVar("T")
Attack = Callable[[Minio, str], Awaitable[None] | None]
THIEF = Signer(Ed25519PrivateKey.from_private_bytes(bytes(32)))
NEXT = archive.manifest_key(3)


class OnTheBucket(Bench):
    """A bench whose archive lies in a bucket of its own on the real server; ``raw`` is the attacker's."""

    def __init__(self, place: ObjectServer) -> None:
        super().__init__()
        self.raw = patient_client(place.url, access_key=place.access_key, secret_key=place.secret_key)
        self.bucket = f"attacked-{uuid.uuid4().hex}"
        self.raw.make_bucket(self.bucket, object_lock=True)
        self.real = S3Store(
            endpoint=place.url,
            access_key=place.access_key,
            secret_key=place.secret_key,
            bucket=self.bucket,
            retention_s=3600.0,
        )
        self.store = self.real  # type: ignore[assignment]  # the port is the same

    def versions(self) -> list[tuple[str, str]]:
        """List every (key, version) of the bucket."""
        listed = self.raw.list_objects(self.bucket, recursive=True, include_version=True)
        return [(found.object_name or "", found.version_id or "") for found in listed]

    def put(self, key: str, body: bytes) -> None:
        """Put an object as anybody with the credentials can, over whatever is there."""
        self.raw.put_object(self.bucket, key, io.BytesIO(body), len(body))

    async def forged(self) -> bytes:
        """Return an unsigned third entry that would take every note away."""
        manifest = Manifest(self.store, self.trust)
        await manifest.catch_up()
        assert manifest.last is not None
        last = manifest.last.entry
        end = msgspec.structs.replace(last.end, lsn=last.end.lsn + 10)
        gone = Global(kind="truncate", epoch=end.epoch, lsn=end.lsn, table="app.note")
        return archive.encode_entry(
            msgspec.structs.replace(
                last,
                seq=3,
                prev=manifest.last.sha256,
                start=last.end,
                end=end,
                segment=None,
                globals=(gone,),
                signature=None,
            )
        )


def attacked(place: ObjectServer, attack: Callable[[OnTheBucket], Awaitable[T]]) -> T:
    """Archive two entries, let the attack go, and demand what was archived of a reader that is new."""

    async def main() -> T:
        bench = OnTheBucket(place)
        try:
            bench.tape.snapshot(("app.tenant", tenant_row("acme")))
            await bench.archive()
            bench.tape.commit(insert("app.note", note_row(1, "acme", "kept")))
            await bench.archive()
            before = await bench.rows("acme")
            assert before["app.note"] == [note_row(1, "acme", "kept")]
            found = await attack(bench)
            assert await bench.rows("acme") == before
            return found
        finally:
            bench.real.close()

    return asyncio.run(main())


def test_overwriting_every_object_changes_nothing(object_server: ObjectServer) -> None:
    """Object Lock only keeps the old versions; they are the ones that are read (FM-85)."""

    async def attack(bench: OnTheBucket) -> tuple[str, ...]:
        for key, _ in bench.versions():
            bench.put(key, b"overwritten")
        return (await bench.verifier().verify()).problems

    assert attacked(object_server, attack) == ()


def test_delete_markers_on_every_object_change_nothing(object_server: ObjectServer) -> None:
    """A delete without a version hides, and hides nothing from who reads by version (FM-86)."""

    async def attack(bench: OnTheBucket) -> tuple[str, ...]:
        for key, _ in bench.versions():
            bench.raw.remove_object(bench.bucket, key)
        return (await bench.verifier().verify()).problems

    assert attacked(object_server, attack) == ()


@pytest.mark.parametrize("bypass", [False, True], ids=["plain", "bypassing governance"])
def test_deleting_versions_is_refused(object_server: ObjectServer, bypass: bool) -> None:
    """Compliance mode has no bypass, not even for the server's own root (FM-90)."""

    async def attack(bench: OnTheBucket) -> tuple[int, int]:
        there = bench.versions()
        doomed = [DeleteObject(key, version) for key, version in there]
        refused = list(bench.raw.remove_objects(bench.bucket, doomed, bypass_governance_mode=bypass))
        assert sorted(bench.versions()) == sorted(there)
        return len(refused), len(there)

    refused, there = attacked(object_server, attack)
    assert refused == there >= 5


@pytest.mark.parametrize("mode", [COMPLIANCE, GOVERNANCE])
def test_shortening_retention_is_refused(object_server: ObjectServer, mode: str) -> None:
    """Neither an earlier date nor the weaker mode is accepted for any version."""

    async def attack(bench: OnTheBucket) -> int:
        soon = Retention(mode, datetime.now(UTC) + timedelta(seconds=1))
        there = bench.versions()
        for key, version in there:
            with pytest.raises(S3Error, match=r"AccessDenied|InvalidRequest|WORM"):
                bench.raw.set_object_retention(bench.bucket, key, soon, version)
        assert (await bench.verifier().verify()).ok
        return len(there)

    assert attacked(object_server, attack) >= 5


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed by the attacker"])
def test_a_forged_entry_under_the_next_key_is_passed_over(
    object_server: ObjectServer, signed: bool
) -> None:
    """Well-formed and well chained, it would take every note away; verify names it."""

    async def attack(bench: OnTheBucket) -> tuple[str, ...]:
        forged = await bench.forged()
        bench.put(NEXT, THIEF.sign(forged) if signed else forged)
        return (await bench.verifier().verify()).problems

    (problem,) = attacked(object_server, attack)
    assert problem.startswith(f"{NEXT} is refused: it ")
    assert "signed" in problem


def test_a_planted_next_key_is_passed_over_by_the_archiver(object_server: ObjectServer) -> None:
    """Its entry becomes the next version under that name; readers and verify find it there."""

    async def attack(bench: OnTheBucket) -> tuple[str, ...]:
        bench.put(NEXT, b"planted")
        bench.tape.heartbeat(1)
        await bench.archive()
        bench.tape.heartbeat(2)
        await bench.archive()
        manifest = Manifest(bench.store, bench.trust)
        await manifest.catch_up()
        assert [link.entry.seq for link in manifest.links] == [1, 2, 3, 4]
        return (await bench.verifier().verify()).problems

    assert attacked(object_server, attack) == (f"{NEXT} is refused: it is not signed",)


def test_of_two_archivers_the_overtaken_one_stops(object_server: ObjectServer) -> None:
    """The server's own condition on writing decides, and the entry says who won (FM-84)."""

    async def attack(bench: OnTheBucket) -> tuple[str, ...]:
        first = bench.archiver()
        await first.resume()
        bench.tape.heartbeat(1)
        second = bench.archiver(identity=Identity(writer="spare", take_over=True))
        await second.resume()
        for archiver in (second, first):
            for event in bench.feed.events:
                archiver.take(event)
        await second.flush()
        with pytest.raises(ArchiverStopped, match=r"archiver 'spare' .* took over"):
            await first.flush()
        return (await bench.verifier().verify()).problems

    assert attacked(object_server, attack) == ()


def test_objects_planted_among_the_entries_are_nobodys(object_server: ObjectServer) -> None:
    """Names that sort before, between and after the entries stop no reader and no archiver."""

    async def attack(bench: OnTheBucket) -> bool:
        for key in ("man/000000000000", "man/0000000000015", "man/zzz", "seg/00000001/planted"):
            bench.put(key, await bench.forged())
        bench.tape.heartbeat(1)
        await bench.archive()
        return (await bench.verifier().verify()).ok

    assert attacked(object_server, attack)


def test_suspending_versioning_and_removing_the_lock_rule_change_nothing(
    object_server: ObjectServer,
) -> None:
    """Whatever the server says to that: old versions stay, and the archive's own retention holds."""

    async def attack(bench: OnTheBucket) -> tuple[str, ...]:
        intruder = MinioIntruder(client=bench.raw, bucket=bench.bucket, names=set())
        await intruder.suspend_versioning()
        await intruder.remove_lock_rule()
        for key, version in bench.versions():
            bench.put(key, b"overwritten")
            assert (await intruder.delete(key, version)).refused
        return (await bench.verifier().verify()).problems

    assert attacked(object_server, attack) == ()


def test_an_old_entry_replayed_under_the_next_key_is_passed_over(object_server: ObjectServer) -> None:
    """It is signed, and says which entry it is; the archiver goes on after it."""

    async def attack(bench: OnTheBucket) -> tuple[str, ...]:
        old = next(version for key, version in bench.versions() if key == archive.manifest_key(2))
        bench.put(NEXT, await bench.real.get(archive.manifest_key(2), old))
        bench.tape.heartbeat(1)
        await bench.archive()
        return (await bench.verifier().verify()).problems

    assert attacked(object_server, attack) == (f"{NEXT} is refused: it is a copy of entry 2",)
