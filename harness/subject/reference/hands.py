"""Rows that changed hands: one tenant's rows at a cut, where some came from others, or went to them. Pure.

Descendants of a moved parent have no event of their own: their images lie in the blocks of whoever had them
before. So the parts of all tenants concerned are folded together, each row with its holder, and a
``Rehome`` entry, at the end of its transaction, passes on all that hangs below the parent. Rows that
transactions gave the tenant by mistake (``Cut.without``) stay with whom they came from, whatever was done
to them since, and so does all that was hung below them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from harness.model.history import Cut
from harness.model.position import Position
from harness.model.schema import ByPath, ForeignKey, Schema, Table
from harness.model.values import RawRow
from harness.subject.reference.fold import XID_MASK, Keeps
from harness.subject.reference.format import Global, Part, Rehome, RowChange, old_row
from harness.subject.reference.homes import cells_of
from harness.subject.reference.ports import Taken

Key = tuple[str | None, ...]


class Held(NamedTuple):
    """A row and who holds it; ``back``: it was given by mistake, and is not the one's whose it seems."""

    tenant: str
    row: RawRow
    back: bool = False


def undone(cut: Cut, part: Part) -> bool:
    """Whether what this transaction gave the tenant is to be left out."""
    return any(x.epoch == part.epoch and x.xid & XID_MASK == part.xid for x in cut.without)


def origins(parts: Iterable[Part], tenant: str, cut: Cut, keeps: Keeps) -> set[str]:
    """Return from whom the tenant has rows by no event of their own, as far as these parts of it say."""
    return {
        home.origin
        for part in parts
        if keeps(part.position) and not undone(cut, part)
        for home in part.rehomed
        if home.to == tenant
    }


def changed_hands(parts: Iterable[Part], cut: Cut) -> bool:
    """Whether a tenant's own parts, read alone, don't give its rows."""
    return bool(cut.without) or any(part.rehomed for part in parts)


def fold_together(
    parts: Mapping[str, Sequence[Part]],
    globals_: Sequence[Global],
    *,
    schema: Schema,
    cut: Cut,
    keeps: Keeps,
) -> dict[str, dict[str, list[RawRow]]]:
    """Return, per tenant and table, the rows at the cut; ``parts``: of all tenants concerned."""
    folding = _Folding(schema)
    for position, steps in _in_order(parts, globals_):
        if keeps(position):
            for tenant, part, step in steps:
                folding.apply(tenant, step, mistaken=part is not None and undone(cut, part))
    if cut.without:
        folding.give_back_below()
    return {tenant: folding.rows_of(tenant) for tenant in parts}


def receivers(parts: Iterable[Part], tenant: str) -> set[str]:
    """Return who got rows of the tenant, as these parts of it say."""
    rehomed = {home.to for part in parts for home in part.rehomed if home.origin == tenant}
    changes = (change for part in parts for change in part.changes)
    return rehomed | {c.moved for c in changes if c.moved is not None and c.became is not None}


def taken_away(
    parts: Mapping[str, Sequence[Part]], tenant: str, keys: Mapping[str, tuple[str, ...]]
) -> tuple[Taken, ...]:
    """Return which rows of the tenant others have now, and by which cells.

    ``parts``, of the tenant and of all who got rows of it: those after the cut, and those that gave the
    tenant rows by mistake. What came to it by one of them is not its own: it may go where it came from.
    """
    trail = _Trail(tenant, keys)
    for _, steps in _in_order(parts, ()):
        for whose, _, step in steps:
            if isinstance(step, Passed):
                trail.pass_on(step)
            elif isinstance(step, RowChange) and step.table in keys:
                trail.change(whose, step)
    return trail.taken()


class _Trail:
    """Follows rows that went from ``tenant`` to others, by the cells by which they are found."""

    def __init__(self, tenant: str, keys: Mapping[str, tuple[str, ...]]) -> None:
        self._tenant, self._keys = tenant, keys
        self._gone: dict[tuple[str, tuple[str, ...]], dict[tuple[str, ...], None]] = {}
        self._came: set[tuple[str, tuple[str, ...], tuple[str, ...]]] = set()

    def change(self, whose: str, change: RowChange) -> None:
        """Note what a change of anybody's did to rows on the trail, or brought onto it."""
        before, key = old_row(change), self._keys[change.table]
        if whose != self._tenant:
            self._follow(change, before)
        elif change.moved is not None and change.after is not None:
            self._came.add((change.table, key, cells_of(change.after, key) or ()))
        elif change.became is not None and not self._is_lent(change.table, key, before):
            self._add(change.table, key, change.became)

    def pass_on(self, passed: Passed) -> None:
        """Note parents that went from the tenant, or came to it."""
        for cells in passed.cells:
            place = (passed.table, passed.columns, cells)
            if passed.to == self._tenant:
                self._came.add(place)
                self._gone.get(place[:2], {}).pop(cells, None)
            elif passed.origin == self._tenant and place not in self._came:
                self._gone.setdefault(place[:2], {})[cells] = None

    def taken(self) -> tuple[Taken, ...]:
        """Return what is on the trail at its end."""
        return tuple(
            Taken(table=table, columns=columns, cells=tuple(cells))
            for (table, columns), cells in self._gone.items()
            if cells
        )

    def _follow(self, change: RowChange, before: RawRow | None) -> None:
        for (table, columns), gone in self._gone.items():
            cells = cells_of(before, columns) if before is not None and table == change.table else None
            if cells is None or cells not in gone:
                continue
            now = change.became or change.after
            if change.moved != self._tenant and now is not None and set(columns) <= now.keys():
                del gone[cells]
                gone[cells_of(now, columns) or ()] = None
            elif change.became is None or change.moved == self._tenant:
                del gone[cells]

    def _is_lent(self, table: str, key: tuple[str, ...], before: RawRow | None) -> bool:
        return before is None or (table, key, cells_of(before, key)) in self._came

    def _add(self, table: str, columns: tuple[str, ...], row: RawRow) -> None:
        cells = cells_of(row, columns)
        if cells is not None:
            self._gone.setdefault((table, columns), {})[cells] = None


class Passed(NamedTuple):
    """What one transaction's ``Rehome`` entries say of one table, of the same two tenants."""

    table: str
    columns: tuple[str, ...]
    cells: set[tuple[str, ...]]
    origin: str
    to: str


Step = tuple[str, Part | None, RowChange | Passed | Global]


def _in_order(
    parts: Mapping[str, Sequence[Part]], globals_: Sequence[Global]
) -> Iterator[tuple[Position, list[Step]]]:
    """Yield all steps, transaction by transaction in commit order; a row goes before it comes."""
    by_position: dict[Position, list[tuple[tuple[float, bool], Step]]] = {}
    for tenant, of in parts.items():
        for part in of:
            steps = by_position.setdefault(part.position, [])
            steps += [((c.order, c.op != "delete"), (tenant, part, c)) for c in part.changes]
            steps += [((float("inf"), True), (tenant, part, one)) for one in _passed(part.rehomed)]
    for one in globals_:
        by_position.setdefault(one.position, []).append(((one.order, False), ("", None, one)))
    for position in sorted(by_position):
        found = sorted(by_position[position], key=lambda step: step[0])
        yield position, [step for _, step in found]


def _passed(rehomed: Iterable[Rehome]) -> Iterable[Passed]:
    found: dict[tuple[str, tuple[str, ...], str, str], Passed] = {}
    for home in rehomed:
        columns = tuple(home.parent)
        alike = (home.table, columns, home.origin, home.to)
        one = found.setdefault(alike, Passed(home.table, columns, set(), home.origin, home.to))
        one.cells.add(cells_of(home.parent, columns) or ())
    return found.values()


class _Folding:
    """All rows of the tenants concerned, by table and key, each with its holder."""

    def __init__(self, schema: Schema) -> None:
        self._tables = {table.name: table for table in schema.owned}
        self._below = _children(schema)
        self.state: dict[str, dict[Key, Held]] = {name: {} for name in self._tables}

    def apply(self, tenant: str, step: RowChange | Passed | Global, *, mistaken: bool) -> None:
        """Apply one step of ``tenant``'s; ``mistaken``: what it gives to somebody is not theirs."""
        match step:
            case Global(kind="snapshot"):
                for rows in self.state.values():
                    rows.clear()
            case Global(altered=altered) if altered is not None:
                rows = self.state.get(step.table, {})
                rows.update({key: Held(h.tenant, altered.row(h.row), h.back) for key, h in rows.items()})
            case Global(kind="schema"):
                pass
            case Global():
                self.state.get(step.table, {}).clear()
            case Passed():
                pass_on = self._keep_back if mistaken else self._pass_on
                pass_on(step)
            case RowChange() if step.table in self._tables:
                self._change(tenant, step, mistaken=mistaken)

    def _change(self, tenant: str, change: RowChange, *, mistaken: bool) -> None:
        table, rows = self._tables[change.table], self.state[change.table]
        before = old_row(change)
        was = rows.pop(_key(table, before), None) if before is not None else None
        if change.after is None:
            return
        if mistaken and change.moved is not None:
            held = Held(change.moved, change.after, back=True)
        elif was is not None and was.back:
            held = Held(was.tenant, change.after, back=True)
        else:
            held = Held(tenant, change.after)
        rows[_key(table, change.after)] = held

    def _pass_on(self, passed: Passed) -> None:
        """Give all that hangs below these parents, and is the origin's, to their new tenant."""
        places = [(passed.table, passed.columns, passed.cells)]
        while places:
            table, columns, cells = places.pop()
            for child, step in self._below.get(table, ()):
                if step.parent_columns == columns:
                    rows = self.state[child.name]
                    moved = [
                        key
                        for key, held in rows.items()
                        if held.tenant == passed.origin and cells_of(held.row, step.columns) in cells
                    ]
                    for key in moved:
                        rows[key] = Held(passed.to, rows[key].row)
                    places += _places(child, [rows[key].row for key in moved], self._below)

    def _keep_back(self, passed: Passed) -> None:
        """Leave parents that were given by mistake with whom they came from."""
        rows = self.state.get(passed.table, {})
        for key, held in list(rows.items()):
            if held.tenant == passed.to and cells_of(held.row, passed.columns) in passed.cells:
                rows[key] = Held(passed.origin, held.row, back=True)

    def give_back_below(self) -> None:
        """Leave to others what hangs below rows that are theirs, be it known here or not."""
        for name, table in self._tables.items():
            if not isinstance(table.tenancy, ByPath):
                continue
            step, rows = table.foreign_key(table.tenancy.columns), self.state[name]
            parents = {
                (held.tenant, cells_of(held.row, step.parent_columns))
                for held in self.state[step.parent].values()
                if not held.back
            }
            for key, held in list(rows.items()):
                if (held.tenant, cells_of(held.row, step.columns)) not in parents:
                    rows[key] = Held(held.tenant, held.row, back=True)

    def rows_of(self, tenant: str) -> dict[str, list[RawRow]]:
        """Return the tenant's rows by table."""
        return {
            name: [held.row for held in rows.values() if held.tenant == tenant and not held.back]
            for name, rows in self.state.items()
        }


def _places(
    table: Table, rows: Sequence[RawRow], below: Mapping[str, Sequence[tuple[Table, ForeignKey]]]
) -> Iterator[tuple[str, tuple[str, ...], set[tuple[str, ...]]]]:
    """Yield by which cells rows of other tables find their tenant through these."""
    for columns in {step.parent_columns for _, step in below.get(table.name, ())} if rows else ():
        cells = {found for row in rows if (found := cells_of(row, columns)) is not None}
        yield table.name, columns, cells


def _children(schema: Schema) -> dict[str, list[tuple[Table, ForeignKey]]]:
    """Return, per table, those whose rows find their tenant through it, by which foreign key."""
    found: dict[str, list[tuple[Table, ForeignKey]]] = {}
    for table in schema.owned:
        if isinstance(table.tenancy, ByPath):
            step = table.foreign_key(table.tenancy.columns)
            found.setdefault(step.parent, []).append((table, step))
    return found


def _key(table: Table, row: RawRow) -> Key:
    return tuple(row[column] for column in table.key)
