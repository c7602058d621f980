"""Sealing: how one tenant's changes become a block that only that tenant's key opens.

    block   = header length (u16, big endian) | header (msgpack) | AES-256-GCM(zstd(msgpack of the parts))

Each block is sealed with a key and nonce of its own, derived from the tenant's key and a random salt by
HKDF-SHA256: a nonce can't come twice under one key, whatever crashes and is tried again. The segment's
name, the tenant's tag and the header are authenticated too, so a block can't stand in for another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import msgspec
import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from harness.model.errors import ArchiveBroken
from harness.subject.reference.format import Part
from harness.subject.reference.ports import TenantKey

SALT_BYTES = 32
TAG_BYTES = 16
_LENGTH_BYTES = 2

Entropy = Callable[[int], bytes]
"""Gives so many random bytes; the simulator's is seeded."""


class SubjectSlot(msgspec.Struct, frozen=True, array_like=True):
    """A data subject's key slot: whose it is, and that subject's key wrapped with the tenant's."""

    subject: bytes
    wrapped: bytes


class BlockHeader(msgspec.Struct, frozen=True, array_like=True):
    """What must be known to open a block. ``subjects`` is empty until subjects have keys."""

    format: int
    key_id: str
    salt: bytes
    subjects: tuple[SubjectSlot, ...] = ()


_encoder = msgspec.msgpack.Encoder()
_compressor = zstandard.ZstdCompressor(level=3)
_decompressor = zstandard.ZstdDecompressor()
_header_decoder = msgspec.msgpack.Decoder(BlockHeader)
_parts_decoder = msgspec.msgpack.Decoder(tuple[Part, ...])


def tenant_tag(tenant: str) -> bytes:
    """Return what stands for the tenant in indexes: 16 bytes of its id's SHA-256."""
    return hashlib.sha256(b"tenant\0" + tenant.encode()).digest()[:TAG_BYTES]


def seal(parts: Sequence[Part], *, tenant: str, key: TenantKey, segment: str, entropy: Entropy) -> bytes:
    """Return one sealed block with the tenant's parts, in order."""
    salt = entropy(SALT_BYTES)
    header = _encoder.encode(BlockHeader(1, key.id, salt))
    plain = _compressor.compress(_encoder.encode(parts))
    cipher, nonce = _cipher(key, salt)
    sealed = cipher.encrypt(nonce, plain, _bound_to(segment, tenant_tag(tenant), header))
    return len(header).to_bytes(_LENGTH_BYTES, "big") + header + sealed


def header_of(block: bytes) -> BlockHeader:
    """Read the header of a block; raises ArchiveBroken."""
    size = int.from_bytes(block[:_LENGTH_BYTES], "big")
    try:
        return _header_decoder.decode(block[_LENGTH_BYTES : _LENGTH_BYTES + size])
    except (msgspec.DecodeError, ValueError) as error:  # ValueError: text that is no UTF-8
        raise ArchiveBroken(f"a block has no header: {error}") from None


def unseal(block: bytes, *, tag: bytes, key: TenantKey, segment: str) -> tuple[Part, ...]:
    """Open a block; raises ArchiveBroken when it is not what was sealed for this place and key."""
    header = header_of(block)
    start = _LENGTH_BYTES + int.from_bytes(block[:_LENGTH_BYTES], "big")
    cipher, nonce = _cipher(key, header.salt)
    bound = _bound_to(segment, tag, block[_LENGTH_BYTES:start])
    try:
        plain = cipher.decrypt(nonce, block[start:], bound)
        return _parts_decoder.decode(_decompressor.decompress(plain))
    except (InvalidTag, zstandard.ZstdError, msgspec.DecodeError) as error:
        raise ArchiveBroken(
            f"a block of {segment} can't be opened with key {key.id}: {type(error).__name__}",
            cure="it was changed after it was written, or the key store is another archive's",
        ) from None


def _cipher(key: TenantKey, salt: bytes) -> tuple[AESGCM, bytes]:
    derived = HKDF(algorithm=SHA256(), length=44, salt=salt, info=b"restoreproof block 1").derive(
        key.secret
    )
    return AESGCM(derived[:32]), derived[32:]


def _bound_to(segment: str, tag: bytes, header: bytes) -> bytes:
    return segment.encode() + b"\0" + tag + header
