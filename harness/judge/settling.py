"""Open outcomes that the history itself settles: a later statement on the same row shows what became of it.

A transaction whose outcome is open held the lock of each row it wrote until it ended. So a later one that
updated or deleted such a row found it there, and one that inserted it found it absent: either fits only
one outcome. Not so across a restore in place or a script, which change rows without a statement on them.

A commit that was settled, here or by a witness, got no upper bound of its position with its ack. The
least one of a transaction that sent its COMMIT after that serves as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from harness.judge.timeline import Timeline, Transaction
from harness.model.schema import Table
from harness.model.values import Key, key_of


class Touch(msgspec.Struct, frozen=True, kw_only=True):
    """A row was there, or not, ``before`` and ``after`` a transaction wrote it."""

    row: tuple[str, Key]
    before: bool
    after: bool


def settle(timeline: Timeline, tables: Mapping[str, Table]) -> Timeline:
    """Return the timeline with open outcomes settled as far as they can be, and bounds filled in."""
    if all(tx.outcome == "refused" or tx.lsn_upper is not None for tx in timeline.transactions):
        return timeline
    judge = _Settler(timeline)
    for tx in timeline.transactions:
        if tx.outcome != "refused":
            judge.read(tx, touches(tx, tables))
    settled = tuple(judge.settled(timeline.transactions))
    return msgspec.structs.replace(timeline, transactions=tuple(_bounded(tx, settled) for tx in settled))


def _bounded(tx: Transaction, transactions: Iterable[Transaction]) -> Transaction:
    """Return ``tx`` with an upper bound of its position, if it committed and any can be known."""
    if not tx.acked or tx.lsn_upper is not None:
        return tx
    later = (
        other.lsn_upper
        for other in transactions
        if other.lsn_upper is not None and other.cluster == tx.cluster and other.sent_s >= tx.ended_s
    )
    return msgspec.structs.replace(tx, lsn_upper=min(later, default=None))


def touches(tx: Transaction, tables: Mapping[str, Table]) -> list[Touch]:
    """Return for each row of ``tables`` that ``tx`` wrote whether it was there before and after."""
    touched: dict[tuple[str, Key], Touch] = {}
    for change in tx.changes:
        if change.table not in tables:
            continue
        if change.key is not None:
            _touch(touched, (change.table, change.key), before=True, after=False)
        if change.row is not None:
            row = (change.table, key_of(change.row, tables[change.table].key))
            _touch(touched, row, before=False, after=True)
    return list(touched.values())


def _touch(
    touched: dict[tuple[str, Key], Touch], row: tuple[str, Key], *, before: bool, after: bool
) -> None:
    first = touched[row].before if row in touched else before
    touched[row] = Touch(row=row, before=first, after=after)


class _Settler:
    """Reads transactions in the order of their COMMITs, keeping for each row the last open one."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.breaks_s = sorted(
            [tx.sent_s for tx in timeline.transactions if tx.actor == "script"]
            + [restore.began_s for restore in timeline.restores if restore.in_place]
        )
        self.open: dict[tuple[str, Key], tuple[Transaction, Touch]] = {}
        self.committed_s: dict[str, float] = {}
        self.refused: set[str] = set()

    def read(self, tx: Transaction, touched: Iterable[Touch]) -> None:
        """Let what ``tx`` found of each row settle the open transaction before it on that row."""
        for touch in touched:
            earlier = self.open.pop(touch.row, None)
            if earlier is not None and self._comparable(earlier[0], tx):
                self._settle(*earlier, touch, tx)
            if tx.outcome == "unknown":
                self.open[touch.row] = (tx, touch)

    def _comparable(self, earlier: Transaction, tx: Transaction) -> bool:
        between = any(earlier.sent_s <= at_s <= tx.sent_s for at_s in self.breaks_s)
        return self.timeline.same_rows(earlier.cluster, tx.cluster) and not between

    def _settle(self, earlier: Transaction, then: Touch, now: Touch, tx: Transaction) -> None:
        if then.after != now.before:
            self.refused.add(earlier.name)
        elif then.before != then.after:
            self.committed_s.setdefault(earlier.name, tx.sent_s)

    def settled(self, transactions: Sequence[Transaction]) -> Iterator[Transaction]:
        """Yield all transactions; one that rows settle both ways stays open."""
        for tx in transactions:
            refused, committed_s = tx.name in self.refused, self.committed_s.get(tx.name)
            if tx.outcome != "unknown" or refused == (committed_s is not None):
                yield tx
            elif refused:
                yield msgspec.structs.replace(tx, outcome="refused", ended_s=tx.sent_s)
            else:
                yield msgspec.structs.replace(tx, outcome="acked", ended_s=committed_s)
