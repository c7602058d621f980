"""Handles of plans, bound to the rows that came back: per tenant, with the shared rows behind.

Only what was acknowledged is bound. A transaction that runs works on a ``Draft``, which sees what the
transaction itself made; an acknowledged draft is adopted whole.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping

import msgspec

from harness.model.filler import expand_filler
from harness.model.operations import Filler, Ref, Value, Values
from harness.model.schema import Table
from harness.model.values import INLINE_CHARS_MAX, Key, RawRow, key_of


class Unbound(Exception):
    """A handle that no row is bound to; the message says which."""


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """A row that a handle stands for: its table, key and short cells (long ones are never referred to)."""

    table: str
    key: Key
    cells: RawRow


class Bindings:
    """All bound handles of one tenant (or of the shared rows)."""

    def __init__(self, shared: Bindings | None = None) -> None:
        self._shared = shared
        self._bound: dict[str, Bound] = {}

    def get(self, handle: str) -> Bound | None:
        """Return what ``handle`` is bound to, here or among the shared rows."""
        bound = self._bound.get(handle)
        return bound if bound or self._shared is None else self._shared.get(handle)

    def draft(self) -> Draft:
        """Return a draft for one transaction."""
        return Draft(self)

    def adopt(self, changes: Mapping[str, Bound | None]) -> None:
        """Take over what an acknowledged transaction bound and unbound."""
        for handle, bound in changes.items():
            if bound is None:
                self._bound.pop(handle, None)
            else:
                self._bound[handle] = bound

    def keep_only(self, rows: Mapping[str, Mapping[Key, RawRow]]) -> None:
        """Bind handles anew to rows (by table and key) that a restore left; unbind all others."""
        kept = {}
        for handle, bound in self._bound.items():
            row = rows.get(bound.table, {}).get(bound.key)
            if row is not None:
                kept[handle] = Bound(table=bound.table, key=bound.key, cells=_short(row))
        self._bound = kept

    def rows(self, tables: Container[str]) -> Iterator[tuple[str, Key]]:
        """Iterate over table and key of all bound rows of these tables."""
        return ((b.table, b.key) for b in self._bound.values() if b.table in tables)


class Draft:
    """Bindings as one running transaction sees them; ``changes`` are what it made of them."""

    def __init__(self, bindings: Bindings) -> None:
        self._bindings = bindings
        self.changes: dict[str, Bound | None] = {}

    def row(self, handle: str) -> Bound:
        """Return the row bound to ``handle``; raises Unbound."""
        bound = self.changes[handle] if handle in self.changes else self._bindings.get(handle)
        if bound is None:
            raise Unbound(f"{handle} names no row: its maker was refused, or the row is gone")
        return bound

    def bind(self, handle: str, table: Table, row: RawRow) -> None:
        """Bind ``handle`` to a row that came back."""
        self.changes[handle] = Bound(table=table.name, key=key_of(row, table.key), cells=_short(row))

    def unbind(self, handle: str) -> None:
        """Forget ``handle``: its row is deleted."""
        self.changes[handle] = None

    def resolve(self, values: Values) -> dict[str, str | None]:
        """Return ``values`` as texts; raises Unbound."""
        return {column: self._text(value) for column, value in values.items()}

    def _text(self, value: Value) -> str | None:
        match value:
            case Ref(handle=handle, column=column):
                cells = self.row(handle).cells
                if column not in cells:
                    raise Unbound(f"{handle} has no short value in {column}")
                return cells[column]
            case Filler():
                return expand_filler(value)
            case _:
                return value


def _short(row: RawRow) -> RawRow:
    return {c: text for c, text in row.items() if text is None or len(text) <= INLINE_CHARS_MAX}
