"""Through which rows others find their tenant, and what follows when such a row changes hands.

Of each such row the index holds its *owner*: the tenant, where the row's own column says it, or else the
parent that knows. So when a parent's tenant changes, all that hangs below it has moved at once, in the
index as in the database, where no event tells of it either. Whoever had and has the row is told so by a
``Rehome`` entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from harness.model.schema import ByColumn, Schema, Table
from harness.model.values import RawRow
from harness.subject.reference.format import Part, Rehome, old_row
from harness.subject.reference.ports import OwnerIndex

Columns = tuple[str, ...]
Cells = tuple[str, ...]
Place = tuple[str, Columns, Cells]
"""A table, columns of it, and cells in them: the row that children refer to so."""

_TENANT, _PARENT = "=", "^"
"""What an owner begins with: a tenant's id follows, or the parent's place as JSON."""


class Homes:
    """Remembers rows that have descendants, and finds a place's tenant. ``index`` keeps what it knows."""

    def __init__(self, *, schema: Schema, index: OwnerIndex) -> None:
        self._schema = schema
        self._index = index
        self._tables = {table.name: table for table in schema.tables}
        self._parent_columns = parent_columns(schema)

    def tenant(self, place: Place) -> str | None:
        """Return whose the row at ``place`` is, None when it, or a parent of it, was never seen."""
        while (owner := self._index.get(*place)) is not None:
            if owner.startswith(_TENANT):
                return owner[1:]
            place = msgspec.json.decode(owner[1:], type=Place)
        return None

    def learn(self, images: Iterable[tuple[str, RawRow]], *, anew: bool) -> tuple[Rehome, ...]:
        """Remember one transaction's row images, in order; return which rows others' rows moved with.

        A row that is new had no tenant that could change; ``anew``: all of them are (a snapshot).
        """
        found = [(place, owner) for table, row in images for place, owner in self._said_by(table, row)]
        before = (
            {} if anew else {place: (self._index.get(*place), self.tenant(place)) for place, _ in found}
        )
        for place, owner in found:
            self._index.put(*place, owner)
        return tuple(self._changed(before))

    def remember(self, parts: Iterable[Part]) -> None:
        """Remember what archived parts say, whoever's they are, in commit order."""
        changes = [(part.position, change) for part in parts for change in part.changes]
        changes.sort(key=lambda found: (found[0], found[1].order, found[1].op != "delete"))
        for _, change in changes:
            for row in (old_row(change), change.after):
                for place, owner in self._said_by(change.table, row or {}):
                    self._index.put(*place, owner)

    def _changed(self, before: dict[Place, tuple[str | None, str | None]]) -> Iterator[Rehome]:
        """Yield the topmost ones: what hangs below a row that went, and stayed there, needs no word."""
        for place, (owner, origin) in before.items():
            to = self.tenant(place)
            if self._index.get(*place) != owner and None not in (origin, to) and origin != to:
                table, columns, cells = place
                parent: RawRow = dict(zip(columns, cells, strict=True))
                yield Rehome(table=table, parent=parent, origin=origin or "", to=to or "")

    def _said_by(self, name: str, row: RawRow) -> Iterator[tuple[Place, str]]:
        """Yield the places of a row by which others refer to it, each with its owner."""
        table = self._tables.get(name)
        if table is None or not row:
            return  # of an older schema
        for columns in self._parent_columns.get(name, ()):
            cells, owner = cells_of(row, columns), self._owner(table, row)
            if cells is not None and owner is not None:
                yield (name, columns, cells), owner

    def _owner(self, table: Table, row: RawRow) -> str | None:
        if isinstance(table.tenancy, ByColumn):
            tenant = row.get(table.tenancy.column)
            return None if tenant is None else _TENANT + tenant
        step = self._schema.path(table)[0]
        cells = cells_of(row, step.columns)
        if cells is None:
            return None
        return _PARENT + msgspec.json.encode((step.parent, step.parent_columns, cells)).decode()


def parent_columns(schema: Schema) -> dict[str, list[Columns]]:
    """Return, per table, the sets of its columns by which children find their tenant."""
    found: dict[str, list[Columns]] = {}
    for table in schema.owned:
        for step in schema.path(table)[:1]:
            known = found.setdefault(step.parent, [])
            if step.parent_columns not in known:
                known.append(step.parent_columns)
    return found


def cells_of(row: RawRow, columns: Columns) -> Cells | None:
    """Return the cells of ``columns``, None when one of them is NULL or not there."""
    cells = tuple(row.get(column) for column in columns)
    return None if None in cells else cells  # type: ignore[return-value]  # no cell is None


Row = tuple[str, tuple[str | None, ...]]
"""A row by table and key."""


class Tree:
    """Which rows hang below which, by their keys alone."""

    def __init__(self, schema: Schema) -> None:
        self._tables = {table.name: table for table in schema.owned}
        self._steps = {t.name: schema.path(t)[0] for t in schema.owned if schema.path(t)}
        self._parent_columns = parent_columns(schema)
        self._hung: dict[Place, set[Row]] = {}
        self._known: dict[Row, tuple[Place | None, list[Place]]] = {}

    def put(self, row: Row, image: RawRow) -> None:
        """Note a row, new or changed."""
        self.forget(row)
        name, above = row[0], None
        if (step := self._steps.get(name)) and (cells := cells_of(image, step.columns)):
            above = (step.parent, step.parent_columns, cells)
            self._hung.setdefault(above, set()).add(row)
        own = [(c, cells_of(image, c)) for c in self._parent_columns.get(name, ())]
        self._known[row] = (above, [(name, c, cells) for c, cells in own if cells is not None])

    def forget(self, row: Row) -> None:
        """Forget a row that is gone."""
        above, _ = self._known.pop(row, (None, []))
        if above is not None:
            self._hung[above].discard(row)

    def below(self, place: Place) -> Iterator[Row]:
        """Yield all rows that hang below this one, however deep."""
        for row in tuple(self._hung.get(place, ())):
            yield row
            for own in self._known[row][1]:
                yield from self.below(own)
