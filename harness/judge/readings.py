"""What was read back: rows by key, file by file, each looked at when somebody first asks for it.

A row that is as it was known to be is taken to be that very value, which most are: to save memory, and time
when both are compared. The lines of such rows in a file are not even decoded, since the same row is written
in the same bytes; a line that differs from what was expected is decoded, and may be the same row yet.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from harness.judge.states import RowKey
from harness.judge.timeline import Timeline
from harness.model.history import ReadBack, StoredRow
from harness.model.schema import Schema
from harness.model.values import Row, key_of

Keys = Mapping[str, tuple[str, ...]]
"""The key columns of each table that belongs to tenants."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of one reading by key; ``repeated`` keys came twice, ``foreign`` rows are of no owned table."""

    rows: dict[RowKey, Row]
    repeated: tuple[RowKey, ...] = ()
    foreign: tuple[StoredRow, ...] = ()


class Lines(msgspec.Struct, frozen=True):
    """A file of rows as it stands."""

    body: bytes

    def decoded(self) -> list[StoredRow]:
        """Return the rows; raises msgspec.DecodeError where one is torn."""
        return _decoder.decode_lines(self.body)


Restored = Mapping[str, Sequence[StoredRow] | Lines]
"""Rows read back, by the file of the run folder that holds them."""

_decoder = msgspec.json.Decoder(StoredRow)
_encoder = msgspec.json.Encoder()
_HEAD = b'{"restore":'

_Pair = tuple[RowKey, Row]


class _Told(msgspec.Struct, gc=False):
    """What a line tells of a row, after its restore."""

    table: str
    row: Row


class Readings:
    """What was found after each restore (0: at the end) of each tenant."""

    def __init__(self, timeline: Timeline, schema: Schema, restored: Restored) -> None:
        self._restored, self._keys = restored, keys_of(schema)
        self._files = {(entry.restore, entry.tenant): entry.file for entry in timeline.of(ReadBack)}
        self._found: dict[str, dict[int, Found] | None] = {}

    def of(self, restore: int, tenant: str, known: Mapping[RowKey, Row]) -> Found | None:
        """Return what was found, None when it was not read or its file is not there.

        ``known``: rows as they probably are.
        """
        file = self._files.get((restore, tenant))
        if file is None:
            return None
        if file not in self._found:
            self._found[file] = found(self._restored, file, self._keys, known)
        there = self._found[file]
        return None if there is None else there.get(restore, Found(rows={}))

    def rows_of(self, restore: int, tenant: str, known: Mapping[RowKey, Row]) -> dict[RowKey, Row] | None:
        """Return the rows found, as ``of`` does."""
        there = self.of(restore, tenant, known)
        return None if there is None else there.rows


def keys_of(schema: Schema) -> Keys:
    """Return the key columns of each table that belongs to tenants."""
    return {table.name: table.key for table in schema.owned}


def rows_in(restored: Restored, file: str) -> Sequence[StoredRow] | None:
    """Return the rows that a file holds, None when it is missing or torn."""
    rows = restored.get(file)
    try:
        return rows.decoded() if isinstance(rows, Lines) else rows
    except msgspec.DecodeError:
        return None


def found(
    restored: Restored, file: str, keys: Keys, known: Mapping[RowKey, Row]
) -> dict[int, Found] | None:
    """Return what was found in each reading of one file, by the restore it belongs to.

    None when the file is missing or torn.
    """
    rows = restored.get(file)
    try:
        readings = _matched(rows.body, known) if known and isinstance(rows, Lines) else None
    except msgspec.DecodeError:
        return None
    if readings is None:
        readings = defaultdict(list)
        stored = rows_in(restored, file)
        if stored is None:
            return None
        for one in stored:
            readings[one.restore].append(one)
    return {restore: _found(ones, keys, known) for restore, ones in readings.items()}


def _matched(body: bytes, known: Mapping[RowKey, Row]) -> dict[int, list[_Pair | StoredRow]] | None:
    """Return what the lines of a file tell, by restore: known rows, and others decoded.

    None when it is not written as we write it.
    """
    expected = dict(zip(_lines_of(known), known.items(), strict=True))
    told: dict[bytes, list[bytes]] = defaultdict(list)
    for line in body.split(b"\n"):
        head, _, rest = line.partition(b",")
        told[head].append(rest)
    told.pop(b"", None)
    if not all(head.startswith(_HEAD) and head[len(_HEAD) :].isdigit() for head in told):
        return None
    readings: dict[int, list[_Pair | StoredRow]] = {}
    for head, rests in told.items():
        ones: list[_Pair | StoredRow | None] = list(map(expected.get, rests))
        if None in ones:
            lines = [head + b"," + rest for rest, one in zip(rests, ones, strict=True) if one is None]
            others = iter(_decoder.decode_lines(b"\n".join(lines)))
            ones = [next(others) if one is None else one for one in ones]
        readings[int(head[len(_HEAD) :])] = ones  # type: ignore[assignment]  # none is None any more
    return readings


def _lines_of(known: Mapping[RowKey, Row]) -> list[bytes]:
    """Return the lines that tell of these rows, each without its restore."""
    lines = _encoder.encode_lines([_Told(row[0], image) for row, image in known.items()])
    return lines[1:].replace(b"\n{", b"\n").split(b"\n")[:-1]


def _found(ones: list[_Pair | StoredRow], keys: Keys, known: Mapping[RowKey, Row]) -> Found:
    foreign: list[StoredRow] = []
    if StoredRow in set(map(type, ones)):
        foreign = [one for one in ones if isinstance(one, StoredRow) and one.table not in keys]
        ones = [
            _pair(one, keys, known) for one in ones if not isinstance(one, StoredRow) or one.table in keys
        ]
    pairs: list[_Pair] = ones  # type: ignore[assignment]  # no stored row is left
    rows = dict(pairs)
    repeated = () if len(rows) == len(pairs) else tuple(_repeated(row for row, _ in pairs))
    return Found(rows=rows, repeated=repeated, foreign=tuple(foreign))


def _pair(one: _Pair | StoredRow, keys: Keys, known: Mapping[RowKey, Row]) -> _Pair:
    if not isinstance(one, StoredRow):
        return one
    row = (one.table, key_of(one.row, keys[one.table]))
    image = known.get(row, one.row)
    return row, (image if image == one.row else one.row)


def _repeated(rows: Iterable[RowKey]) -> Iterator[RowKey]:
    """Yield each key that came again, as often as it did."""
    seen: set[RowKey] = set()
    for row in rows:
        if row in seen:
            yield row
        seen.add(row)
