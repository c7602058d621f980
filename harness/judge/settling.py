"""Open outcomes that the history itself settles: a later statement on the same row shows what became of it.

A transaction whose outcome is open held the lock of each row it wrote until it ended. So a later one that
updated or deleted such a row found it there, and one that inserted it found it absent: either fits only
one outcome. Not so across a restore in place or a script, which change rows without a statement on them.

A commit that was settled, here or by a witness, got no upper bound of its position with its ack. The
least one of a transaction that sent its COMMIT after that serves as well.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable
from itertools import accumulate

import msgspec

from harness.judge.timeline import NEVER, Begin, Timeline, Transaction, in_order
from harness.model.values import RowKey


class Touch(msgspec.Struct, frozen=True, kw_only=True):
    """A row was there, or not, ``before`` and ``after`` a transaction wrote it."""

    row: RowKey
    before: bool
    after: bool


def settle(timeline: Timeline, owned: Begin) -> None:
    """Settle open outcomes in place, as far as they can be, and fill in bounds."""
    odd = [tx for tx in timeline.in_doubt if tx.lsn_upper is None and tx.outcome != "refused"]
    if odd:
        judge = _Settler(timeline)
        for tx in _near_open_ones(timeline):
            judge.read(tx, touches(tx, owned))
        for tx in odd:
            judge.settle(tx)
        _bound(timeline, odd)


def _near_open_ones(timeline: Timeline) -> list[Transaction]:
    """Return, in order, all that may have written a row that an open one wrote."""
    near: set[RowKey] = set()
    for tx in timeline.in_doubt:
        if tx.outcome == "unknown":
            near.update(tx.writes)
    wrote = [tx for tx in timeline.tenant_by_tenant if not near.isdisjoint(tx.writes)]
    return sorted((tx for tx in wrote if tx.outcome != "refused"), key=in_order)


def _bound(timeline: Timeline, settled: Iterable[Transaction]) -> None:
    """Give those of ``settled`` that committed an upper bound of their position, if any can be known.

    It is the least of what sent its COMMIT on their cluster when they had committed, or later.
    """
    waiting: dict[int, list[Transaction]] = defaultdict(list)
    for tx in settled:
        if tx.acked:
            waiting[tx.cluster].append(tx)
    for cluster, mine in waiting.items():
        uppers = _least_since((tx.ended_s for tx in mine), cluster, timeline.tenant_by_tenant)
        for tx in mine:
            if (upper := uppers[tx.ended_s]) < NEVER:
                tx.lsn_upper = int(upper)


def _least_since(
    instants_s: Iterable[float], cluster: int, transactions: Iterable[Transaction]
) -> dict[float, float]:
    """Return, by instant, the least upper bound of what sent COMMIT on the cluster since, or NEVER."""
    since_s = sorted(set(instants_s))
    least = [NEVER] * (len(since_s) + 1)
    for tx in transactions:
        if (
            (upper := tx.lsn_upper) is not None
            and tx.cluster == cluster
            # a place is of those that sent since the instant before it
            and upper < least[place := bisect_right(since_s, tx.sent_s)]
        ):
            least[place] = upper
    return dict(zip(reversed(since_s), accumulate(reversed(least), min), strict=False))


def touches(tx: Transaction, owned: Begin) -> list[Touch]:
    """Return for each row of ``owned`` tables that ``tx`` wrote whether it was there before and after."""
    touched: dict[RowKey, Touch] = {}
    for change in tx.changes:
        if not change.key.startswith(owned):
            continue
        if change.op != "insert":
            _touch(touched, change.was or change.key, before=True, after=False)
        if change.row:
            _touch(touched, change.key, before=False, after=True)
    return list(touched.values())


def _touch(touched: dict[RowKey, Touch], row: RowKey, *, before: bool, after: bool) -> None:
    first = touched[row].before if row in touched else before
    touched[row] = Touch(row=row, before=first, after=after)


class _Settler:
    """Reads transactions in the order of their COMMITs, keeping for each row the last open one.

    Those that write no such row need not be read.
    """

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.breaks_s = sorted(
            [tx.sent_s for tx in timeline.of_scripts]
            + [restore.began_s for restore in timeline.restores if restore.in_place]
        )
        self.open: dict[RowKey, tuple[Transaction, Touch]] = {}
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
        first = bisect_left(self.breaks_s, earlier.sent_s)
        between = first < len(self.breaks_s) and self.breaks_s[first] <= tx.sent_s
        return self.timeline.same_rows(earlier.cluster, tx.cluster) and not between

    def _settle(self, earlier: Transaction, then: Touch, now: Touch, tx: Transaction) -> None:
        if then.after != now.before:
            self.refused.add(earlier.name)
        elif then.before != then.after:
            self.committed_s.setdefault(earlier.name, tx.sent_s)

    def settle(self, tx: Transaction) -> None:
        """Give ``tx`` its outcome; one that rows settle both ways stays open."""
        refused, committed_s = tx.name in self.refused, self.committed_s.get(tx.name)
        if tx.outcome == "unknown":
            if refused and committed_s is None:
                tx.outcome, tx.ended_s = "refused", tx.sent_s
            elif committed_s is not None and not refused:
                tx.outcome, tx.ended_s = "acked", committed_s
