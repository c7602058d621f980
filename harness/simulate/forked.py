"""Parts that go wrong only where one timeline ends and the next begins, and some that only look wrong.

A capture, an archiver and a pair of databases, each wrong in one decision, to be found by drills that lose
their primary.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

from harness.model.position import Position
from harness.simulate.feed import Connector
from harness.simulate.latency import Latency
from harness.simulate.server import Committed, Server, Work
from harness.subject.reference.archiver import Archiver
from harness.subject.reference.assembler import Assembler, Transaction
from harness.subject.reference.epochs import Epochs

BEHIND_FROM_S: Final = 10.4
"""When in its world's virtual life a standby falls behind: just before the script of a plan by hand."""

BEHIND_S: Final = 2.5
LAGS_S: Final = 1.0
"""So much later than it says a standby has got what it answers for: a few transactions of a short drill."""


class RunsAhead(Connector):
    """Captures what the standby has not got yet: no slot of it holds the capture back (FM-20)."""

    async def caught_up(self) -> None:
        """Wait for nobody."""


class SendsAllAgain(Connector):
    """Near miss: goes on from the very beginning of its slot after each restart."""

    def resume(self, server: Server, *, again: int) -> None:
        """Send much more once more than was asked for."""
        super().resume(server, again=again + 10_000)


class _Blind(Epochs):
    def _require_no_ghost(self, fork_lsn: int, timeline: int) -> None:
        """Look the other way."""


class _Trusting(Assembler):
    epochs_kind = _Blind


class MergesHistories(Archiver):
    """Takes what the old timeline had beyond the fork for a part of the new one's past (FM-26)."""

    assembler_kind = _Trusting


class FoldsAwayByLsn(Archiver):
    """Takes a transaction for a repetition when its LSN is not beyond the highest one, of any epoch."""

    _highest = 0

    async def resume(self) -> None:
        """Go on, and remember the highest LSN of the archive."""
        await super().resume()
        self._highest = self.last.entry.end.lsn if self.last else 0

    def admit(self, transaction: Transaction) -> None:
        """Add a transaction whose position is beyond all others."""
        if transaction.beat is not None or transaction.position.lsn > self._highest:
            super().admit(transaction)
        self._highest = max(self._highest, transaction.position.lsn)


class FoldsAwayByPosition(Archiver):
    """Near miss: folds such a transaction away as well, but by epoch and LSN together."""

    _highest = Position(epoch=0, lsn=0)

    def admit(self, transaction: Transaction) -> None:
        """Add a transaction that lies beyond all others."""
        if transaction.beat is not None or transaction.position > self._highest:
            super().admit(transaction)
        self._highest = max(self._highest, transaction.position)


class LosesAckedWrites(Server):
    """Its standby answers for commits that it has not got: the last ones are lost in a failover (FM-17)."""

    def had(self, chance: Random) -> Sequence[Committed]:
        """Return what the standby had, up to some time before the last commit that somebody waited for."""
        had = list(super().had(chance))
        while had and (had[-1].heartbeat is not None or had[-1].lsn > self.standby.lsn):
            had.pop()
        return [one for one in had if one.at_s < had[-1].at_s - LAGS_S]


class LosesWhatNobodyWasTold(Server):
    """Near miss: its standby has what was waited for, and not one byte more."""

    def had(self, chance: Random) -> Sequence[Committed]:
        """Return the least that a standby can have."""
        return [one for one in super().had(chance) if one.lsn <= self.standby.lsn]


class FallsBehind(LosesWhatNobodyWasTold):
    """Its standby gets everything late, from ``BEHIND_FROM_S`` on; so a capture can run ahead of it."""

    async def acknowledged(self, work: Work, latency: Latency) -> None:
        """Wait for a slow standby; the one that is promoted has none, and is quick."""
        if self.timeline == 1 and latency.clock.now_s() > BEHIND_FROM_S:
            await latency.clock.sleep(BEHIND_S)
            self.demand_alive()  # what the standby of a dead primary had not got by then, it never gets
        await super().acknowledged(work, latency)
