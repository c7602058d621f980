"""What was read back: rows by key, reading by reading, each looked at when somebody first asks for it.

A row that is as it was known to be, byte for byte, is taken to be that very value, which most are: to save
memory, and time when both are compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import compress, groupby
from operator import attrgetter, ne

import msgspec

from harness.judge.timeline import Begin, Timeline
from harness.model.history import ReadBack, StoredRow
from harness.model.schema import Schema
from harness.model.values import Image, RowKey, keys_begin

Restored = Mapping[str, Sequence[StoredRow]]
"""Rows read back, by the file of the run folder that holds them, if it is whole."""

NOTHING_KNOWN: Mapping[RowKey, Image] = {}


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of one reading by key; ``repeated`` keys came twice, ``foreign`` rows are of no owned table."""

    rows: Mapping[RowKey, Image]
    repeated: tuple[RowKey, ...] = ()
    foreign: tuple[StoredRow, ...] = ()


class Readings:
    """What was found after each restore (0: at the end) of each tenant."""

    def __init__(self, timeline: Timeline, schema: Schema, restored: Restored) -> None:
        self._restored, self._owned = restored, owned_keys(schema)
        self._files = {(entry.restore, entry.tenant): entry.file for entry in timeline.of(ReadBack)}
        self._stored: dict[str, dict[int, list[StoredRow]] | None] = {}
        self._found: dict[tuple[str, int], Found] = {}

    def of(self, restore: int, tenant: str, known: Mapping[RowKey, Image] = NOTHING_KNOWN) -> Found | None:
        """Return what was found, None when it was not read or its file is not there.

        ``known``: rows as they probably are.
        """
        file = self._files.get((restore, tenant))
        if file is None:
            return None
        if (file, restore) not in self._found:
            if file not in self._stored:
                self._stored[file] = _by_restore(self._restored.get(file))
            stored = self._stored[file]
            if stored is None:
                return None
            self._found[file, restore] = _found(stored.pop(restore, []), self._owned, known)
        return self._found[file, restore]

    def rows_of(
        self, restore: int, tenant: str, known: Mapping[RowKey, Image]
    ) -> Mapping[RowKey, Image] | None:
        """Return the rows found, as ``of`` does."""
        there = self.of(restore, tenant, known)
        return None if there is None else there.rows


def owned_keys(schema: Schema) -> Begin:
    """Return how the keys of rows begin that belong to tenants."""
    return keys_begin(table.name for table in schema.owned)


def found(restored: Restored, file: str, owned: Begin) -> dict[int, Found] | None:
    """Return what was found in each reading of one file, by the restore it belongs to.

    None when the file is missing or torn.
    """
    readings = _by_restore(restored.get(file))
    if readings is None:
        return None
    return {restore: _found(stored, owned, NOTHING_KNOWN) for restore, stored in readings.items()}


def _by_restore(stored: Iterable[StoredRow] | None) -> dict[int, list[StoredRow]] | None:
    if stored is None:
        return None
    readings: dict[int, list[StoredRow]] = defaultdict(list)
    for restore, rows in groupby(stored, key=attrgetter("restore")):
        readings[restore].extend(rows)
    return readings


def _found(stored: list[StoredRow], owned: Begin, known: Mapping[RowKey, Image]) -> Found:
    foreign: tuple[StoredRow, ...] = ()
    rows = {one.key: one.row for one in stored}
    if not all(row.startswith(owned) for row in rows.keys() - known.keys()):
        foreign = tuple(one for one in stored if not one.key.startswith(owned))
        stored = [one for one in stored if one.key.startswith(owned)]
        rows = {one.key: one.row for one in stored}
    repeated = () if len(rows) == len(stored) else tuple(_repeated(one.key for one in stored))
    return Found(rows=_with_known(rows, known), repeated=repeated, foreign=foreign)


def _with_known(rows: dict[RowKey, Image], known: Mapping[RowKey, Image]) -> Mapping[RowKey, Image]:
    """Return the same rows, with those among ``known`` that are as they are there."""
    others = list(compress(rows, map(ne, rows.values(), map(known.get, rows))))
    if len(others) == len(rows):
        return rows
    gone = known.keys() - rows.keys()
    if not others and not gone:
        return known
    there = {**known, **{row: rows[row] for row in others}}
    for row in gone:
        del there[row]
    return there


def _repeated(rows: Iterable[RowKey]) -> Iterator[RowKey]:
    """Yield each key that came again, as often as it did."""
    seen: set[RowKey] = set()
    for row in rows:
        if row in seen:
            yield row
        seen.add(row)
