"""Signatures of manifest entries: an entry counts only if the archiver's own key signed it.

    signed entry = the entry's JSON, its closing brace replaced by  ,"signature":"<base64>"}

The signature is Ed25519 over the bytes of the unsigned JSON, so that a reader of any version checks what
was written, not what it understood of it. The private key lies with the archiver and is no part of what
the bucket's credentials open; readers are told the public one. Since each entry names the hash of the one
before, and segments by theirs, one check of the newest vouches for everything that a restore reads.
"""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from harness.model.errors import ArchiveBroken, BadInput
from harness.subject.reference.format import decode_entry, manifest_key

VERIFIED_MAX = 64
"""How many signatures a process remembers to have looked at."""

_PURPOSE = b"restoreproof manifest entry 1\0"
_FIELD = b',"signature":"'
_END = b'"}'
_RAW = serialization.Encoding.Raw, serialization.PublicFormat.Raw


class Signer:
    """Signs with a private key; ``verify_key`` is the public one, as base64, for those who read."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.verify_key = base64.b64encode(key.public_key().public_bytes(*_RAW)).decode()

    def sign(self, body: bytes) -> bytes:
        """Return the bytes of an unsigned entry with their signature in them."""
        signature = base64.b64encode(self._key.sign(_PURPOSE + body))
        return body[:-1] + _FIELD + signature + _END


class Trust:
    """Whom a reader believes: whoever holds the private half of ``verify_key`` (base64).

    Without a key every entry is believed, as it was before there were signatures. ``unsigned_until``: the
    last entry from before the archive was signed, until the first signed one vouches for it. Raises
    BadInput for what is no key.
    """

    def __init__(self, verify_key: str = "", *, unsigned_until: int = 0) -> None:
        self._verify_key = verify_key
        self._unsigned_until = unsigned_until
        if verify_key:
            _public_key(verify_key)

    def objection(self, key: str, body: bytes) -> str | None:
        """Say why the object named ``key`` is no entry of this archive; None when it is one."""
        if not self._verify_key:
            return None
        unsigned, signature = split(body)
        if signature is None:
            return None if key <= manifest_key(self._unsigned_until) else "it is not signed"
        if not _is_signed(self._verify_key, signature, unsigned):
            return "it was not signed by this archive's archiver"
        try:
            seq = decode_entry(body, key=key).seq
        except ArchiveBroken as error:
            return error.message
        return None if key == manifest_key(seq) else f"it is a copy of entry {seq}"


TRUSTS_ALL = Trust()
"""Believes whatever is in the bucket."""


def split(body: bytes) -> tuple[bytes, bytes | None]:
    """Return the unsigned bytes of an entry, and its signature, None when there is none to be read."""
    head, field, tail = body.rpartition(_FIELD)
    if not field or not tail.endswith(_END):
        return body, None
    text = tail.removesuffix(_END)
    try:
        signature = base64.b64decode(text, validate=True)
    except binascii.Error:
        return body, None
    return (head + b"}", signature) if base64.b64encode(signature) == text else (body, None)


@lru_cache(maxsize=VERIFIED_MAX)
def _is_signed(verify_key: str, signature: bytes, unsigned: bytes) -> bool:
    """Whether the signature is right; several readers of a process come to the same newest entry."""
    try:
        _public_key(verify_key).verify(signature, _PURPOSE + unsigned)
    except InvalidSignature:
        return False
    return True


def _public_key(text: str) -> Ed25519PublicKey:
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except ValueError:  # base64's own error is one too
        raise BadInput(
            f"verify_key {text!r} is no Ed25519 public key",
            cure="`restoreproof archive key --config FILE` prints it",
        ) from None
