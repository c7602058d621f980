"""Cells, keys and rows: what a database holds, as text, the way Postgres prints it.

A *cell* is the text that the type's output function gives under fixed settings (DateStyle ISO,
IntervalStyle postgres, TimeZone UTC, bytea hex), or null. Text compares exactly and needs no type. In
journals a text of more than ``INLINE_CHARS_MAX`` characters is replaced by its digest, so that a history
of megabyte rows stays readable; equality is then equality of digests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import NewType

import msgspec

from harness.model.errors import BadInput

INLINE_CHARS_MAX = 512


class Digest(msgspec.Struct, frozen=True, kw_only=True):
    """A long text: SHA-256 of its UTF-8 bytes (hex) and its length in characters."""

    sha256: str
    chars: int


Cell = str | Digest | None
Key = tuple[str, ...]
"""The primary key's cells, in the table's key order. A key cell is never null nor long."""

RowKey = NewType("RowKey", str)
"""A row's table and key in one text, written as a JSON pointer is: ``app.order/327``."""

Row = dict[str, Cell]
"""Column name to cell, all columns of the table, generated ones included."""

Image = msgspec.Raw
"""A row as JSON, as journals hold it, decoded when somebody asks for a cell. The empty one is no row."""

NO_IMAGE = Image()

RawRow = dict[str, str | None]
"""A row with its texts in full, as it goes to and comes from a database."""


def to_cell(text: str | None) -> Cell:
    """Return ``text`` as it stands in a journal: itself, or its digest when it is long."""
    if text is None or len(text) <= INLINE_CHARS_MAX:
        return text
    return Digest(sha256=hashlib.sha256(text.encode()).hexdigest(), chars=len(text))


def to_row(raw: Mapping[str, str | None]) -> Row:
    """Return the journal form of a row read from a database."""
    return {column: to_cell(text) for column, text in raw.items()}


def to_image(raw: Mapping[str, str | None]) -> Image:
    """Return the image of a row read from a database."""
    return image_of(to_row(raw))


def image_of(row: Row) -> Image:
    """Return the image of a row in its journal form."""
    return Image(_encoder.encode(row))


def row_of(image: Image) -> Row:
    """Return the row that an image is of; raises BadInput when it is of none."""
    try:
        return _decoder.decode(image)
    except msgspec.DecodeError as error:
        raise _no_row(image, error) from None


def row_if_any(image: Image | None) -> Row | None:
    """Return the row that an image is of, None where there is no image; raises BadInput."""
    return None if image is None else row_of(image)


def rows_of(images: Iterable[Image]) -> list[Row]:
    """Return the rows that images are of, in order, which is faster than one by one; raises BadInput."""
    lines = b"\n".join(images)
    try:
        return _decoder.decode_lines(lines)
    except msgspec.DecodeError as error:
        raise _no_row(Image(lines), error) from None


def same(one: Image | None, other: Image | None) -> bool:
    """Whether two images are of the same cells: by their bytes, or else by what they say."""
    if one == other:
        return True
    return row_of(one) == row_of(other) if one and other else False


def _no_row(image: Image, error: msgspec.DecodeError) -> BadInput:
    begin = bytes(image)[:80].decode(errors="replace")
    return BadInput(f"this is no row: {begin}: {error}", cure="the run folder was damaged; run again")


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Row)


def key_of(row: Mapping[str, Cell], columns: tuple[str, ...]) -> Key:
    """Return the key of a row; raises ValueError when a key cell is null or long."""
    if len(columns) == 1 and isinstance(only := row[columns[0]], str):
        return (only,)  # what nearly every key is
    key: list[str] = []
    for column in columns:
        cell = row[column]
        if not isinstance(cell, str):
            raise ValueError(f"key {columns} holds a null or long cell: {cell}")
        key.append(cell)
    return tuple(key)


def row_key(table: str, key: Key) -> RowKey:
    """Return what stands for a row: one text, since it is looked up and compared all the time."""
    parts = (table, *key)
    text = "/".join(parts)
    if "~" in text or text.count("/") > len(key):
        text = "/".join(part.replace("~", "~0").replace("/", "~1") for part in parts)
    return RowKey(text)


def table_and_key(row: RowKey) -> tuple[str, Key]:
    """Return what ``row_key`` put together."""
    parts = row.split("/")
    if "~" in row:
        parts = [part.replace("~1", "/").replace("~0", "~") for part in parts]
    return parts[0], tuple(parts[1:])


def table_of(row: RowKey) -> str:
    """Return the name of a row's table."""
    return table_and_key(row)[0]


def keys_begin(tables: Iterable[str]) -> tuple[str, ...]:
    """Return how the row keys of these tables begin, as ``str.startswith`` takes it."""
    return tuple(row_key(table, ("",)) for table in tables)
