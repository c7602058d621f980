"""What a script's transaction did to a tenant: the model's effects, corrected by what was seen.

Cascades and TRUNCATE return nothing, so deletions follow from the plan's actual effects on the rows that
were there (the ``Book``), and from the keys seen left inside the transaction before its COMMIT. A row
whose writer ran at the same time may fall either way. Membership is by effect: a transaction that found
no row of a tenant did not damage it; one that removed a row which no effect covers did, and its forecast
says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from harness.judge.states import State, Step
from harness.judge.timeline import Transaction
from harness.model.plan import Effect, Mode, ScriptTransaction
from harness.model.schema import ByColumn, Schema
from harness.model.values import (
    Image,
    Key,
    RowKey,
    image_of,
    keys_begin,
    row_key,
    row_of,
    rows_of,
    table_and_key,
    table_of,
)


class Book:
    """The rows of one tenant that may be there now, by key, each as it was written last.

    ``steps`` grow while it is kept: they are entered when somebody looks, and only then. A deletion that is
    not sure leaves its row there.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self._rows: dict[RowKey, Image] = {}
        self._steps = steps
        self._entered = 0
        self._kept: set[RowKey] = set()

    @property
    def rows(self) -> Mapping[RowKey, Image]:
        """All rows that may be there."""
        for step in self._steps[self._entered :]:
            self._enter(step)
        self._entered = len(self._steps)
        return self._rows

    def state(self) -> State:
        """Return the state after all steps, deletions that are not sure among them."""
        rows = dict(self.rows)
        for row in self._kept:
            rows.pop(row, None)
        return State(steps=len(self._steps), rows=rows)

    def unsure(self, tx: Transaction) -> set[RowKey]:
        """Return rows of which it is not sure that they were there, as they are, before ``tx`` began."""
        unsure: set[RowKey] = set()
        for step in self._steps:
            if step.tx.outcome == "acked" and step.tx.ended_s < tx.begun_s:
                if unsure:
                    unsure.difference_update(step.writes)
                unsure |= step.maybe
            else:
                unsure.update(step.writes)
        return unsure

    def _enter(self, step: Step) -> None:
        rows, writes = self._rows, step.writes
        if self._kept:
            self._kept.difference_update(writes)
        if all(writes.values()):
            rows.update(writes)  # type: ignore[arg-type]  # none is gone
            return
        for row, image in writes.items():
            if image is not None:
                rows[row] = image
            elif _surely(step, row):
                rows.pop(row, None)
            else:
                self._kept.add(row)


def _surely(step: Step, row: RowKey) -> bool:
    """Whether ``step`` did for sure to ``row`` what it says."""
    return step.tx.outcome == "acked" and not (step.maybe and row in step.maybe)


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What a script's transaction had to do to one tenant, by the model, and where it was seen to differ.

    ``deleted`` and ``marked`` (or blanked, or moved): per table the fewest and the most rows. ``spared``:
    rows seen as they were although they had to change. ``taken``: rows seen changed although nothing had to
    change them.
    """

    tx: Transaction
    tenant: str
    deleted: dict[str, tuple[int, int]]
    marked: dict[str, tuple[int, int]]
    spared: tuple[RowKey, ...] = ()
    taken: tuple[RowKey, ...] = ()


class ScriptReader:
    """Reads, from the plan and from what was seen, what each script transaction did to each tenant."""

    def __init__(self, schema: Schema, scripts: Mapping[str, ScriptTransaction]) -> None:
        self.actual = {name: _by_tenant(planned.actual) for name, planned in scripts.items()}
        self.intended = {name: _by_tenant(planned.intended) for name, planned in scripts.items()}
        self.owned = keys_begin(table.name for table in schema.owned)
        self._updated: dict[int, Mapping[RowKey, Image]] = {}
        self.tenant_columns = {
            table.name: table.tenancy.column
            for table in schema.owned
            if isinstance(table.tenancy, ByColumn)
        }

    def read(self, tx: Transaction, tenant: str, book: Book) -> tuple[Step, Forecast]:
        """Return what ``tx`` did to ``tenant``, whose rows are in ``book``, and what it had to do."""
        reading = _Reading(tx, tenant, book, list(self._effects_on(tx, tenant, book)))
        reading.deletions(self.tenant_columns)
        reading.marks(self._updates(tx))
        reading.blanks()
        return self._step(reading), reading.forecast()

    def _effects_on(self, tx: Transaction, tenant: str, book: Book) -> Iterator[Effect]:
        """Yield its effects on the rows that are there: a purge has none on a tenant without a mark."""
        for effect in self.actual.get(tx.name, {}).get(tenant, ()):
            if effect.mode != "purge" or _marked(effect, book):
                yield effect

    def _updates(self, tx: Transaction) -> Mapping[RowKey, Image]:
        """Return the new images of the rows that ``tx`` updated; it is read tenant by tenant."""
        if tx.order not in self._updated:
            self._updated[tx.order] = {
                change.key: change.row
                for change in tx.changes
                if change.op == "update" and change.key.startswith(self.owned)
            }
        return self._updated[tx.order]

    def _step(self, reading: _Reading) -> Step:
        intended = Reach(self.intended.get(reading.tx.name, {}).get(reading.tenant, ()))
        meant = all(intended.modes(row) & reading.modes(row) for row in reading.writes)
        return Step(
            tx=reading.tx,
            writes=reading.writes,
            maybe=frozenset(reading.maybe),
            role="intended" if meant else "damage",
            whole=meant and any(effect.whole for effect in reading.effects),
        )


def _marked(effect: Effect, book: Book) -> bool:
    column = effect.mark_column or ""
    begin = keys_begin(effect.tables[-1:])
    rows = rows_of(image for row, image in book.rows.items() if row.startswith(begin))
    return any(cells.get(column) is not None for cells in rows)


def _by_tenant(effects: Iterable[Effect]) -> dict[str, list[Effect]]:
    found: dict[str, list[Effect]] = {}
    for effect in effects:
        found.setdefault(effect.tenant, []).append(effect)
    return found


class Reach:
    """Which rows of a tenant the effects on it change, and in which modes."""

    def __init__(self, effects: Iterable[Effect]) -> None:
        self._whole: dict[str, frozenset[Mode]] = {}
        self._keyed: dict[str, list[tuple[Mode, frozenset[Key]]]] = {}
        for effect in effects:
            for table in effect.reaches:
                if effect.keys is None:
                    self._whole[table] = self._whole.get(table, frozenset()) | {effect.mode}
                else:
                    self._keyed.setdefault(table, []).append((effect.mode, frozenset(effect.keys)))

    def of_table(self, table: str) -> frozenset[Mode] | None:
        """Return in which modes all rows of a table are changed, None where it depends on their keys."""
        return None if table in self._keyed else self._whole.get(table, _NONE)

    def modes(self, row: RowKey) -> frozenset[Mode]:
        """Return in which modes ``row`` is changed; empty when it is not."""
        table, key = table_and_key(row)
        whole = self._whole.get(table, _NONE)
        if table not in self._keyed:
            return whole
        return whole.union(mode for mode, keys in self._keyed[table] if key in keys)


_TAKING: frozenset[Mode] = frozenset({"permanent", "truncate", "drop", "detach", "move", "purge"})
"""Modes that leave the tenant without the row. Which rows a partition held only the database knows."""

_UNCOUNTED: frozenset[Mode] = frozenset({"truncate", "drop", "detach"})
"""Those in which rows go without a count, and without an event of theirs."""

_NONE: frozenset[Mode] = frozenset()
_PERMANENT: frozenset[Mode] = frozenset({"permanent"})
_MARK: frozenset[Mode] = frozenset({"mark"})
_BLANK: frozenset[Mode] = frozenset({"blank"})


class _Reading:
    """One transaction and one tenant: rows that it changed, gathered in two passes."""

    def __init__(self, tx: Transaction, tenant: str, book: Book, effects: list[Effect]) -> None:
        self.tx, self.tenant, self.book, self.effects = tx, tenant, book, effects
        self.reach, self.unsure = Reach(effects), book.unsure(tx)
        self.writes: dict[RowKey, Image | None] = {}
        self.maybe: set[RowKey] = set()
        self.spared: list[RowKey] = []
        self.taken: list[RowKey] = []
        self.deleted: dict[str, tuple[int, int]] = {}
        self.marked: dict[str, tuple[int, int]] = {}

    def modes(self, row: RowKey) -> frozenset[Mode]:
        """Return in which mode, by the model, it changed a row as it was seen changed."""
        if self.writes[row] is None:
            return _TAKING
        return _BLANK if "blank" in self.reach.modes(row) else _MARK

    def deletions(self, tenant_columns: Mapping[str, str]) -> None:
        """Find the rows that it took: those that had to go and were not seen left, or were seen gone.

        A row that its tenant wrote after it had been moved to another is not the tenant's to lose again.
        """
        left, unsure, others = _left(self.tx, self.tenant), self.unsure, self._of_others(tenant_columns)
        if not left and not others and self._deletes_everything():
            return
        for row in self.book.rows:
            if row in others:
                continue
            certain = not unsure or row not in unsure
            gone = not left or row not in left
            modes = self.reach.modes(row)
            unforeseen = "detach" in modes
            if not modes.isdisjoint(_TAKING):
                if gone and not (unforeseen and left is None):
                    self._delete(row, modes, certain=certain)
                elif certain and not unforeseen:
                    self.spared.append(row)
            elif left is not None and gone and certain:
                self.taken.append(row)
                self._delete(row, modes, certain=True)

    def _deletes_everything(self) -> bool:
        """Delete all rows, if it had to remove them whatever their keys, as most do; return whether."""
        rows = self.book.rows
        counts = _by_table(rows)
        if not all(self.reach.of_table(table) == _PERMANENT for table in counts):
            return False
        self.writes = dict.fromkeys(rows)
        self.maybe = self.unsure.intersection(rows)
        unsure = _by_table(self.maybe)
        self.deleted = {table: (most - unsure[table], most) for table, most in counts.items()}
        return True

    def _of_others(self, tenant_columns: Mapping[str, str]) -> set[RowKey]:
        """Return the rows that say that they are another tenant's."""
        begin = keys_begin(tenant_columns)
        columns = dict(zip(begin, tenant_columns.values(), strict=True))
        asked = {row: image for row, image in self.book.rows.items() if row.startswith(begin)}
        return {
            row
            for row, cells in zip(asked, rows_of(asked.values()), strict=True)
            if cells.get(columns[row[: row.index("/") + 1]]) != self.tenant
        }

    def _delete(self, row: RowKey, modes: frozenset[Mode], *, certain: bool) -> None:
        """Note that the tenant lost a row.

        The server counts what goes to another tenant as an update, and neither what goes by TRUNCATE or
        DDL nor what goes along with its parent.
        """
        self.writes[row] = None
        if not certain:
            self.maybe.add(row)
        if "move" in modes:
            moved = (e.tables for e in self.effects if e.mode == "move")
            if any(table_of(row) in tables for tables in moved):
                _count(self.marked, row, certain=certain)
        elif modes.isdisjoint(_UNCOUNTED):
            _count(self.deleted, row, certain=certain)

    def blanks(self) -> None:
        """Work out the images of the rows that it blanked: the ones before, without those cells."""
        blanks = [(Reach((e,)), e.columns) for e in self.effects if e.mode == "blank"]
        for row, image in self.book.rows.items() if blanks else ():
            columns = [c for reach, of in blanks if reach.modes(row) for c in of]
            if columns and row not in self.writes:
                certain = row not in self.unsure
                self.writes[row] = image_of({**row_of(image), **dict.fromkeys(columns)})
                if not certain:
                    self.maybe.add(row)
                _count(self.marked, row, certain=certain)

    def marks(self, updates: Mapping[RowKey, Image]) -> None:
        """Take over the new images of its rows, and compare them with what had to be marked."""
        seen = {
            row: updates[row] for row in sorted(updates.keys() & self.book.rows.keys(), key=table_and_key)
        }
        for row, image in seen.items():
            self.writes[row] = image
            if "mark" not in self.reach.modes(row):
                self.taken.append(row)
        marks = [(Reach((e,)), e.mark_column) for e in self.effects if e.mark_column and e.mode == "mark"]
        for row, image in self.book.rows.items() if marks else ():
            columns = {column for reach, column in marks if reach.modes(row)}
            if columns:
                cells = row_of(image)
                unmarked = any(cells.get(column) is None for column in columns)
                certain = unmarked and row not in self.unsure
                _count(self.marked, row, certain=certain)
                if certain and row not in seen:
                    self.spared.append(row)

    def forecast(self) -> Forecast:
        """Return what it had to do, and where it differed."""
        return Forecast(
            tx=self.tx,
            tenant=self.tenant,
            deleted=self.deleted,
            marked=self.marked,
            spared=tuple(self.spared),
            taken=tuple(self.taken),
        )


def _left(tx: Transaction, tenant: str) -> set[RowKey] | None:
    """Return the tenant's rows seen left inside the transaction, None when nobody looked."""
    if tx.sight is None or tenant not in tx.sight.left:
        return None
    return {row_key(table, key) for table, keys in tx.sight.left[tenant].items() for key in keys}


def _by_table(rows: Iterable[RowKey]) -> Counter[str]:
    """Return how many of these rows each table has."""
    counts = Counter(row[: row.index("/")] for row in rows)
    return Counter({table_of(RowKey(name)): count for name, count in counts.items()})


def _count(counts: dict[str, tuple[int, int]], row: RowKey, *, certain: bool) -> None:
    table = table_of(row)
    fewest, most = counts.get(table, (0, 0))
    counts[table] = (fewest + certain, most + 1)
