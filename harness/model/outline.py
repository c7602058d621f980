"""A plan in outline, as who judges it reads it: of what writers do the names and kinds, without the values.

The values are most of a plan's bytes, and nobody who looks at what happened asks for what was planned.
"""

from __future__ import annotations

import msgspec

from harness.model.plan import Plan, TenantPlan, decode_as


class Insert(msgspec.Struct, frozen=True, tag="insert", tag_field="op", gc=False):
    """An insert of whatever."""


class Copy(msgspec.Struct, frozen=True, tag="copy", tag_field="op", gc=False):
    """A bulk load of whatever."""


class Update(msgspec.Struct, frozen=True, tag="update", tag_field="op", gc=False):
    """An update of whatever."""


class Delete(msgspec.Struct, frozen=True, tag="delete", tag_field="op", gc=False):
    """A deletion of whatever."""


class Transaction(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Name, kinds of operations, whether it is tried again after a conflict, and is to be committed."""

    name: str
    operations: tuple[Insert | Copy | Update | Delete, ...]
    serializable: bool = False
    commit: bool = True


class TenantOutline(TenantPlan, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tenant, its writers in outline."""

    writers: tuple[tuple[Transaction, ...], ...]  # type: ignore[assignment]  # fewer fields, under their names


class Outline(Plan, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A plan with its tenants in outline."""

    tenants: tuple[TenantOutline, ...]


def decode(data: bytes | memoryview, *, source: str = "the plan") -> Outline:
    """Read a plan in outline; raises BadInput as the one in full does, but for writers' values."""
    return decode_as(Outline, data, source)
