"""A segment's layout: what lets a restore read one tenant's bytes and no one else's.

    segment   = magic (8) | bucket indexes, one after the other | blocks
    index     = entries of 36 bytes, sorted by tag: tag (16) | offset (u32) | size (u32) | digest (12)
    directory = 64 times 19 bytes: where the index ends (u24) | digest (12) | filter (32 bits)

Tenants fall into 64 hash buckets. The directory stands, fixed in size, in the manifest entry: from it a
reader knows where its bucket's index is, what it must hash to, and by the filter mostly whether its tenant
is in there at all. So a restore costs one small ranged read and one for the block, for each segment in
which the tenant has rows, however many tenants there are. Digests are cut SHA-256; the blocks' own
authentication stands behind them. Numbers are big endian.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Mapping

import msgspec

from harness.model.errors import ArchiveBroken
from harness.subject.reference.sealing import TAG_BYTES, tenant_tag

BUCKETS = 64
MAGIC = b"RPSEG\0\0\1"
_DIGEST_BYTES = 12
_ENTRY = struct.Struct(f">{TAG_BYTES}sII{_DIGEST_BYTES}s")
_SLOT = struct.Struct(f">3s{_DIGEST_BYTES}sI")
_FIRST = len(MAGIC).to_bytes(3, "big")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where some bytes of a segment are, and what they must hash to."""

    offset: int
    size: int
    digest: bytes

    def check(self, data: bytes, *, key: str) -> bytes:
        """Return ``data``; raises ArchiveBroken when it is not what was written."""
        if len(data) != self.size or _cut_digest(data) != self.digest:
            raise ArchiveBroken(
                f"{key}: bytes {self.offset} to {self.offset + self.size} are not what was written",
                cure="read that version from a replica of the bucket",
            )
        return data


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A segment to be written: its bytes, and the directory for the manifest entry."""

    body: bytes
    directory: str


def bucket_of(tag: bytes) -> int:
    """Return the hash bucket of a tenant's tag."""
    return tag[0] % BUCKETS


def build(blocks: Mapping[str, bytes]) -> Segment:
    """Lay out sealed blocks, given by tenant."""
    by_bucket: list[list[tuple[bytes, bytes]]] = [[] for _ in range(BUCKETS)]
    for tenant, block in blocks.items():
        tag = tenant_tag(tenant)
        by_bucket[bucket_of(tag)].append((tag, block))
    offset = len(MAGIC) + len(blocks) * _ENTRY.size
    indexes, slots, bodies = bytearray(MAGIC), bytearray(), []
    for bucket in by_bucket:
        if not bucket:  # what most are
            slots += _SLOT.pack(len(indexes).to_bytes(3, "big"), _NO_INDEX, 0)
            continue
        index, filter_bits = bytearray(), 0
        for tag, block in sorted(bucket):
            index += _ENTRY.pack(tag, offset, len(block), _cut_digest(block))
            filter_bits |= _filter_bit(tag)
            bodies.append(block)
            offset += len(block)
        indexes += index
        slots += _SLOT.pack(len(indexes).to_bytes(3, "big"), _cut_digest(index), filter_bits)
    body = b"".join((indexes, *bodies))
    return Segment(body=body, directory=base64.b64encode(slots).decode())


def index_place(directory: str, tenant: str) -> Place | None:
    """Return where the index of the tenant's bucket is; None when the tenant is surely not in it."""
    tag = tenant_tag(tenant)
    place, filter_bits = _slot(base64.b64decode(directory), bucket_of(tag))
    return place if filter_bits & _filter_bit(tag) else None


def block_place(index: bytes, tenant: str) -> Place | None:
    """Return where in the segment the tenant's block is; None when it has none."""
    return dict(places(index)).get(tenant_tag(tenant))


def places(index: bytes) -> list[tuple[bytes, Place]]:
    """List a bucket index: each tenant's tag and where its block is."""
    return [
        (tag, Place(offset=offset, size=size, digest=digest))
        for tag, offset, size, digest in _ENTRY.iter_unpack(index)
    ]


def all_places(directory: str, body: bytes) -> list[tuple[bytes, Place]]:
    """List every block of a whole segment, each index checked; raises ArchiveBroken."""
    raw = base64.b64decode(directory)
    indexes = (cut(body, _slot(raw, bucket)[0]) for bucket in range(BUCKETS))
    return [found for index in indexes for found in places(index)]


def all_places_by_size(body: bytes) -> list[tuple[bytes, Place]]:
    """List every block of a whole segment whose directory nobody has; raises ArchiveBroken.

    The first block begins where the indexes end.
    """
    first = len(MAGIC) + _ENTRY.size
    if not body.startswith(MAGIC) or len(body) < first:
        raise ArchiveBroken("what lies among the segments is none")
    index_end = min(place.offset for _, place in places(body[len(MAGIC) : first]))
    index = body[len(MAGIC) : index_end]
    if index_end < first or len(index) % _ENTRY.size:
        raise ArchiveBroken("a segment has no index")
    return places(index)


def cut(body: bytes, place: Place) -> bytes:
    """Take the bytes at ``place`` out of a whole segment, checked; raises ArchiveBroken."""
    return place.check(body[place.offset : place.offset + place.size], key="a segment")


def _slot(directory: bytes, bucket: int) -> tuple[Place, int]:
    """Read where the index of a bucket is, and its filter."""
    at = bucket * _SLOT.size
    end, digest, filter_bits = _SLOT.unpack_from(directory, at)
    begin = directory[at - _SLOT.size : at - _SLOT.size + 3] if bucket else _FIRST
    offset, beyond = int.from_bytes(begin, "big"), int.from_bytes(end, "big")
    return Place(offset=offset, size=beyond - offset, digest=digest), filter_bits


def _filter_bit(tag: bytes) -> int:
    return 1 << (tag[1] % 32)


def _cut_digest(data: bytes | bytearray) -> bytes:
    return hashlib.sha256(data).digest()[:_DIGEST_BYTES]


_NO_INDEX = _cut_digest(b"")
