"""The table of epochs, and to which of them a transaction belongs. Pure.

Most transactions say nothing of their timeline, only heartbeats do, and after a failover the first ones
come before any heartbeat. But the heartbeat also says where its timeline forked off: what lies after that
position belongs to the new epoch, what lies before it to the old one, and no position is in both. A
transaction of the old timeline beyond the fork never happened on the new one: it is a *ghost* (FM-20,
FM-26). It can't be told from one of the new timeline by its position alone, since those are given again
(FM-25), but by the order of the feed: the new timeline is read from before the fork on, so whatever lay
beyond it before that and is not repeated afterwards was a ghost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from harness.model.errors import ArchiverStopped
from harness.model.position import format_lsn, parse_lsn
from harness.model.values import RawRow
from harness.subject.reference.format import Epoch
from harness.subject.reference.repair import RESNAPSHOT

SEEN_MAX: Final = 500_000
"""Transactions between two heartbeats that are kept in mind."""


class Epochs:
    """Follows which epoch a feed is in. ``durable_lsn``: what the archive holds of the newest one."""

    def __init__(self, known: Sequence[Epoch] = (), *, durable_lsn: int = 0) -> None:
        self.known = tuple(known)
        self.begun: Epoch | None = None
        self._sure_lsn = durable_lsn
        self._seen: deque[tuple[int, int]] = deque(maxlen=SEEN_MAX)

    @property
    def clusters(self) -> set[str]:
        """System ids of all clusters so far."""
        return {epoch.system_id for epoch in self.known}

    def of(self, row: RawRow) -> Epoch | None:
        """Return the epoch of a heartbeat's row, None if there was none of it before."""
        here = _cluster_in(row)
        return next((epoch for epoch in self.known if (epoch.system_id, epoch.timeline) == here), None)

    def at(self, lsn: int) -> int:
        """Return the ordinal of the epoch of a transaction at ``lsn`` that has no heartbeat in it."""
        number = len(self.known)
        while number > 1 and _lies_before(lsn, self.known[number - 1], self.known[number - 2]):
            number -= 1
        return number

    def saw(self, lsn: int, xid: int) -> None:
        """Note the end of a transaction in the feed, repeated or not."""
        self._seen.append((lsn, xid))

    def beat(self, row: RawRow, *, is_new: bool, voids: bool = False) -> int:
        """Return the ordinal of a heartbeat's epoch; raises ArchiverStopped when its fork shows ghosts.

        ``begun`` is then that epoch, if it was never seen before. ``is_new``: it is no repetition.
        ``voids``: it is in a snapshot, which stands for everything before it, ghosts included.
        """
        known = self.of(row)
        if known is not None:
            if is_new and known is self.known[-1]:
                self._all_sure()
            return known.ordinal
        system_id, timeline = _cluster_in(row)
        forked_at = row.get("forked_at")
        fork_lsn = parse_lsn(forked_at) if forked_at else None
        goes_on = bool(self.known) and self.known[-1].system_id == system_id
        if fork_lsn is not None and goes_on and not voids:
            self._require_no_ghost(fork_lsn, timeline)
        ordinal = len(self.known) + 1
        self.begun = Epoch(ordinal=ordinal, system_id=system_id, timeline=timeline, fork_lsn=fork_lsn)
        self.known += (self.begun,)
        self._sure_lsn = 0
        self._all_sure()
        return ordinal

    def _all_sure(self) -> None:
        """Whatever came until now is of the newest timeline, or of one before it."""
        self._sure_lsn = max([self._sure_lsn, *(lsn for lsn, _ in self._seen)])
        self._seen.clear()

    def _require_no_ghost(self, fork_lsn: int, timeline: int) -> None:
        seen = [*self._seen]
        seam = max((n for n, (lsn, _) in enumerate(seen) if lsn <= fork_lsn), default=-1)
        repeated = set(seen[seam:])
        ghosts = [one for one in seen[: max(seam, 0)] if one[0] > fork_lsn and one not in repeated]
        last = max([self._sure_lsn, *(lsn for lsn, _ in ghosts)])
        if last > fork_lsn:
            fork = format_lsn(fork_lsn)
            raise ArchiverStopped(
                f"the feed brought transactions up to {format_lsn(last)}, but timeline {timeline} forked"
                f" off at {fork}: what lies between never happened there (FM-20, FM-26)",
                cure=f"{RESNAPSHOT}; until then restore up to {fork} at most, and see that"
                " synchronized_standby_slots names the standby's slot",
            )


def _lies_before(lsn: int, epoch: Epoch, before: Epoch) -> bool:
    """Whether a position lies before the fork of ``epoch``, which goes on from ``before``."""
    return epoch.fork_lsn is not None and lsn <= epoch.fork_lsn and before.system_id == epoch.system_id


def _cluster_in(row: RawRow) -> tuple[str, int]:
    """Return system id and timeline in a heartbeat's row."""
    return row.get("system_id") or "", int(row.get("timeline") or 0)
