"""What the harness and the backup system know of a database: its tables and whose rows they hold.

A schema is data (``harness/schemas/<name>/schema.toml`` beside its SQL). A table's *tenancy* says how a
row finds its tenant: a column, a NOT NULL path of foreign keys to one, or it belongs to nobody
(``shared``, ``infrastructure``). Everything else about a table (columns, keys) is declared as well, so
that plans can be drawn and simulated without a database; a lint compares it with the live catalogue.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Literal

import msgspec

from harness.model.errors import BadInput


class Column(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A column: SQL ``type`` as format_type prints it, and who gives its value.

    ``given_by``: ``client`` (the application), ``identity`` (always the database), ``serial`` (a default
    from a sequence), ``default`` (any other default), ``generated`` (stored generated; never inserted).
    """

    name: str
    type: str
    nullable: bool = False
    given_by: Literal["client", "identity", "serial", "default", "generated"] = "client"


class ForeignKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``columns`` of this table refer to ``parent_columns`` of ``parent``."""

    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    deferrable: bool = False
    on_delete: Literal["no action", "cascade", "set null"] = "no action"


class ByColumn(msgspec.Struct, frozen=True, kw_only=True, tag="column", tag_field="kind"):
    """The tenant's id stands in ``column`` of the row itself."""

    column: str


class ByPath(msgspec.Struct, frozen=True, kw_only=True, tag="path", tag_field="kind"):
    """The tenant is the parent row's, through the foreign key on ``columns`` (all NOT NULL)."""

    columns: tuple[str, ...]


class Shared(msgspec.Struct, frozen=True, kw_only=True, tag="shared", tag_field="kind"):
    """A lookup table that belongs to nobody; archived, added to if a row is absent, never changed."""


class Infrastructure(msgspec.Struct, frozen=True, kw_only=True, tag="infrastructure", tag_field="kind"):
    """A heartbeat, an outbox: belongs to nobody, is never restored.

    ``xid_column`` names the column that holds the writing transaction's id, so that rows written by
    triggers can be read back in the same transaction.
    """

    xid_column: str | None = None


Tenancy = ByColumn | ByPath | Shared | Infrastructure


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """One table; ``name`` is qualified (``helpdesk.tickets``), ``key`` the primary key's columns.

    What follows from the fields is worked out once (``dict``).
    """

    name: str
    tenancy: Tenancy
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    foreign_keys: tuple[ForeignKey, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()
    partitioned: bool = False

    @cached_property
    def owned(self) -> bool:
        """Whether rows of this table belong to tenants."""
        return isinstance(self.tenancy, ByColumn | ByPath)

    @cached_property
    def stored_columns(self) -> tuple[str, ...]:
        """Columns that an INSERT may name: all but the generated ones."""
        return tuple(c.name for c in self.columns if c.given_by != "generated")

    @cached_property
    def column_names(self) -> frozenset[str]:
        """The names of all columns."""
        return frozenset(c.name for c in self.columns)

    def column(self, name: str) -> Column:
        """Return the column of that name; raises BadInput."""
        for column in self.columns:
            if column.name == name:
                return column
        raise BadInput(f"table {self.name} has no column {name!r}", cure="mend schema.toml")

    def foreign_key(self, columns: tuple[str, ...]) -> ForeignKey:
        """Return the foreign key on exactly these columns; raises BadInput."""
        for key in self.foreign_keys:
            if key.columns == columns:
                return key
        raise BadInput(f"table {self.name} has no foreign key on {columns}", cure="mend schema.toml")


class Entity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A kind of id that the schema's delete function takes (a *site*, an *app*).

    ``table`` and ``column`` (client-given ids) say where such an id lives. ``scope`` says what deleting
    it removes: ``tenant`` all rows of the owning tenant in every owned table but ``keeps``; ``row`` only
    the row itself. Marking sets ``mark_column`` of the row itself in either case.
    """

    name: str
    table: str
    column: str
    scope: Literal["tenant", "row"]
    keeps: tuple[str, ...] = ()
    mark_column: str | None = None


class ScriptHints(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What delete scripts of this schema can say.

    ``root`` is the tenants' own table (its key is the tenant's id). ``function`` is SQL with ``{ids}``
    (an array literal) and ``{mode}`` ('mark' or 'permanent') that deletes entities of any kind, or None.
    ``cascades``: deleting the root row removes everything the tenant owns.
    """

    root: str
    entities: tuple[Entity, ...] = ()
    function: str | None = None
    cascades: bool = False


class TableHint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How writers use a table.

    ``initial`` fixed number of rows each tenant begins with, or None for a share by ``weight``.
    ``weight`` relative rate of inserts (0: never written after the start). ``copy`` may be bulk-loaded.
    ``update`` columns that updates change; ``rekey`` key columns that updates may change (no children).
    ``move`` foreign keys (their first column) that an update may point at another row of the tenant.
    ``delete`` rows without children may be deleted for good reason.
    """

    initial: int | None = None
    weight: float = 1.0
    copy: bool = False
    update: tuple[str, ...] = ()
    rekey: tuple[str, ...] = ()
    move: tuple[str, ...] = ()
    delete: bool = True


class Ledger(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table to which every transaction adds its operation id, as one witness (tenant data itself)."""

    table: str
    column: str


class Schema(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """A reference or user schema: tables in an order in which parents come before children.

    ``enums``: labels of each enum type, in order. ``domains``: the base type of each domain; a domain's
    CHECK must hold for every text that is not empty (or every value of another base type).
    """

    name: str
    tables: tuple[Table, ...]
    script: ScriptHints
    hints: dict[str, TableHint] = {}
    ledger: Ledger | None = None
    enums: dict[str, tuple[str, ...]] = {}
    domains: dict[str, str] = {}

    def table(self, name: str) -> Table:
        """Return the table of that name; raises BadInput."""
        for table in self.tables:
            if table.name == name:
                return table
        raise BadInput(f"schema {self.name} has no table {name!r}", cure="mend schema.toml")

    @cached_property
    def owned(self) -> tuple[Table, ...]:
        """Tables whose rows belong to tenants, parents first."""
        return tuple(t for t in self.tables if t.owned)

    @cached_property
    def sha256(self) -> bytes:
        """SHA-256 of it as JSON."""
        return hashlib.sha256(msgspec.json.encode(self)).digest()

    @cached_property
    def shared(self) -> tuple[Table, ...]:
        """Lookup tables, which belong to nobody."""
        return tuple(t for t in self.tables if isinstance(t.tenancy, Shared))

    @cached_property
    def infrastructure(self) -> tuple[Table, ...]:
        """Tables of plumbing (outbox, heartbeat), never restored."""
        return tuple(t for t in self.tables if isinstance(t.tenancy, Infrastructure))

    def path(self, table: Table) -> tuple[ForeignKey, ...]:
        """Return the foreign keys that lead from ``table`` to the one with the tenant's column.

        Empty for a table with the column itself. Raises BadInput for a table without an owner, a
        nullable step, or a path that comes round to itself.
        """
        steps: list[ForeignKey] = []
        while isinstance(table.tenancy, ByPath):
            step = table.foreign_key(table.tenancy.columns)
            if any(table.column(c).nullable for c in step.columns) or len(steps) > len(self.tables):
                raise BadInput(
                    f"the path from {table.name} to its tenant through {step.columns} is nullable"
                    " or endless",
                    cure="declare a NOT NULL foreign key, or a tenant column",
                )
            steps.append(step)
            table = self.table(step.parent)
        if not isinstance(table.tenancy, ByColumn):
            raise BadInput(f"{table.name} leads to no tenant", cure="mend its tenancy")
        return tuple(steps)

    def tenant_column(self, table: Table) -> str:
        """Return the tenant column of ``table``, or of the table at the end of its path."""
        for step in self.path(table):
            table = self.table(step.parent)
        assert isinstance(table.tenancy, ByColumn)  # path() raised otherwise
        return table.tenancy.column
