"""Captures that lack something, by an advanced slot or by lost offsets, and archivers that meet it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from harness.model.position import Position
from harness.simulate.feed import Connector
from harness.simulate.server import Committed
from harness.subject.reference.archiver import Archiver
from harness.subject.reference.assembler import Assembler, Transaction
from harness.subject.reference.format import Global
from harness.subject.reference.manifest import Link
from harness.subject.reference.ports import SnapshotEnd
from harness.subject.reference.restorer import Restorer

FIRST_S: Final = 2.0
LAST_S: Final = 4.5
"""Which of the cluster's transactions are passed over, by when in virtual time they were committed: some
seconds of writes, heartbeats among them."""
KEPT_S: Final = 1.5


class PassesOver(Connector):
    """Passes over some of the first cluster's transactions, as after a slot was advanced (FM-72)."""

    def publish(self, transactions: Sequence[Committed]) -> None:
        """Append transactions to the topic, without those passed over."""
        kept = [one for one in transactions if not FIRST_S <= one.at_s < LAST_S]
        if kept:
            super().publish(kept)


class OverlooksMissingBeats(Archiver):
    """Takes whatever comes for all there is."""

    def look_for_gap(self, transaction: Transaction) -> None:
        """Look at nothing."""


class _Unasking(Assembler):
    def require_asked(self, asked: int, end: SnapshotEnd) -> None:
        """Take any snapshot for one that was asked for."""


class TakesAnySnapshot(Archiver):
    """Goes on with a snapshot that nobody asked for (FM-82)."""

    assembler_kind = _Unasking


class TakesSnapshotsAtTheirWord(Restorer):
    """Takes what a snapshot holds for the state at its position."""

    def sure_from(self, link: Link, taken: Global) -> Position:  # noqa: ARG002 - it does not look
        """Return that position."""
        return taken.position


class LosesItsOffsets(Connector):
    """Loses its offsets once every ``KEPT_S``, and begins anew beside its old slot each time."""

    _kept_until_s = 0.0

    def capture(self) -> None:
        """Emit what was committed, and now and then lose the offsets."""
        super().capture()
        now_s = self._latency.clock.now_s()
        if now_s >= self._kept_until_s:
            self._kept_until_s = now_s + KEPT_S
            self.forget()
