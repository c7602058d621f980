"""A capture that passes over commits, as one with an advanced slot does, and archivers that meet it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from harness.simulate.feed import Connector
from harness.simulate.server import Committed
from harness.subject.reference.archiver import Archiver
from harness.subject.reference.assembler import Transaction

FIRST_S: Final = 2.0
LAST_S: Final = 4.5
"""Which of the cluster's transactions are passed over, by when in virtual time they were committed: some
seconds of writes, heartbeats among them."""


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
