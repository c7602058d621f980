"""The rows of one tenant that exist so far in a plan, by handle: whose they are and who points at them.

Writers of one tenant run side by side, so each row has an *owner*, the only writer that changes or
deletes it. Rows of the control plane are ``COMMON``: every writer may point at them, only writer 0 changes
them (never their keys; where two are to meet, as ``traps`` has it, the other one too), and nobody deletes
them. A transaction that is to be rolled back is made on a copy of the book.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from random import Random
from typing import NamedTuple

from harness.model.operations import Ref

COMMON = -1
Symbol = str | Ref | None
"""What stands in a column: a literal, the column of the row that first had it, or NULL."""


class LiveRow(NamedTuple):
    """One row; ``symbols`` of its linked and referenced columns, ``parents`` by link number.

    ``filled``: columns that hold a long text.
    """

    table: str
    handle: str
    owner: int
    symbols: dict[str, Symbol]
    parents: dict[int, str]
    filled: frozenset[str] = frozenset()


class Book:
    """Live rows by table and owner, and how many rows point at each."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, int], list[LiveRow]] = {}
        self._places: dict[str, int] = {}
        self._children: Counter[str] = Counter()

    def copy(self) -> Book:
        """Return a book that can be changed without changing this one."""
        other = Book()
        other._rows = {part: list(rows) for part, rows in self._rows.items()}
        other._places = dict(self._places)
        other._children = Counter(self._children)
        return other

    def add(self, row: LiveRow) -> None:
        """Enter a new row."""
        rows = self._rows.setdefault((row.table, row.owner), [])
        self._places[row.handle] = len(rows)
        rows.append(row)
        self._children.update(row.parents.values())

    def remove(self, row: LiveRow) -> None:
        """Strike a row out; the last of its list takes its place."""
        rows = self._rows[row.table, row.owner]
        place, last = self._places.pop(row.handle), rows.pop()
        if last.handle != row.handle:
            rows[place] = last
            self._places[last.handle] = place
        self._children.subtract(row.parents.values())

    def replace(self, old: LiveRow, new: LiveRow) -> None:
        """Put the changed row in the place of the old one."""
        self._rows[old.table, old.owner][self._places[old.handle]] = new
        self._children.subtract(old.parents.values())
        self._children.update(new.parents.values())

    def rows(self, table: str, owner: int) -> list[LiveRow]:
        """Return the live rows of ``table`` with that owner (not to be changed)."""
        return self._rows.get((table, owner), [])

    def usable(self, table: str, owner: int) -> list[LiveRow]:
        """Return the rows that this owner may point at: its own and the common ones."""
        return [*self.rows(table, owner), *self.rows(table, COMMON)]

    def mine(self, table: str, owner: int) -> list[LiveRow]:
        """Return the rows that this owner may change; the common ones are writer 0's."""
        return self.usable(table, owner) if owner == 0 else self.rows(table, owner)

    def pick(self, rng: Random, rows: list[LiveRow]) -> LiveRow | None:
        """Return any of ``rows``, or None."""
        return rows[int(rng.random() * len(rows))] if rows else None

    def pick_mine(self, rng: Random, tables: Iterable[str], owner: int) -> LiveRow | None:
        """Return any of the rows of these tables that this owner may change, or None."""
        owners = (0, COMMON) if owner == 0 else (owner,)
        parts = [rows for table in tables for o in owners if (rows := self._rows.get((table, o)))]
        place = int(rng.random() * sum(map(len, parts)))
        for rows in parts:
            if place < len(rows):
                return rows[place]
            place -= len(rows)
        return None

    def is_childless(self, row: LiveRow) -> bool:
        """Whether no live row points at this one."""
        return self._children[row.handle] <= 0

    def __iter__(self) -> Iterator[LiveRow]:
        for rows in self._rows.values():
            yield from rows
