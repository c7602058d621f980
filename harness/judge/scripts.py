"""What a script's transaction did to a tenant: the model's effects, corrected by what was seen.

Cascades and TRUNCATE return nothing, so deletions follow from the plan's actual effects on the rows that
were there (the ``Book``), and from the keys seen left inside the transaction before its COMMIT. A row
whose writer ran at the same time may fall either way. Membership is by effect: a transaction that found
no row of a tenant did not damage it; one that removed a row which no effect covers did, and its forecast
says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from harness.judge.states import RowKey, Step
from harness.judge.timeline import Transaction
from harness.model.plan import Effect, Mode, ScriptTransaction
from harness.model.schema import ByColumn, Schema
from harness.model.values import Row, key_of


class Presence(msgspec.Struct, frozen=True, kw_only=True):
    """A row in the book: its image, who wrote it, and whether it is there for ``sure`` once that ended."""

    row: Row
    tx: Transaction
    sure: bool

    def before(self, tx: Transaction) -> bool:
        """Whether the row was there for sure before ``tx`` began."""
        return self.sure and self.tx.ended_s < tx.begun_s


class Book:
    """The rows of one tenant that may be there now."""

    def __init__(self) -> None:
        self.rows: dict[RowKey, Presence] = {}

    def enter(self, step: Step) -> None:
        """Note what ``step`` did. A deletion that is not sure leaves the row in the book, unsure."""
        for row, image in step.writes.items():
            sure = step.tx.acked and row not in step.maybe
            if image is not None:
                self.rows[row] = Presence(row=image, tx=step.tx, sure=sure)
            elif sure:
                self.rows.pop(row, None)
            elif row in self.rows:
                self.rows[row] = msgspec.structs.replace(self.rows[row], sure=False)


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
        self.scripts = scripts
        self.keys = {table.name: table.key for table in schema.owned}
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

    def _effects(self, tx: Transaction, tenant: str) -> list[Effect]:
        planned = self.scripts.get(tx.name)
        return [effect for effect in planned.actual if effect.tenant == tenant] if planned else []

    def _effects_on(self, tx: Transaction, tenant: str, book: Book) -> Iterator[Effect]:
        """Yield its effects on the rows that are there: a purge has none on a tenant without a mark."""
        for effect in self._effects(tx, tenant):
            if effect.mode != "purge" or _marked(effect, book):
                yield effect

    def _updates(self, tx: Transaction) -> Iterator[tuple[RowKey, Row]]:
        for change in tx.changes:
            if change.op == "update" and change.row is not None and change.table in self.keys:
                yield (change.table, key_of(change.row, self.keys[change.table])), change.row

    def _step(self, reading: _Reading) -> Step:
        planned = self.scripts.get(reading.tx.name)
        intended = planned.intended if planned else ()
        meant = all(
            any(_covered(row, mode, reading.tenant, intended) for mode in reading.modes(row))
            for row in reading.writes
        )
        return Step(
            tx=reading.tx,
            writes=reading.writes,
            maybe=frozenset(reading.maybe),
            role="intended" if meant else "damage",
            whole=meant and any(effect.whole for effect in reading.effects),
        )


def _marked(effect: Effect, book: Book) -> bool:
    column = effect.mark_column or ""
    marked = (p.row.get(column) for row, p in book.rows.items() if row[0] == effect.tables[-1])
    return any(cell is not None for cell in marked)


def _covered(row: RowKey, mode: Mode, tenant: str, effects: Iterable[Effect]) -> bool:
    """Whether one of ``effects`` changes ``row`` of ``tenant`` in that mode."""
    table, key = row
    return any(
        e.tenant == tenant and e.mode == mode and table in e.reaches and (e.keys is None or key in e.keys)
        for e in effects
    )


_TAKING: tuple[Mode, ...] = ("permanent", "truncate", "drop", "detach", "move", "purge")
"""Modes that leave the tenant without the row. Which rows a partition held only the database knows."""

_UNCOUNTED: tuple[Mode, ...] = ("truncate", "drop", "detach")
"""Those in which rows go without a count, and without an event of theirs."""


class _Reading:
    """One transaction and one tenant: rows that it changed, gathered in two passes."""

    def __init__(self, tx: Transaction, tenant: str, book: Book, effects: list[Effect]) -> None:
        self.tx, self.tenant, self.book, self.effects = tx, tenant, book, effects
        self.writes: dict[RowKey, Row | None] = {}
        self.maybe: set[RowKey] = set()
        self.spared: list[RowKey] = []
        self.taken: list[RowKey] = []
        self.deleted: dict[str, tuple[int, int]] = {}
        self.marked: dict[str, tuple[int, int]] = {}

    def modes(self, row: RowKey) -> tuple[Mode, ...]:
        """Return in which mode, by the model, it changed a row as it was seen changed."""
        if self.writes[row] is None:
            return _TAKING
        return ("blank",) if self._covers(row, "blank") else ("mark",)

    def _covers(self, row: RowKey, mode: Mode) -> bool:
        return _covered(row, mode, self.tenant, self.effects)

    def deletions(self, tenant_columns: Mapping[str, str]) -> None:
        """Find the rows that it took: those that had to go and were not seen left, or were seen gone.

        A row that its tenant wrote after it had been moved to another is not the tenant's to lose again.
        """
        left = _left(self.tx, self.tenant)
        for row, presence in self.book.rows.items():
            certain = presence.before(self.tx)
            gone = left is None or row not in left
            column = tenant_columns.get(row[0])
            if column is not None and presence.row.get(column) != self.tenant:
                continue
            unforeseen = self._covers(row, "detach")
            if any(self._covers(row, mode) for mode in _TAKING):
                if gone and not (unforeseen and left is None):
                    self._delete(row, certain=certain)
                elif certain and not unforeseen:
                    self.spared.append(row)
            elif left is not None and gone and certain:
                self.taken.append(row)
                self._delete(row, certain=True)

    def _delete(self, row: RowKey, *, certain: bool) -> None:
        """Note that the tenant lost a row.

        The server counts what goes to another tenant as an update, and neither what goes by TRUNCATE or
        DDL nor what goes along with its parent.
        """
        self.writes[row] = None
        if not certain:
            self.maybe.add(row)
        if self._covers(row, "move"):
            moved = (e.tables for e in self.effects if e.mode == "move")
            if any(row[0] in tables for tables in moved):
                _count(self.marked, row[0], certain=certain)
        elif not any(self._covers(row, mode) for mode in _UNCOUNTED):
            _count(self.deleted, row[0], certain=certain)

    def blanks(self) -> None:
        """Work out the images of the rows that it blanked: the ones before, without those cells."""
        for row, presence in self.book.rows.items():
            columns = [
                c for e in self.effects if _covered(row, "blank", self.tenant, (e,)) for c in e.columns
            ]
            if columns and row not in self.writes:
                certain = presence.before(self.tx)
                self.writes[row] = {**presence.row, **dict.fromkeys(columns)}
                if not certain:
                    self.maybe.add(row)
                _count(self.marked, row[0], certain=certain)

    def marks(self, updates: Iterable[tuple[RowKey, Row]]) -> None:
        """Take over the new images of its rows, and compare them with what had to be marked."""
        seen = {row: image for row, image in updates if row in self.book.rows}
        for row, image in seen.items():
            self.writes[row] = image
            if not _covered(row, "mark", self.tenant, self.effects):
                self.taken.append(row)
        for row, presence in self.book.rows.items():
            columns = self._mark_columns(row)
            if columns:
                unmarked = any(presence.row.get(column) is None for column in columns)
                certain = unmarked and presence.before(self.tx)
                _count(self.marked, row[0], certain=certain)
                if certain and row not in seen:
                    self.spared.append(row)

    def _mark_columns(self, row: RowKey) -> set[str]:
        return {
            effect.mark_column
            for effect in self.effects
            if effect.mark_column and _covered(row, "mark", self.tenant, (effect,))
        }

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
    return {(table, key) for table, keys in tx.sight.left[tenant].items() for key in keys}


def _count(counts: dict[str, tuple[int, int]], table: str, *, certain: bool) -> None:
    fewest, most = counts.get(table, (0, 0))
    counts[table] = (fewest + certain, most + 1)
