"""From feed events to whole transactions, each with its position. No I/O, no clock.

A transaction's pieces are gathered by xid and merged by their order in it; END's count decides whether it
is whole, END's LSN is its position. The feed may repeat itself: what lies at or before the last position of
its epoch is folded away. A capture that restarted in the middle of a transaction sends older ones again,
then that one, perhaps without BEGIN: so an incomplete transaction followed by another is dropped and must
come again *before* anything new (FM-46, FM-47, FM-79). The initial snapshot is one pseudo-transaction, and
one that was interrupted is void as a whole. Heartbeat rows say from which cluster and timeline the feed is.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from harness.model.errors import ArchiverStopped
from harness.model.position import Position, format_lsn
from harness.model.values import RawRow
from harness.subject.reference.epochs import Epochs
from harness.subject.reference.format import Beat, Epoch
from harness.subject.reference.ports import (
    Begin,
    End,
    FeedEvent,
    MessageEvent,
    RowEvent,
    SnapshotBegin,
    SnapshotEnd,
    TruncateEvent,
    Unreadable,
)
from harness.subject.reference.repair import RESNAPSHOT, unasked_words

HEARTBEAT_TABLE = "restoreproof.heartbeat"

Piece = RowEvent | TruncateEvent | MessageEvent


class Transaction(msgspec.Struct, frozen=True, kw_only=True):
    """A whole transaction: its events in order. ``xid`` is 0 for a snapshot.

    ``beat`` is set when it wrote the heartbeat row; ``catalogue`` is the digest in that row, if any;
    ``asked`` is a snapshot's number in it.
    """

    xid: int
    position: Position
    events: tuple[Piece, ...]
    committed_ms: int | None = None
    snapshot: bool = False
    beat: Beat | None = None
    catalogue: str = ""
    asked: int = 0


class _Open:
    """A transaction, or a snapshot, whose end has not come yet."""

    def __init__(self, *, xid: int, offset: int) -> None:
        self.xid, self.offset = xid, offset
        self.pieces: dict[int, Piece] = {}

    def add(self, piece: Piece) -> None:
        """Merge a piece by its order; snapshot rows have none and are numbered as they come."""
        order = piece.order if self.xid else len(self.pieces) + 1
        self.pieces[order] = piece

    def in_order(self) -> tuple[Piece, ...]:
        return tuple(self.pieces[order] for order in sorted(self.pieces))


class Assembler:
    """Takes events one by one and gives transactions in commit order.

    ``epochs``: those known to the archive. ``last``: the position up to which it is complete.
    ``expects_snapshot``: whether this feed must begin with one (an archive, or a feed, that is new).
    ``gap``: what is lost before this feed goes on, if anything is: only a snapshot can stand for it.
    ``asked``: the number of the newest snapshot in the archive.
    """

    epochs_kind: type[Epochs] = Epochs

    def __init__(
        self,
        *,
        epochs: tuple[Epoch, ...] = (),
        last: Position | None = None,
        expects_snapshot: bool = True,
        gap: str = "",
        asked: int = 0,
    ) -> None:
        self._epochs = self.epochs_kind(epochs, durable_lsn=last.lsn if last else 0)
        self.last = last
        self._expects_snapshot = expects_snapshot
        self._gap = gap
        self._asked = asked
        self._open: _Open | None = None
        self._awaited: int | None = None

    @property
    def epochs(self) -> tuple[Epoch, ...]:
        """All epochs so far."""
        return self._epochs.known

    def take_begun(self) -> Epoch | None:
        """Return the epoch that has begun since the last call, if one has."""
        begun, self._epochs.begun = self._epochs.begun, None
        return begun

    @property
    def open_offset(self) -> int | None:
        """Offset of the first piece of what is not complete yet; a restarted reader must see it again."""
        return None if self._open is None else self._open.offset

    def take(self, event: FeedEvent) -> Transaction | None:
        """Take the next event; return the transaction that it completes, if it is a new one.

        Raises ArchiverStopped when the feed can't be followed any further.
        """
        match event:
            case RowEvent() | TruncateEvent() | MessageEvent():
                self._continue(event.xid, event.offset).add(event)
            case Begin():
                self._continue(event.xid, event.offset)
            case End():
                return self._end(event)
            case SnapshotBegin():
                self._open = _Open(xid=0, offset=event.offset)
            case SnapshotEnd():
                return self._end_snapshot(event)
            case Unreadable():
                raise ArchiverStopped(
                    f"the feed at offset {event.offset} can't be carried: {event.reason}",
                    cure=f"mend the cause, then: {RESNAPSHOT}",
                )
        return None

    def _continue(self, xid: int, offset: int) -> _Open:
        if self._open is None or self._open.xid != xid:
            self._abandon()
            self._open = _Open(xid=xid, offset=offset)
        return self._open

    def _abandon(self) -> None:
        """Drop what is open, and remember that it must come again."""
        if self._open is not None and self._open.xid:
            self._awaited = self._open.xid
        self._open = None

    def _end(self, end: End) -> Transaction | None:
        pieces = self._continue(end.xid, end.offset).in_order()
        self._open = None
        self._epochs.saw(end.lsn, end.xid)
        beat, epoch = self._epoch_of(pieces, end)
        position = Position(epoch=epoch, lsn=end.lsn)
        if self.last is not None and position <= self.last:
            if end.xid == self._awaited:
                self._awaited = None  # what had come in part was a repetition itself
            return None
        if len(pieces) != end.count:
            self._awaited = end.xid
            return None
        self._require_no_gap(end)
        return self._whole(
            Transaction(
                xid=end.xid,
                position=position,
                events=pieces,
                committed_ms=end.committed_ms,
                beat=beat,
                catalogue=_catalogue_in(pieces),
            )
        )

    def _whole(self, transaction: Transaction) -> Transaction:
        self._awaited = None
        self.last = transaction.position
        return transaction

    def _require_no_gap(self, end: End) -> None:
        if self._gap:
            raise ArchiverStopped(
                f"{self._gap}; transaction {end.xid} follows, and no snapshot", cure=RESNAPSHOT
            )
        if self._expects_snapshot:
            raise ArchiverStopped(
                f"the feed is new and begins with transaction {end.xid}, not with a snapshot: what"
                " came before is in no archive",
                cure="start the capture with snapshot.mode=initial on a new slot",
            )
        if self._awaited not in (None, end.xid):
            raise ArchiverStopped(
                f"transaction {self._awaited} came in part and never again, and {end.xid} at"
                f" {format_lsn(end.lsn)} follows: the feed has lost something",
                cure=RESNAPSHOT,
            )

    def _end_snapshot(self, end: SnapshotEnd) -> Transaction | None:
        pieces = self._open.in_order() if self._open is not None and not self._open.xid else ()
        self._open = None
        asked = self._number(pieces, end)
        beat, epoch = self._epoch_of(pieces, end)
        position = Position(epoch=epoch, lsn=end.lsn)
        self._expects_snapshot, self._gap = False, ""
        if self.last is not None and position <= self.last:
            return None
        self._asked = max(self._asked, asked)
        return self._whole(
            Transaction(
                xid=0,
                position=position,
                events=pieces,
                snapshot=True,
                beat=beat,
                asked=asked,
            )
        )

    def _number(self, pieces: tuple[Piece, ...], end: SnapshotEnd) -> int:
        """Return a snapshot's number; raises ArchiverStopped for one that came by itself.

        The first one of a cluster never did. One that is in the archive, and comes again, is folded away
        like anything else.
        """
        row = next(_heartbeats(pieces), {})
        asked, epoch = int(row.get("asked") or 0), self._epochs.of(row)
        again = epoch is not None and self.last is not None and _at(epoch, end.lsn) <= self.last
        if not again and row.get("system_id") in self._epochs.clusters:
            self.require_asked(asked, end)
        return asked

    def require_asked(self, asked: int, end: SnapshotEnd) -> None:
        """Raise ArchiverStopped for a snapshot that nobody asked for, by its number."""
        if asked <= self._asked:
            raise ArchiverStopped(unasked_words(end.lsn), cure=RESNAPSHOT)

    def _epoch_of(self, pieces: tuple[Piece, ...], end: End | SnapshotEnd) -> tuple[Beat | None, int]:
        """Return the heartbeat in ``pieces``, if any, and the epoch that they belong to."""
        row = next(_heartbeats(pieces), None)
        if row is None:
            if isinstance(end, SnapshotEnd):
                raise ArchiverStopped(
                    f"the snapshot at {format_lsn(end.lsn)} holds no row of {HEARTBEAT_TABLE}, so its"
                    " cluster is unknown",
                    cure="prepare the capture (capture_sql) before the connector's first start",
                )
            return None, self._epochs.at(end.lsn)
        is_new = self.last is None or end.lsn > self.last.lsn
        ordinal = self._epochs.beat(row, is_new=is_new, voids=isinstance(end, SnapshotEnd))
        return Beat(beat=int(row["beat"] or 0), at=row["at"] or ""), ordinal


def _at(epoch: Epoch, lsn: int) -> Position:
    return Position(epoch=epoch.ordinal, lsn=lsn)


def _catalogue_in(pieces: tuple[Piece, ...]) -> str:
    row = next(_heartbeats(pieces), {})
    return row.get("catalogue") or ""


def _heartbeats(pieces: tuple[Piece, ...]) -> Iterator[RawRow]:
    for piece in pieces:
        if isinstance(piece, RowEvent) and piece.table == HEARTBEAT_TABLE and piece.after:
            yield piece.after
