"""Targets of the live zoo: what they do beside a swap must not make the swap itself untrue."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from fixtures.archive import SCHEMA
from harness.model.values import RawRow
from harness.power.live.targets import AndThen
from harness.simulate.loop import run
from harness.subject.reference.adapters.postgres_target import PostgresTarget
from harness.subject.reference.adapters.sessions import Session
from harness.subject.reference.format import SchemaRef
from harness.subject.reference.ports import Swap, Swapped, TargetUnavailable

ASIDE: tuple[tuple[str, RawRow], ...] = (("app.note", {"id": "1"}),)
SWAP = Swap(
    tenant="acme",
    rows={},
    shared={},
    high={},
    set_aside=True,
    schema=SchemaRef(number=1, key="schema/1", version="v1", sha256="00ff"),
)


class _Transactions:
    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        yield


class Deadlocked(AndThen):
    """Is the victim of a deadlock with a writer in the transaction after its swap."""

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Session]:
        yield cast("Session", _Transactions())

    async def after(self, session: Session, swap: Swap) -> None:  # noqa: ARG002 - it never gets so far
        """Fail."""
        raise TargetUnavailable("the target database: 40P01: deadlock detected")


def test_what_a_swap_set_aside_is_told_though_what_follows_it_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The restore is made again, and finds those rows gone: nobody else could tell of them."""

    async def swapped(self: PostgresTarget, swap: Swap) -> Swapped:  # noqa: ARG001 - a port's
        return Swapped(rows=3, set_aside=ASIDE, shared_added={})

    monkeypatch.setattr(PostgresTarget, "swap", swapped)
    with pytest.raises(TargetUnavailable) as away:
        run(Deadlocked(dsn="", schema=SCHEMA).swap(SWAP))
    assert away.value.swapped is not None
    assert away.value.swapped.set_aside == ASIDE
