"""How a capture is repaired that lost something: a fresh snapshot stands for it. Here are the words. Pure.

What was lost can't be had again, and is never skipped in silence: the archiver stops. After the repair the
feed goes on later than the archive ends, with a snapshot first. That snapshot is archived under the epoch
it was taken in; cuts between the end of the archive and the snapshot are refused from then on.

A snapshot that was asked for is known by its number, which the heartbeat row carries and each asking makes
larger. One that comes by itself has the number of the one before: the connector has lost its offsets.
Even one that was asked for may have been interrupted and begun anew, beside its slot by then: so it is
archived only together with the first heartbeat newer than its rows, and a cut before that is refused.
"""

from __future__ import annotations

from typing import Final

from harness.model.errors import ArchiverStopped
from harness.model.position import format_lsn
from harness.subject.reference.format import Beat

RESNAPSHOT: Final = (
    "restoreproof archive resnapshot --config FILE, then start the archiver again: a fresh snapshot of all"
    " captured tables stands for what is lost"
)


class Beats:
    """Sees that no heartbeat is missing: each counts one further, so a gap in counts is a gap in the feed.

    A slot that was dropped, advanced or made anew, and whatever else passes over committed transactions,
    shows itself in this within two heartbeats. ``last``: the newest one in the archive, of ``epoch``.
    ``awaits_newer``: a snapshot that was asked for has come, and no heartbeat newer than its rows.
    """

    def __init__(self, last: Beat | None = None, epoch: int = 0) -> None:
        self._last = last.beat if last is not None else None
        self._epoch = epoch
        self._newest_read: int | None = None

    @property
    def awaits_newer(self) -> bool:
        """See the class."""
        return self._newest_read is not None

    def take(self, beat: Beat, epoch: int) -> None:
        """Take the next heartbeat into account; raises ArchiverStopped when some before it never came.

        On a new timeline the count may go back, with what was not replicated; never forward.
        """
        before, self._last = self._last, beat.beat
        same, self._epoch = epoch == self._epoch, epoch
        if self._newest_read is not None and (not same or beat.beat > self._newest_read):
            self._newest_read = None
        if same and before is not None and beat.beat > before + 1:
            raise ArchiverStopped(
                f"heartbeat {beat.beat} follows {before}: what was committed between them never came; a"
                " slot was dropped, advanced or made anew, or the feed lost something (FM-27, FM-72)",
                cure=RESNAPSHOT,
            )

    def begin(self, beat: Beat | None, epoch: int, *, asked: int = 0) -> None:
        """Begin anew with a snapshot, which stands for everything before it; ``asked``: its number."""
        self._last, self._epoch = (beat.beat if beat is not None else None), epoch
        self._newest_read = self._last if asked else None


def gap_words(start: int, archived: int) -> str:
    """Say that the feed goes on at offset ``start``, and the archive ends before ``archived``."""
    return (
        f"the feed goes on at offset {start}, but the archive ends before offset {archived}: what lies"
        " between is lost (FM-76, FM-83)"
    )


def unasked_words(lsn: int) -> str:
    """Say that a snapshot came by itself."""
    return (
        f"the feed begins anew with a snapshot at {format_lsn(lsn)} that nobody asked for: the connector"
        " has lost its offsets, and beside its old slot rows that went while it began are missing (FM-82)"
    )
