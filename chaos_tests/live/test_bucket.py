"""The harness's own listing of the archive's bucket: complete, each version once, and cheap."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from harness.stack.alone import LockedBucket
from harness.stack.world.bucket import LOOKS_PER_FULL_LISTING_MIN, NAMES_BACK, MinioBucket, patient_client

pytestmark = pytest.mark.live


class CountingClient:
    """Passes listings on to a real client and counts the entries that came back."""

    def __init__(self, place: LockedBucket) -> None:
        self.real = patient_client(place.url, access_key=place.access_key, secret_key=place.secret_key)
        self.bucket = place.bucket
        self.entries = 0

    def list_objects(self, *arguments: Any, **options: Any) -> Iterator[Any]:
        """List, and count what is listed."""
        for entry in self.real.list_objects(*arguments, **options):
            self.entries += 1
            yield entry

    def put(self, key: str) -> str:
        """Write one object; return its version."""
        return str(self.real.put_object(self.bucket, key, io.BytesIO(b"x"), 1).version_id)


@pytest.fixture
def client(locked_bucket: LockedBucket) -> CountingClient:
    """A client of the session's bucket."""
    return CountingClient(locked_bucket)


@pytest.fixture
def bucket(client: CountingClient) -> MinioBucket:
    """A listing that has seen whatever earlier tests left."""
    made = MinioBucket(client=client, bucket=client.bucket, sent_bytes=lambda: 0)  # type: ignore[arg-type]
    made.look()
    return made


def test_each_version_is_new_once(client: CountingClient, bucket: MinioBucket) -> None:
    """Objects in known and unknown prefixes are told at the next look, and never again."""
    prefix = f"a{uuid.uuid4().hex}"
    written = {key: client.put(key) for key in (f"{prefix}/1/1", f"{prefix}/2", f"{prefix}.json")}
    assert {v.key: v.version for v in bucket.look()} == written
    assert bucket.look() == []
    later = {key: client.put(key) for key in (f"{prefix}/1/2", f"{prefix}/3")}
    assert {v.key: v.version for v in bucket.look()} == later


def test_what_comes_just_before_the_last_name_is_new_at_the_next_look(
    client: CountingClient, bucket: MinioBucket
) -> None:
    """A killed archiver leaves a segment of its own; the next one's may have a name before that."""
    prefix = f"d{uuid.uuid4().hex}"
    for number in range(5):
        client.put(f"{prefix}/{number}-5")
    client.put(f"{prefix}/5-f")
    bucket.look()
    client.put(f"{prefix}/5-2")
    assert [v.key for v in bucket.look()] == [f"{prefix}/5-2"]


def test_what_comes_out_of_order_is_met_by_the_full_listing(
    client: CountingClient, bucket: MinioBucket
) -> None:
    """An older name and an overwritten object are found within the looks between two full listings."""
    prefix = f"b{uuid.uuid4().hex}"
    first = client.put(f"{prefix}/5")
    for number in range(NAMES_BACK):
        client.put(f"{prefix}/9{number}")
    bucket.look()
    late = {(f"{prefix}/1", client.put(f"{prefix}/1")), (f"{prefix}/5", client.put(f"{prefix}/5"))}
    client.real.remove_object(client.bucket, f"{prefix}/5")
    found = [v for _ in range(LOOKS_PER_FULL_LISTING_MIN + 1) for v in bucket.look()]
    assert {(v.key, v.version) for v in found} == late
    assert (f"{prefix}/5", first) not in late


def test_a_look_costs_the_same_however_large_the_archive(
    client: CountingClient, bucket: MinioBucket
) -> None:
    """Between full listings a look lists a few entries a prefix, not the archive."""
    prefix = f"c{uuid.uuid4().hex}"
    for i in range(150):
        client.put(f"{prefix}/{i:06d}")
    assert len(bucket.look()) == 150
    client.entries = 0
    client.put(f"{prefix}/{150:06d}")
    assert [v.key for v in bucket.look()] == [f"{prefix}/000150"]
    assert client.entries < 50
