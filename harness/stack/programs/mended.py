"""Debezium's ``WalPositionLocator``, mended: it looks for no place within a transaction, in a jar of ours.

As published, a connector that restarts amid a transaction looks for the event after the last one it stored,
and filters all before it. It may look in vain: a row of an interleaved transaction can lie at the very
position where another one ended, and the DELETE and the INSERT that a changed key is told as lie at one
(``docs/findings.md``). Here ``searchingEnabled`` says no, as it does for a connector without offsets:

    aload_0; getfield lastEventStoredLsn; ifnull →; iconst_1; goto →; iconst_0; ireturn      as published
                                                    iconst_0                                mended

So each restart begins with the whole of the first transaction that was not committed by the stored
position, as Postgres sends it. What is sent twice by it is folded by the archiver. The place is looked for
by names in the constant pool, must be the only one, and what comes out is compared with our SHA-256.
``add_jar`` puts the class into a jar beside the published ones; before them on the class path it is the one
that is taken.
"""

from __future__ import annotations

import hashlib
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

from harness.model.errors import MissingProgram
from harness.stack.programs.jars import write_jar

WORDS = "WalPositionLocator mended"
JAR = "restoreproof-wal-position-locator.jar"
CLASS = "io/debezium/connector/postgresql/connection/WalPositionLocator.class"
SHA256 = "7fb20e9892b7c3321928163eb0f14fc7afe6e0e1c7ec49f830972d19457f8327"
"""Of the mended class of the pinned version."""

CURE = "mend harness/stack/programs/mended.py for the pinned version of Debezium, or pin the one it knows"

_UTF8, _LONG, _DOUBLE, _HANDLE = 1, 5, 6, 15
_PAIRS = frozenset({9, 10, 11, 12, 17, 18})
"""Tags of the constant pool, as the JVM's specification numbers them; a pair is two indices."""
_SIZES = {3: 5, 4: 5, _LONG: 9, _DOUBLE: 9, 7: 3, 8: 3, _HANDLE: 4, 16: 3, 19: 3, 20: 3} | dict.fromkeys(
    _PAIRS, 5
)

_ALOAD_0, _GETFIELD, _IFNULL, _GOTO, _IRETURN = 0x2A, 0xB4, 0xC6, 0xA7, 0xAC
_ICONST_0, _ICONST_1 = 0x03, 0x04
_SHAPE = {
    0: _ALOAD_0, 1: _GETFIELD, 4: _IFNULL, 7: _ICONST_1, 8: _GOTO, 11: _ICONST_0, 12: _IRETURN,
}  # fmt: skip
"""Offset -> opcode of the instructions looked for; indices and the jumps' distances lie between."""
_NAMES = {2: "lastEventStoredLsn"}
"""Offset of an index -> the name of the field it must refer to."""
_ANSWER = 7


def add_jar(tree: Path) -> None:
    """Put a jar with the mended class into ``tree``, beside the published ones; raises MissingProgram."""
    write_jar(tree / JAR, {CLASS: checked(mend(_published(tree)))})


def mend(published: bytes) -> bytes:
    """Return the class that searches for nothing; raises MissingProgram unless there is one such place."""
    places = list(_places(published))
    if len(places) != 1:
        raise MissingProgram(
            f"{CLASS} can't be mended: the answer to change is there {len(places)} times, not once",
            cure=CURE,
        )
    place = places[0] + _ANSWER
    return published[:place] + bytes((_ICONST_0,)) + published[place + 1 :]


def checked(mended: bytes) -> bytes:
    """Return the class if it is the one that was pinned; raises MissingProgram."""
    found = hashlib.sha256(mended).hexdigest()
    if found != SHA256:
        raise MissingProgram(
            f"the mended {CLASS} has SHA-256 {found}, the pinned one has {SHA256}", cure=CURE
        )
    return mended


def _published(tree: Path) -> bytes:
    for jar in sorted(tree.rglob("*.jar")):
        with zipfile.ZipFile(jar) as archive:
            if CLASS in archive.namelist():
                return archive.read(CLASS)
    raise MissingProgram(f"no jar in {tree} holds {CLASS}", cure=CURE)


def _places(data: bytes) -> Iterator[int]:
    """Yield where the instructions of ``_SHAPE`` begin that refer to ``_NAMES``."""
    names = _referred_names(data)
    last = max(*_SHAPE, *(offset + 1 for offset in _NAMES))
    for place in range(len(data) - last):
        if all(data[place + offset] == opcode for offset, opcode in _SHAPE.items()) and all(
            names.get(_u2(data, place + offset)) == name for offset, name in _NAMES.items()
        ):
            yield place


def _referred_names(data: bytes) -> dict[int, str]:
    """Return for each field and method that the constant pool refers to, by its index, the name."""
    texts: dict[int, str] = {}
    pairs: dict[int, tuple[int, int]] = {}
    at, index = 10, 1
    while index < _u2(data, 8):
        tag = data[at]
        if tag == _UTF8:
            size = 3 + _u2(data, at + 1)
            texts[index] = data[at + 3 : at + size].decode("utf-8", "replace")
        elif tag in _SIZES:
            size = _SIZES[tag]
            if tag in _PAIRS:
                pairs[index] = _u2(data, at + 1), _u2(data, at + 3)
        else:
            raise MissingProgram(f"{CLASS} has a constant of kind {tag}, which no JVM knows", cure=CURE)
        at += size
        index += 2 if tag in (_LONG, _DOUBLE) else 1
    found = {index: pairs.get(second) for index, (_, second) in pairs.items()}
    return {index: texts[pair[0]] for index, pair in found.items() if pair is not None and pair[0] in texts}


def _u2(data: bytes, at: int) -> int:
    return int(struct.unpack_from(">H", data, at)[0])
