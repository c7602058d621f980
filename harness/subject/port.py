"""The port every backup system answers to, and the values that go through it.

The harness asks little: where the system's watermark is, what its restores need, and to restore one
tenant to a cut. How it captures and stores is its own business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from harness.model.history import Cut, Need, Place, SetAside
from harness.model.position import Position
from harness.model.stages import ArchiveRead, InSegment, SegmentUnreadable


class Watermark(msgspec.Struct, frozen=True, kw_only=True):
    """Every committed transaction up to ``position`` is durable in the archive.

    ``exposure_s``: the system's own claim of how much would be lost now, None when it makes none.
    """

    position: Position
    exposure_s: float | None = None
    state: Literal["ok", "behind", "breached", "stopped"] = "ok"


Holding = ArchiveRead | SegmentUnreadable | InSegment


class RestoreResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a restore did. ``refused`` and ``failed`` carry the reason in ``detail``.

    ``set_aside``: rows moved out of the way, value for value. ``shared_added``: per table, how many
    absent shared rows were added.
    """

    result: Literal["restored", "refused", "failed"]
    detail: str = ""
    rows: int = 0
    set_aside: tuple[SetAside, ...] = ()
    shared_added: dict[str, int] = {}


class Traceable(Protocol):
    """What a backup system may do besides: tell what its archive holds, so that a loss can be traced.

    Nothing is judged by it. It must not go through what restores, which may be what is to blame.
    """

    async def holdings(self, after: Position | None) -> Sequence[Holding]:
        """Read the archive from ``after`` on (None: all of it). What can't be read is told, not raised."""
        ...


class Subject(Protocol):
    """A backup system under test. Every call has a limit of its own and raises SubjectFailed beyond it."""

    name: str
    flush_interval_s: float

    async def epoch(self, system_id: str, timeline: int) -> int:
        """Return the archive's ordinal for this (system id, timeline), 0 while it knows none."""
        ...

    async def watermark(self) -> Watermark | None:
        """Return the last durable watermark, or None while the archive is empty."""
        ...

    async def needs(self) -> tuple[Need, ...]:
        """Name what restores need, in order of position: each need adds objects to the ones before."""
        ...

    async def restore(self, tenant: str, cut: Cut, place: Place) -> RestoreResult:
        """Bring one tenant back to ``cut``, into the live database or the scratch one.

        Into an empty database (a fresh cluster, a new scratch one) this rebuilds schema, publication and
        identities first. Idempotent. Failures are results, not exceptions.
        """
        ...
