"""A capture that passes over commits, as one with an advanced slot does, and archivers that meet it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from harness.simulate.feed import Connector
from harness.simulate.server import Committed
from harness.subject.reference.archiver import Archiver
from harness.subject.reference.assembler import Transaction

FIRST: Final = 150
LAST: Final = 230
"""Which of the cluster's transactions are passed over: some seconds of writes, heartbeats among them."""


class PassesOver(Connector):
    """Passes over some of the first cluster's transactions, as after a slot was advanced (FM-72)."""

    _seen = 0

    def publish(self, transactions: Sequence[Committed]) -> None:
        """Append transactions to the topic, without those passed over."""
        numbered = list(enumerate(transactions, self._seen))
        self._seen += len(transactions)
        kept = [one for number, one in numbered if not FIRST <= number < LAST]
        if kept:
            super().publish(kept)


class OverlooksMissingBeats(Archiver):
    """Takes whatever comes for all there is."""

    def look_for_gap(self, transaction: Transaction) -> None:
        """Look at nothing."""
