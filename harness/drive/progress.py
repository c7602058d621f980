"""What a drill tells whoever watches it, and the watcher that does nothing."""

from __future__ import annotations

from typing import Protocol

import msgspec

from harness.model.plan import Plan
from harness.model.verdict import DrillVerdict


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Where a drill is. ``exposure_s``: age of the oldest acked write past the watermark, 0 if none."""

    acked: int = 0
    refused: int = 0
    exposure_s: float = 0.0
    restored: int = 0
    to_restore: int = 0


class Progress(Protocol):
    """Told of each drill of a campaign; every call returns at once and raises nothing."""

    def drill(self, number: int, of: int, plan: Plan) -> None:
        """Drill ``number`` (from 1) of a campaign of ``of`` begins."""
        ...

    def phase(self, name: str) -> None:
        """The drill went on to phase ``name``, as the history names it."""
        ...

    def counts(self, counts: Counts) -> None:
        """Hear where the drill is; called about twice a second."""
        ...

    def judged(self, number: int, verdict: DrillVerdict) -> None:
        """Drill ``number`` was judged."""
        ...


class Silent:
    """Hears everything and says nothing (``Progress``)."""

    def drill(self, number: int, of: int, plan: Plan) -> None:
        """Say nothing."""

    def phase(self, name: str) -> None:
        """Say nothing."""

    def counts(self, counts: Counts) -> None:
        """Say nothing."""

    def judged(self, number: int, verdict: DrillVerdict) -> None:
        """Say nothing."""
