"""Open outcomes that the history itself settles: a later statement on the same row shows what became of it.

A transaction whose outcome is open held the lock of each row it wrote until it ended. So a later one that
updated or deleted such a row found it there, and one that inserted it found it absent: either fits only
one outcome. Not so across a restore in place or a script, which change rows without a statement on them.

A commit that was settled, here or by a witness, got no upper bound of its position with its ack. The
least one of a transaction that sent its COMMIT after that serves as well.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from operator import attrgetter

import msgspec

from harness.judge.states import RowKey
from harness.judge.timeline import Timeline, Transaction
from harness.model.schema import Table


class Touch(msgspec.Struct, frozen=True, kw_only=True):
    """A row was there, or not, ``before`` and ``after`` a transaction wrote it."""

    row: RowKey
    before: bool
    after: bool


def settle(
    timeline: Timeline, tables: Mapping[str, Table], written: Sequence[Iterable[RowKey]]
) -> Timeline:
    """Return the timeline with open outcomes settled as far as they can be, and bounds filled in.

    ``written``: the rows that each transaction wrote, in order.
    """
    odd = [tx for tx in timeline.tenant_by_tenant if tx.lsn_upper is None and tx.outcome != "refused"]
    if not odd:
        return timeline
    judge = _Settler(timeline)
    for tx in _near_open_ones(timeline, written):
        judge.read(tx, touches(tx, tables))
    transactions = list(timeline.transactions)
    for tx in odd:
        transactions[tx.order] = judge.settled(tx)
    for tx in _bounded(transactions, [transactions[tx.order] for tx in odd]):
        transactions[tx.order] = tx
    return msgspec.structs.replace(timeline, transactions=tuple(transactions))


def _near_open_ones(timeline: Timeline, written: Sequence[Iterable[RowKey]]) -> list[Transaction]:
    """Return, in order, all that may have written a row that an open one wrote."""
    near: set[RowKey] = set()
    for tx in timeline.tenant_by_tenant:
        if tx.outcome == "unknown":
            near.update(written[tx.order])
    wrote = [tx for tx in timeline.tenant_by_tenant if not near.isdisjoint(written[tx.order])]
    return sorted((tx for tx in wrote if tx.outcome != "refused"), key=lambda tx: tx.order)


def _bounded(transactions: Iterable[Transaction], odd: Iterable[Transaction]) -> Iterator[Transaction]:
    """Yield those of ``odd`` that committed with an upper bound of their position, if any can be known.

    It is the least of what sent its COMMIT on their cluster when they had committed, or later.
    """
    waiting = [tx for tx in odd if tx.acked and tx.lsn_upper is None]
    mine: dict[int, list[Transaction]] = {tx.cluster: [] for tx in waiting}
    for tx in transactions if waiting else ():
        if tx.lsn_upper is not None and tx.cluster in mine:
            mine[tx.cluster].append(tx)
    least = {cluster: _Least(bounded) for cluster, bounded in mine.items()}
    for tx in waiting:
        upper = least[tx.cluster].since(tx.ended_s)
        if upper is not None:
            yield msgspec.structs.replace(tx, lsn_upper=upper)


class _Least:
    """The least upper bound among those that sent COMMIT on one cluster since some time."""

    def __init__(self, bounded: list[Transaction]) -> None:
        bounded.sort(key=_sent_s)
        self._sent_s = list(map(_sent_s, bounded))
        self._least = list(accumulate(map(_lsn_upper, reversed(bounded)), min))

    def since(self, at_s: float) -> int | None:
        """Return the least one, None when there is none."""
        later = len(self._sent_s) - bisect_left(self._sent_s, at_s)
        return self._least[later - 1] if later else None


def touches(tx: Transaction, tables: Mapping[str, Table]) -> list[Touch]:
    """Return for each row of ``tables`` that ``tx`` wrote whether it was there before and after."""
    touched: dict[RowKey, Touch] = {}
    for change in tx.changes:
        if change.table not in tables:
            continue
        if change.op != "insert":
            _touch(touched, (change.table, change.was or change.key), before=True, after=False)
        if change.row:
            _touch(touched, (change.table, change.key), before=False, after=True)
    return list(touched.values())


def _touch(touched: dict[RowKey, Touch], row: RowKey, *, before: bool, after: bool) -> None:
    first = touched[row].before if row in touched else before
    touched[row] = Touch(row=row, before=first, after=after)


_sent_s: Callable[[Transaction], float] = attrgetter("sent_s")
_lsn_upper: Callable[[Transaction], int] = attrgetter("lsn_upper")


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

    def settled(self, tx: Transaction) -> Transaction:
        """Return ``tx`` with its outcome; one that rows settle both ways stays open."""
        refused, committed_s = tx.name in self.refused, self.committed_s.get(tx.name)
        if tx.outcome != "unknown" or refused == (committed_s is not None):
            return tx
        if refused:
            return msgspec.structs.replace(tx, outcome="refused", ended_s=tx.sent_s)
        return msgspec.structs.replace(tx, outcome="acked", ended_s=committed_s)
