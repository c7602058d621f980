"""What stands in a record for a TOAST value that was not logged, in each form that Debezium gives it. Pure.

With full row images there is none: what an UPDATE left alone is taken from the old image. One that arrives
all the same means that a table lost its identity, and is told from an application's own text in two ways:
the placeholder is random for each stack, and it is the whole value (FM-37, FM-38, FM-39).
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from typing import Final

from harness.subject.reference.readers import Json

DEFAULT: Final = "__debezium_unavailable_value"
"""Debezium's own placeholder: an application may well have written it."""


class Placeholder:
    """A stack's placeholder, ``text``; '' for none."""

    def __init__(self, text: str) -> None:
        self._forms = _forms(text) if text else []

    def is_in(self, value: Json) -> bool:
        """Whether a record's value is the placeholder, and not merely holds it."""
        return value in self._forms


def _forms(text: str) -> list[Json]:
    """Return it as a text, as bytes, and in arrays of texts, bytes, numbers and UUIDs."""
    octets = text.encode()
    in_base64 = base64.b64encode(octets).decode()
    java_uuid = uuid.UUID(bytes=hashlib.md5(octets, usedforsecurity=False).digest(), version=3)
    return [text, in_base64, [text], [in_base64], [*octets], [str(java_uuid)], {text: text}]
