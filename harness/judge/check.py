"""What a check is: a name, the point of the guarantee that it judges, and a pure function."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from harness.judge.case import Case
from harness.model.verdict import Finding


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """``point`` is 0 for a check on the drill itself: whether it could prove anything."""

    name: str
    point: int
    run: Callable[[Case], Iterable[Finding]]


def unknown(check: str, message: str, *, tenant: str | None = None, restore: int | None = None) -> Finding:
    """Return a finding that makes a drill unknown."""
    return Finding(check=check, point=0, verdict="unknown", message=message, tenant=tenant, restore=restore)
