"""What writers do, as values: operations on rows that have names before they have keys.

A plan is decided before any row exists, yet identity columns get their values from the database. So
operations name rows by *handles*, unique within a tenant; whoever performs a plan binds each handle to
the row image that came back, and resolves ``Ref`` values through that binding.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

OPEN_S_MAX: Final = 5.0
"""Longest hold of a transaction that a plan may ask for: its locks stand in a script's way meanwhile."""


class Ref(msgspec.Struct, frozen=True, kw_only=True, tag="ref", tag_field="is", forbid_unknown_fields=True):
    """The value of ``column`` in the row that ``handle`` is bound to."""

    handle: str
    column: str


class Filler(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag="filler",
    tag_field="is",
    forbid_unknown_fields=True,
):
    """A long text of ``chars`` characters made from ``seed``, so that plans stay small.

    ``text``: ``prefix`` then characters of hex digests, incompressible enough to be TOASTed out of line.
    ``bytea``: the same as a bytea literal, ``\\x`` and hex (``prefix`` not used).
    ``json``: a jsonb object with one long member, written as Postgres prints it.
    """

    seed: int
    chars: int
    form: Literal["text", "bytea", "json"] = "text"
    prefix: str = ""


Value = str | Ref | Filler | None
Values = dict[str, Value]


class Insert(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag="insert",
    tag_field="op",
    forbid_unknown_fields=True,
):
    """Add one row; columns left out get their defaults."""

    table: str
    handle: str
    values: Values


class CopyRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row of a bulk load, with all its client-given values, key included."""

    handle: str
    values: Values


class Copy(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag="copy",
    tag_field="op",
    forbid_unknown_fields=True,
):
    """Bulk load by COPY: every row names the same columns, and its key is chosen by the client."""

    table: str
    rows: tuple[CopyRow, ...]


class Update(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag="update",
    tag_field="op",
    forbid_unknown_fields=True,
):
    """Change ``values`` of the row bound to ``handle`` (its key columns too, when named)."""

    table: str
    handle: str
    values: Values


class Delete(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag="delete",
    tag_field="op",
    forbid_unknown_fields=True,
):
    """Delete the row bound to ``handle``, for good reason."""

    table: str
    handle: str


Operation = Insert | Copy | Update | Delete


class Transaction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Operations in one transaction. ``name`` is unique in the plan (``t1017.w0.17``).

    ``pause_s``: how long after the previous transaction of the same writer began this one is due.
    ``hold_s``: how long it stays open, with all that it has locked, after its operations and before what
    ends it is sent. ``think_s``: how long its client thinks after each operation but the last, while others
    commit. ``serializable``: at that isolation level; refused for a conflict with another one it is tried
    again, under its name. ``commit``: False is a rollback on purpose, after the operations ran.
    """

    name: str
    operations: tuple[Operation, ...]
    pause_s: float = 0.0
    hold_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    think_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    serializable: bool = False
    commit: bool = True
