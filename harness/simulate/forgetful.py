"""An archiver that is wrong only in a combination: a kind of script, a fault, and the moment of both.

Its near miss sees the same things and forgets nothing.
"""

from __future__ import annotations

import math
from typing import Final

from harness.subject.reference.archiver import Archiver
from harness.subject.reference.assembler import Transaction
from harness.subject.reference.format import SHARED
from harness.subject.reference.ports import End, FeedEvent

LASTS_S: Final = 1.0
"""For so long after a repetition more of them are expected."""


class NoticesRepetitions(Archiver):
    """Near miss: sees that the feed repeats itself, as it does after a restart, and for how long."""

    _until_s = -math.inf

    def take(self, event: FeedEvent) -> None:
        """Take one event, and note one that ends what was archived already."""
        last = self.assembler.last
        if isinstance(event, End) and last is not None and event.lsn <= last.lsn:
            self._until_s = self.clock.now_s() + LASTS_S
        super().take(event)

    @property
    def repeats(self) -> bool:
        """Whether the feed repeated itself a moment ago."""
        return self.clock.now_s() <= self._until_s


class ForgetsAmongRepetitions(NoticesRepetitions):
    """While the feed repeats itself, takes what several tenants share in for repeated too, and drops it.

    Only a script writes to several tenants at once; only what it did to tenants that are not cut before it
    (a mark that was meant) is missed; and only a transaction that follows a repetition soon.
    """

    def admit(self, transaction: Transaction) -> None:
        """Add a transaction to the batch, unless it is one of those."""
        owners = {owner for owner in self.owners.split(transaction).parts if owner != SHARED}
        if not (self.repeats and len(owners) > 1 and not transaction.snapshot):
            super().admit(transaction)
