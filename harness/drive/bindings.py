"""A tenant's rows as its application knows them: handles of the plan, bound to the rows that came back.

Only what was acknowledged counts. A transaction that runs works on a ``Draft``, which sees what the
transaction itself did; an acknowledged draft is adopted whole. Rows are known beyond handles: a restore can
bring back one whose handle is long gone, and a plan that does not know of it must not delete it by cascade.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from harness.model.filler import expand_filler
from harness.model.operations import Filler, Ref, Value, Values
from harness.model.schema import ForeignKey, Schema, Table
from harness.model.values import INLINE_CHARS_MAX, Key, RawRow, key_of

RowName = tuple[str, Key]
"""Table and key of a row."""

Dependents = Mapping[str, Sequence[tuple[str, ForeignKey]]]
"""For each table the tables, with their keys, whose rows go or change when a row of it is deleted."""


class Unbound(Exception):
    """An operation that can't be tried: the message says which handle names no row, or too much."""


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """A row that a handle stands for: its table, key and short cells (long ones are never referred to)."""

    table: str
    key: Key
    cells: RawRow


def dependents_of(schema: Schema) -> Dependents:
    """Return who depends on whom by foreign keys that cascade or set null."""
    found: dict[str, list[tuple[str, ForeignKey]]] = {}
    for table in schema.tables:
        for key in table.foreign_keys:
            if key.on_delete != "no action":
                found.setdefault(key.parent, []).append((table.name, key))
    return found


class Bindings:
    """All known rows of one tenant (or the shared rows), and the handles bound to them."""

    def __init__(self, shared: Bindings | None = None) -> None:
        self._shared = shared
        self._handles: dict[str, RowName] = {}
        self._rows: dict[str, dict[Key, RawRow]] = {}

    def get(self, handle: str) -> Bound | None:
        """Return what ``handle`` is bound to, here or among the shared rows."""
        if handle not in self._handles:
            return self._shared.get(handle) if self._shared else None
        table, key = self._handles[handle]
        cells = self._rows[table].get(key)
        return None if cells is None else Bound(table=table, key=key, cells=cells)

    def adopt(self, draft: Draft) -> None:
        """Take over what an acknowledged transaction did."""
        for handle, old, new in draft.steps:
            if old is not None:
                self._rows[old.table].pop(old.key, None)
                self._handles.pop(handle, None)
            if new is not None:
                self._rows.setdefault(new.table, {})[new.key] = new.cells
                self._handles[handle] = (new.table, new.key)

    def now_are(self, rows: Mapping[str, Mapping[Key, RawRow]]) -> None:
        """Know exactly these rows (by table and key), which a restore left; unbind all others."""
        self._rows = {
            table: {key: _short(row) for key, row in found.items()} for table, found in rows.items()
        }
        self._handles = {
            h: (t, key) for h, (t, key) in self._handles.items() if key in self._rows.get(t, ())
        }

    def names(self, tables: Iterable[str]) -> Iterator[RowName]:
        """Iterate over table and key of all known rows of these tables."""
        return ((table, key) for table in tables for key in self._rows.get(table, ()))

    def rows(self, table: str) -> Mapping[Key, RawRow]:
        """Return the known rows of ``table`` by key."""
        return self._rows.get(table, {})


class Draft:
    """Bindings as one running transaction sees them; ``steps`` hold handle, row before and row after."""

    def __init__(self, bindings: Bindings) -> None:
        self._bindings = bindings
        self._changed: dict[str, Bound | None] = {}
        self.steps: list[tuple[str, Bound | None, Bound | None]] = []

    def row(self, handle: str) -> Bound:
        """Return the row bound to ``handle``; raises Unbound."""
        bound = self._changed[handle] if handle in self._changed else self._bindings.get(handle)
        if bound is None:
            raise Unbound(f"{handle} names no row: its maker was refused, or the row is gone")
        return bound

    def made(self, handle: str, table: Table, row: RawRow) -> None:
        """Bind ``handle`` to a new row that came back."""
        self._step(handle, None, _bound(table, row))

    def became(self, handle: str, table: Table, row: RawRow) -> None:
        """Bind ``handle`` to its row's new image."""
        self._step(handle, self.row(handle), _bound(table, row))

    def gone(self, handle: str) -> None:
        """Forget ``handle``: its row is deleted, or was not there."""
        self._step(handle, self.row(handle), None)

    def demand_childless(self, handle: str, dependents: Dependents) -> None:
        """Raise Unbound when deleting the row of ``handle`` would silently take or change other rows.

        Plans delete rows that have no children. Where things went differently, by a refusal or a restore,
        children may be there, and what a cascade does to them no writer gets to see.
        """
        parent = self.row(handle)
        for table, key in dependents.get(parent.table, ()):
            wanted = [parent.cells.get(column) for column in key.parent_columns]
            for cells in self._rows(table):
                if None not in wanted and [cells.get(column) for column in key.columns] == wanted:
                    raise Unbound(f"{handle} has rows in {table} that its plan does not know of")

    def resolve(self, values: Values) -> dict[str, str | None]:
        """Return ``values`` as texts; raises Unbound."""
        return {column: self._text(value) for column, value in values.items()}

    def _step(self, handle: str, old: Bound | None, new: Bound | None) -> None:
        self._changed[handle] = new
        self.steps.append((handle, old, new))

    def _rows(self, table: str) -> Iterator[RawRow]:
        """Iterate over the cells of all rows of ``table`` that this transaction knows to be there."""
        replaced = {old.key for _, old, _ in self.steps if old is not None and old.table == table}
        for key, cells in self._bindings.rows(table).items():
            if key not in replaced:
                yield cells
        for bound in self._changed.values():
            if bound is not None and bound.table == table:
                yield bound.cells

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


def _bound(table: Table, row: RawRow) -> Bound:
    return Bound(table=table.name, key=key_of(row, table.key), cells=_short(row))


def _short(row: RawRow) -> RawRow:
    return {c: text for c, text in row.items() if text is None or len(text) <= INLINE_CHARS_MAX}
