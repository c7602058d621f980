"""Writes the operations on one tenant's rows: each method makes one kind and enters it in the book."""

from __future__ import annotations

from random import Random

from harness.generate.book import COMMON, Book, LiveRow, Symbol
from harness.generate.cells import Cells
from harness.generate.facts import Link, SchemaFacts, TableFacts
from harness.model.operations import Copy, CopyRow, Delete, Filler, Insert, Operation, Ref, Update, Values
from harness.model.schema import Column

NULL_LINK_SHARE = 0.2


class Scribe:
    """Makes operations for the tenant number ``index`` (-1: the shared rows).

    ``book`` may be swapped for a copy; ``shared`` holds the rows of lookup tables, by table.
    """

    def __init__(
        self,
        facts: SchemaFacts,
        tenant: str,
        index: int,
        rng: Random,
        shared: dict[str, list[LiveRow]],
    ) -> None:
        self.facts = facts
        self.tenant = tenant
        self.rng = rng
        self.book = Book()
        self.cells = Cells(facts, tenant, index, rng)
        self.shared = shared
        self._prefix = "@" if index < 0 else ""
        self._handles = 0
        self._used: set[tuple[str, tuple[str, ...], tuple[Symbol, ...]]] = set()
        self._visited: set[tuple[str, int, str | None]] = set()

    def insert(
        self, table: TableFacts, owner: int, *, given: Values | None = None, filled: bool | None = None
    ) -> list[Operation]:
        """Insert a row of ``table``, after the parents that it lacks.

        ``given`` fixes values; ``filled`` says whether the row has a long text, None: now and then.
        """
        handle = self._handle(table)
        values, row, before = self._linked(table, owner, handle)
        values.update(self.cells.of_insert(table, defaults=True))
        values.update(given or {})
        row = row._replace(filled=self.cells.fill(table, values, filled))
        self._enter(table, row, values)
        return [*before, Insert(table=table.name, handle=handle, values=values)]

    def copy(self, table: TableFacts, owner: int, count: int) -> list[Operation]:
        """Bulk-load ``count`` rows, after the parents that they lack."""
        before: list[Operation] = []
        rows = []
        for _ in range(count):
            handle = self._handle(table)
            values, row, parents = self._linked(table, owner, handle)
            before += parents
            values.update(self.cells.of_insert(table, defaults=False))
            self._enter(table, row, values)
            rows.append(CopyRow(handle=handle, values=values))
        return [*before, Copy(table=table.name, rows=tuple(rows))]

    def update(
        self, table: TableFacts, row: LiveRow, *, spare: frozenset[str] = frozenset()
    ) -> Update | None:
        """Change one to three columns, one of them to a value it never had; none of those to ``spare``."""
        values = self._changes(table, row, spare)
        if not values:
            return None
        filled = row.filled - values.keys() | {c for c, v in values.items() if isinstance(v, Filler)}
        self.book.replace(row, row._replace(filled=frozenset(filled)))
        return Update(table=table.name, handle=row.handle, values=values)

    def move(self, table: TableFacts, row: LiveRow, link: Link) -> Update | None:
        """Point the row at another parent of the tenant, or at none."""
        number = table.links.index(link)
        moved = self._relinked(table, row, link, number)
        if moved is None:
            return None
        new, values = moved
        fresh = self._changes(table, row)
        if not fresh and (new.handle, number, new.parents.get(number)) in self._visited:
            return None
        self._visited.add((new.handle, number, new.parents.get(number)))
        self.book.replace(row, new._replace(filled=new.filled - fresh.keys()))
        return Update(table=table.name, handle=row.handle, values={**fresh, **values})

    def rekey(self, table: TableFacts, row: LiveRow) -> Update | None:
        """Give the row another key."""
        choices: list[Column | Link] = [*table.rekeyable, *table.relinkable]
        if not choices or row.owner == COMMON:
            return None
        match self.rng.choice(choices):
            case Link() as link:
                return self.move(table, row, link)
            case column:
                return self._renumber(table, row, column)

    def delete(self, table: TableFacts, row: LiveRow) -> Delete | None:
        """Delete a row at which nobody points."""
        if not table.hint.delete or row.owner == COMMON or not self.book.is_childless(row):
            return None
        self.book.remove(row)
        return Delete(table=table.name, handle=row.handle)

    def _handle(self, table: TableFacts) -> str:
        self._handles += 1
        return f"{self._prefix}{table.short}.{self._handles}"

    def _enter(self, table: TableFacts, row: LiveRow, values: Values) -> None:
        """Note what others may refer to, and add the row to the book."""
        for column in table.unique_columns:
            value = values.get(column.name)
            if (table.name, column.name) in self.facts.referenced and isinstance(value, str):
                row.symbols[column.name] = value
        self.book.add(row)

    def _changes(self, table: TableFacts, row: LiveRow, spare: frozenset[str] = frozenset()) -> Values:
        """New values; a row that others may point at keeps what is unique, or they would wait for it."""
        return self.cells.of_update(
            table, spare | (table.in_unique if row.owner == COMMON else frozenset())
        )

    def _renumber(self, table: TableFacts, row: LiveRow, column: Column) -> Update | None:
        if (table.name, column.name) in self.facts.referenced and not self.book.is_childless(row):
            return None
        value = self.cells.unique(table, column)
        symbols = {**row.symbols, column.name: value} if column.name in row.symbols else row.symbols
        self.book.replace(row, row._replace(symbols=symbols))
        return Update(table=table.name, handle=row.handle, values={column.name: value})

    def _linked(
        self, table: TableFacts, owner: int, handle: str
    ) -> tuple[Values, LiveRow, list[Operation]]:
        """Return values of the tenant's column and the links, the row so far, and parents made for it."""
        before: list[Operation] = []
        for attempt in range(4):
            row = LiveRow(table.name, handle, owner, {}, {})
            values = self._start(table, row)
            for number, link in enumerate(table.links):
                self._link(table, row, values, (number, link), before, fresh=attempt == 3)
            if self._is_new_combination(table, row):
                break
        return values, row, before

    def _start(self, table: TableFacts, row: LiveRow) -> Values:
        own = table.table.key[0] if table.is_root else table.tenant_column
        if own is None:
            return {}
        row.symbols[own] = self.tenant
        return {own: self.tenant}

    def _link(
        self,
        table: TableFacts,
        row: LiveRow,
        values: Values,
        numbered: tuple[int, Link],
        before: list[Operation],
        *,
        fresh: bool,
    ) -> None:
        number, link = numbered
        parent = self._parent(table, row, link, before, fresh=fresh)
        for own, theirs in link.set_columns:
            if own not in values:
                values[own], row.symbols[own] = self._seen_from_below(link, parent, theirs)
        if parent is not None and not link.shared:
            row.parents[number] = parent.handle

    def _parent(
        self, table: TableFacts, row: LiveRow, link: Link, before: list[Operation], *, fresh: bool
    ) -> LiveRow | None:
        if link.to_root and not table.is_root:
            return self.book.pick(self.rng, self.book.rows(link.parent, COMMON))
        if link.nullable and (link.later or table.is_root or self.rng.random() < NULL_LINK_SHARE):
            return None
        if link.shared:
            return self.book.pick(self.rng, self.shared[link.parent])
        fitting = self._fitting(row, link)
        parent = self.facts.tables[link.parent]
        if link.nullable or (fitting and not (fresh and parent.hint.weight > 0)):
            return self.book.pick(self.rng, fitting)
        before += self.insert(parent, row.owner)
        return self.book.rows(link.parent, row.owner)[-1]

    def _fitting(self, row: LiveRow, link: Link) -> list[LiveRow]:
        """Rows that may be the parent: those that agree in columns which another link has filled."""
        settled = [
            (row.symbols[own], theirs)
            for own, theirs in zip(link.key.columns, link.key.parent_columns, strict=True)
            if own in row.symbols and own not in dict(link.set_columns)
        ]
        settled = [(symbol, theirs) for symbol, theirs in settled if symbol != self.tenant]
        rows = self.book.usable(link.parent, 0 if row.owner == COMMON else row.owner)
        if not settled:
            return rows
        return [r for r in rows if all(self._symbol(r, theirs) == symbol for symbol, theirs in settled)]

    def _seen_from_below(
        self, link: Link, parent: LiveRow | None, theirs: str
    ) -> tuple[str | Ref | None, Symbol]:
        if parent is None:
            return None, None
        if link.to_root and theirs == self.facts.root_column.name:
            return self.tenant, self.tenant
        return Ref(handle=parent.handle, column=theirs), self._symbol(parent, theirs)

    def _symbol(self, row: LiveRow, column: str) -> Symbol:
        return row.symbols.get(column, Ref(handle=row.handle, column=column))

    def _relinked(
        self, table: TableFacts, row: LiveRow, link: Link, number: int
    ) -> tuple[LiveRow, Values] | None:
        """Return the row pointed at another parent that leaves its links unique, and what changes."""
        present = row.parents.get(number)
        parents = [r for r in self._fitting(row, link) if r.handle not in (present, row.handle)]
        parent = self.book.pick(self.rng, parents)
        if link.nullable and present and self.rng.random() < 0.15:
            parent = None
        if parent is None and not (link.nullable and present):
            return None
        new = row._replace(symbols=dict(row.symbols), parents=dict(row.parents))
        values: Values = {}
        for own, theirs in link.set_columns:
            values[own], new.symbols[own] = self._seen_from_below(link, parent, theirs)
        new.parents.pop(number, None)
        if parent is not None:
            new.parents[number] = parent.handle
        touched = set(values) & table.in_unique
        return None if touched and not self._is_new_combination(table, new) else (new, values)

    def _is_new_combination(self, table: TableFacts, row: LiveRow) -> bool:
        """Claim the values of unique sets that consist of links alone; False when one was used before."""
        sets = [
            (table.name, unique, tuple(self._symbol(row, column) for column in unique))
            for unique in table.link_uniques
        ]
        if any(claim in self._used for claim in sets):
            return False
        self._used.update(sets)
        return True
