"""Tables of the simulated database: rows by primary key, and the indexes that constraints need.

Changes are made in place and can be undone; who may see them and when is decided a floor up, in
``transactions``. Nothing here waits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import msgspec

from harness.model.schema import ForeignKey, Infrastructure, Schema, Table
from harness.model.values import Key, RawRow

Cells = tuple[str, ...]
LEAVES = 4
"""How many leaves a partitioned table has."""


def cells_of(row: Mapping[str, str | None], columns: tuple[str, ...]) -> Cells | None:
    """Return the cells of ``columns``, or None when one is null: nulls match nothing."""
    if len(columns) == 1:  # what most are
        cell = row[columns[0]]
        return None if cell is None else (cell,)
    cells = tuple(map(row.__getitem__, columns))
    return None if None in cells else cells  # type: ignore[return-value]  # no cell is None


class TableStore:
    """Rows of one table, an index for each unique constraint, and one for each foreign key out of it."""

    def __init__(self, table: Table, *, referred: set[tuple[str, ...]]) -> None:
        self.table = table
        self.rows: dict[Key, RawRow] = {}
        self.columns = {column.name: column for column in table.columns}
        self.not_null = tuple(column.name for column in table.columns if not column.nullable)
        self.uniques = tuple(dict.fromkeys([table.key, *table.unique, *sorted(referred)]))
        self._by_unique: dict[tuple[str, ...], dict[Cells, Key]] = {u: {} for u in self.uniques}
        self._by_foreign: dict[tuple[str, ...], dict[Cells, dict[Key, None]]] = {
            key.columns: {} for key in table.foreign_keys
        }

    def put(self, row: RawRow) -> None:
        """Add a row whose key is not there."""
        key = cells_of(row, self.table.key)
        if key is None:
            raise ValueError(f"a key of {self.table.name} is null: {row}")
        self.rows[key] = row
        for columns, index in self._by_unique.items():
            if (cells := cells_of(row, columns)) is not None:
                index[cells] = key
        for columns, children in self._by_foreign.items():
            if (cells := cells_of(row, columns)) is not None:
                children.setdefault(cells, {})[key] = None

    def remove(self, key: Key) -> RawRow:
        """Take the row with ``key`` away and return it."""
        row = self.rows.pop(key)
        for columns, index in self._by_unique.items():
            if (cells := cells_of(row, columns)) is not None and index.get(cells) == key:
                del index[cells]
        for columns, children in self._by_foreign.items():
            if (cells := cells_of(row, columns)) is not None:
                del children[cells][key]
        return row

    def holder(self, columns: tuple[str, ...], cells: Cells) -> Key | None:
        """Return the key of the row that has ``cells`` in the unique ``columns``."""
        return self._by_unique[columns].get(cells)

    def referring(self, foreign_key: ForeignKey, cells: Cells) -> tuple[Key, ...]:
        """Return the keys of rows here that refer to ``cells`` through ``foreign_key``."""
        return tuple(self._by_foreign[foreign_key.columns].get(cells, ()))


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """What a simulated database is like, and its DDL: a schema, and what it lacks of it.

    ``lost``: leaves of partitioned tables that are gone. ``disabled``: tables whose triggers are.
    """

    schema: Schema
    gone: tuple[str, ...] = ()
    unpublished: tuple[str, ...] = ()
    lost: tuple[tuple[str, int], ...] = ()
    disabled: tuple[str, ...] = ()

    def digest(self) -> str:
        """Return a digest that tells one catalogue from another."""
        lacks = (self.gone, self.unpublished, self.lost, self.disabled)
        whole = self.schema.sha256 + msgspec.json.encode(lacks)
        return hashlib.sha256(whole).hexdigest()[:32]


class Storage:
    """All tables of one database, its sequences, and which outboxes each table's triggers write to.

    ``gone``, ``unpublished``, ``lost``: what DDL took away, see ``Catalogue``.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.gone: set[str] = set()
        self.unpublished: set[str] = set()
        self.lost: set[tuple[str, int]] = set()
        self.disabled: set[str] = set()
        self.tables: dict[str, TableStore] = {}
        self.incoming: dict[str, list[tuple[Table, ForeignKey]]] = {t.name: [] for t in schema.tables}
        self.sequences: dict[str, int] = {}
        self.told: dict[str, list[Table]] = {}
        for table in schema.tables:
            for key in table.foreign_keys:
                self.incoming[key.parent].append((table, key))
            for column in table.columns:
                if column.given_by in ("identity", "serial"):
                    self.sequences[f"{table.name}.{column.name}"] = 1
        for outbox in schema.infrastructure:
            if (source := trigger_source(schema, outbox)) is not None:
                self.told.setdefault(source, []).append(outbox)
        for table in schema.tables:
            referred = {key.parent_columns for _, key in self.incoming[table.name]}
            self.tables[table.name] = TableStore(table, referred=referred)

    def catalogue(self) -> Catalogue:
        """Return the catalogue as it is now."""
        return Catalogue(
            schema=self.schema,
            gone=tuple(sorted(self.gone)),
            unpublished=tuple(sorted(self.unpublished)),
            lost=tuple(sorted(self.lost)),
            disabled=tuple(sorted(self.disabled)),
        )

    def become(self, catalogue: Catalogue) -> None:
        """Have the tables, the publication and the leaves of another catalogue of this schema."""
        self.gone = {*catalogue.gone}
        self.unpublished = {*catalogue.unpublished}
        self.lost = {*catalogue.lost}
        self.disabled = {*catalogue.disabled}

    def rebuild(self, catalogue: Catalogue) -> None:
        """Become another catalogue; what was gone and is back begins anew, sequences at their start."""
        for sequence in self.sequences:
            if sequence.rpartition(".")[0] in self.gone - {*catalogue.gone}:
                self.sequences[sequence] = 1
        self.become(catalogue)

    def draw(self, sequence: str) -> str:
        """Take the next value of a sequence; it never goes back."""
        value = self.sequences[sequence]
        self.sequences[sequence] = value + 1
        return str(value)

    def missing_parent(self, table: Table, row: RawRow, *, deferrable: bool) -> ForeignKey | None:
        """Return a foreign key (deferrable ones, or the others) of ``row`` that leads nowhere."""
        for key in table.foreign_keys:
            if key.deferrable == deferrable:
                cells = cells_of(row, key.columns)
                if cells is not None and self.parent_key(key, cells) is None:
                    return key
        return None

    def parent_key(self, foreign_key: ForeignKey, cells: Cells) -> Key | None:
        """Return the key of the row that ``foreign_key`` with these cells refers to."""
        return self.tables[foreign_key.parent].holder(foreign_key.parent_columns, cells)

    def children(self, table: Table, row: RawRow) -> Iterator[tuple[Table, ForeignKey, Key]]:
        """Iterate over all rows that refer to ``row``."""
        for child, foreign_key in self.incoming[table.name]:
            cells = cells_of(row, foreign_key.parent_columns)
            if cells is not None:
                for key in self.tables[child.name].referring(foreign_key, cells):
                    yield child, foreign_key, key


def leaf_of(table: Table, row: RawRow) -> int | None:
    """Return the leaf in which a row lies: some function of its key; None without partitions."""
    if not table.partitioned:
        return None
    key = repr([row.get(name) for name in table.key])
    return hashlib.sha256(key.encode()).digest()[0] % LEAVES


def generated(table: Table, row: RawRow) -> RawRow:
    """Return ``row`` with its stored generated columns computed: some function of all the others."""
    computed = [c for c in table.columns if c.given_by == "generated"]
    if not computed:
        return row
    given = repr([row.get(name) for name in table.stored_columns])
    number = int.from_bytes(hashlib.sha256(given.encode()).digest()[:4], "big")
    return {**row, **{c.name: str(number % 10_000) for c in computed}}


def trigger_source(schema: Schema, outbox: Table) -> str | None:
    """Return the table whose changes a trigger tells to ``outbox``: the first of those written most."""
    if not isinstance(outbox.tenancy, Infrastructure) or outbox.tenancy.xid_column is None:
        return None
    weights = {t.name: schema.hints[t.name].weight if t.name in schema.hints else 1.0 for t in schema.owned}
    return max(weights, key=weights.__getitem__)
