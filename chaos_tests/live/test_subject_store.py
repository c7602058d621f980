"""The object store port's contract on a real server: written once, locked, read by version for ever."""

from __future__ import annotations

import asyncio
import io
import uuid
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from minio.deleteobjects import DeleteObject

from fixtures.object_servers import ObjectServer
from harness.model.errors import ArchiveBroken
from harness.stack.world.bucket import patient_client
from harness.subject.reference.adapters.s3_store import S3Store
from harness.subject.reference.ports import StoredObject, StoreUnavailable

pytestmark = pytest.mark.live

T = TypeVar("T")
RETENTION_S = 3600.0


def with_store(place: ObjectServer, test: Callable[[S3Store], Awaitable[T]], *, url: str = "") -> T:
    """Run a test with a store of its own on the session's bucket."""

    async def main() -> T:
        store = S3Store(
            endpoint=url or place.url,
            access_key=place.access_key,
            secret_key=place.secret_key,
            bucket=place.bucket,
            retention_s=RETENTION_S,
        )
        try:
            return await test(store)
        finally:
            store.close()

    return asyncio.run(main())


def key_of_its_own() -> str:
    """Return a key that no other test uses."""
    return f"store-{uuid.uuid4().hex}/000000000001"


def test_the_same_bytes_put_twice_are_one_version(object_server: ObjectServer) -> None:
    """A retry whose first answer was lost finds what it wrote (FM-84)."""

    async def test(store: S3Store) -> list[StoredObject]:
        key = key_of_its_own()
        return [await store.put_once(key, b"segment") for _ in range(3)]

    found = with_store(object_server, test)
    assert found[0] == found[1] == found[2]
    assert found[0].size_bytes == 7


def test_other_bytes_under_the_same_name_are_refused(object_server: ObjectServer) -> None:
    """Two archivers can't both write entry n."""

    async def test(store: S3Store) -> None:
        key = key_of_its_own()
        await store.put_once(key, b"mine")
        with pytest.raises(ArchiveBroken, match="somebody else writes"):
            await store.put_once(key, b"theirs")

    with_store(object_server, test)


def test_what_is_written_is_locked_for_the_given_time(object_server: ObjectServer) -> None:
    """The retention is the archive's own, not the bucket's default (FM-89)."""

    async def test(store: S3Store) -> float | None:
        stored = await store.put_once(key_of_its_own(), b"locked")
        return await store.retention_s(stored.key, stored.version)

    left_s = with_store(object_server, test)
    assert left_s is not None
    assert RETENTION_S - 60 < left_s <= RETENTION_S


def test_a_large_object_is_put_in_one_piece(object_server: ObjectServer) -> None:
    """The condition holds for all of it."""
    body = bytes(range(256)) * (48 << 10)

    async def test(store: S3Store) -> bytes:
        stored = await store.put_once(key_of_its_own(), body)
        return await store.get(stored.key, stored.version)

    assert with_store(object_server, test) == body


def test_parts_of_a_version_can_be_read(object_server: ObjectServer) -> None:
    """Ranges are by first byte and size, at both ends and of nothing."""

    async def test(store: S3Store) -> list[bytes]:
        stored = await store.put_once(key_of_its_own(), b"0123456789")
        ranges: list[tuple[int, int | None]] = [(0, 3), (7, 3), (4, 1), (0, 0), (0, None), (5, None)]
        return [
            await store.get(stored.key, stored.version, start=start, size=size) for start, size in ranges
        ]

    assert with_store(object_server, test) == [b"012", b"789", b"4", b"", b"0123456789", b"56789"]


def test_overwrites_and_delete_markers_change_nothing_that_is_read(
    object_server: ObjectServer,
) -> None:
    """Object Lock does not stop them; the oldest version is listed and read all the same (FM-85, FM-86)."""
    raw = patient_client(
        object_server.url, access_key=object_server.access_key, secret_key=object_server.secret_key
    )

    async def test(store: S3Store) -> tuple[StoredObject, list[StoredObject], bytes]:
        stored = await store.put_once(key_of_its_own(), b"true")
        raw.put_object(object_server.bucket, stored.key, io.BytesIO(b"forged"), 6)
        raw.remove_object(object_server.bucket, stored.key)
        refused = list(
            raw.remove_objects(
                object_server.bucket,
                [DeleteObject(stored.key, stored.version)],
                bypass_governance_mode=True,
            )
        )
        assert refused
        prefix = stored.key.partition("/")[0]
        return stored, list(await store.list(prefix)), await store.get(stored.key, stored.version)

    stored, listed, body = with_store(object_server, test)
    assert listed == [stored]
    assert body == b"true"


def test_a_listing_begins_after_a_key_and_is_in_order(object_server: ObjectServer) -> None:
    """Following a growing chain costs only what is new."""
    prefix = f"list-{uuid.uuid4().hex}/"

    async def test(store: S3Store) -> list[str]:
        for number in (3, 1, 2, 10):
            await store.put_once(f"{prefix}{number:012d}", b"x")
        return [found.key for found in await store.list(prefix, after=f"{prefix}{1:012d}")]

    assert with_store(object_server, test) == [f"{prefix}{number:012d}" for number in (2, 3, 10)]


def test_what_is_not_there_is_said_to_be_missing(object_server: ObjectServer) -> None:
    """Neither a lost key nor a lost version is an empty object."""

    async def test(store: S3Store) -> None:
        stored = await store.put_once(key_of_its_own(), b"x")
        for key, version in ((key_of_its_own(), stored.version), (stored.key, str(uuid.uuid4()))):
            with pytest.raises(ArchiveBroken, match="not in the bucket"):
                await store.get(key, version)
        assert await store.retention_s(key_of_its_own(), stored.version) is None

    with_store(object_server, test)


def test_a_server_that_is_away_is_no_broken_archive(object_server: ObjectServer) -> None:
    """The call may be made again."""

    async def test(store: S3Store) -> None:
        with pytest.raises(StoreUnavailable):
            await store.put_once(key_of_its_own(), b"x")

    with_store(object_server, test, url="http://127.0.0.1:9")
