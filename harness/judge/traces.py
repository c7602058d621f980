"""Where a write was seen on its way into the archive, by what the stages held (``model.stages``).

A transaction is found in a stage by its xid and by its position, which must lie between the bounds that the
history holds; since xids and LSNs repeat, only among clusters whose rows went on. Rows that were there
before the capture began came with its snapshot, under no xid: they are found by their keys.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

import msgspec

from harness.judge.timeline import Timeline, Transaction
from harness.model.history import ClusterSeen
from harness.model.stages import (
    AnyStage,
    ArchiveRead,
    InSegment,
    InTopic,
    Mark,
    SegmentUnreadable,
    TopicRead,
    WalSeen,
)
from harness.model.values import Image, RowKey, row_key, table_of

XID_MASK = 0xFFFF_FFFF
"""Feed and archive know the lower half of an xid."""

SNAPSHOT = 0
SWAP_S = 1.0
"""So much later than its restore was answered may a swap be told of."""


class Marked(Protocol):
    """What holds rows of a transaction: a topic or a segment."""

    @property
    def marks(self) -> tuple[Mark, ...]: ...


M = TypeVar("M", InTopic, InSegment)


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """One transaction, as far as it concerns one tenant, in topic and archive.

    ``topic``, ``segment``: where the most of it was found, None where nothing was; ``untold``, ``unkept``:
    its rows that are lacking there.
    """

    tx: Transaction
    tenant: str | None
    topic: InTopic | None
    untold: tuple[RowKey, ...]
    segment: InSegment | None
    unkept: tuple[RowKey, ...]


class Stages:
    """What the stages held, indexed. ``none``: nothing was stored, so that nothing can be told."""

    def __init__(self, stages: Iterable[AnyStage], timeline: Timeline) -> None:
        self._timeline = timeline
        self._by_kind: dict[type, list[AnyStage]] = defaultdict(list)
        self._told: dict[int, list[InTopic]] = defaultdict(list)
        self._kept: dict[int, list[InSegment]] = defaultdict(list)
        for stage in stages:
            self._by_kind[type(stage)].append(stage)
            if isinstance(stage, InTopic):
                self._told[stage.xid].append(stage)
            elif isinstance(stage, InSegment):
                self._kept[stage.xid].append(stage)
        self.none = not self._by_kind
        self.readings = [s for s in self._by_kind[TopicRead] if isinstance(s, TopicRead)]
        self.wals = [s for s in self._by_kind[WalSeen] if isinstance(s, WalSeen)]
        self.archives = [s for s in self._by_kind[ArchiveRead] if isinstance(s, ArchiveRead)]
        self.unreadable = [s for s in self._by_kind[SegmentUnreadable] if isinstance(s, SegmentUnreadable)]

    @property
    def read_wholly(self) -> bool:
        """Whether each topic was read from its beginning to its end."""
        return bool(self.readings) and not any(one.why_not or one.first for one in self.readings)

    def trace(
        self, tx: Transaction, tenant: str | None, rows: Mapping[RowKey, Image | None], *, whole: bool
    ) -> Trace:
        """Find a transaction with these rows. ``whole``: that each of them must be told row by row."""
        tx = self._swap_of(tx, rows) if tx.actor == "restore" else tx
        topic = _fullest(self._topics_with(tx) or _holding(self._snapshots(tx), rows), rows)
        segments = [one for one in self._segments_with(tx) if one.tenant == tenant]
        snapshots = (one for one in self._kept_snapshots(tx) if one.tenant == tenant)
        segment = _fullest(segments or _holding(snapshots, rows), rows)
        return Trace(
            tx=tx,
            tenant=tenant,
            topic=topic,
            untold=_lacking(topic, rows) if topic and whole else (),
            segment=segment,
            unkept=_lacking(segment, rows) if segment and whole else (),
        )

    def reading_of(self, tx: Transaction) -> TopicRead | None:
        """Return the reading of the topic in which the transaction should be."""
        return next((r for r in self.readings if self._timeline.same_rows(tx.cluster, r.cluster)), None)

    def wal_of(self, tx: Transaction) -> WalSeen | None:
        """Return how far the WAL of the transaction's cluster was seen to be flushed."""
        same = (w for w in self.wals if self._timeline.same_rows(tx.cluster, w.cluster))
        return next((wal for wal in same if not wal.why_not), None)

    def goes_on_to(self, reading: TopicRead) -> int:
        """Return the highest position in a reading of a topic, 0 for an empty one."""
        told = self._all_told()
        return max((one.lsn or 0 for one in told if one.cluster == reading.cluster), default=0)

    def fork_after(self, tx: Transaction) -> int | None:
        """Return where the timeline of the transaction ended by a failover, None where none is known."""
        timelines = {seen.cluster: seen.timeline for seen in self._timeline.of(ClusterSeen)}
        wal = self.wal_of(tx)
        return wal.forks.get(timelines.get(tx.cluster, 0)) if wal else None

    def is_beyond_fork(self, tx: Transaction) -> bool:
        """Whether the transaction lay beyond the end of its timeline, so that its successor lacks it.

        Known exactly where the topic has it; by its upper bound else.
        """
        fork_lsn = self.fork_after(tx)
        if fork_lsn is None:
            return False
        exact = next((one.lsn for one in self._topics_with(tx) if one.lsn is not None), tx.lsn_upper)
        return (tx.lsn_lower if exact is None else exact) >= fork_lsn

    def ghost(self) -> tuple[InTopic, Transaction | None, int] | None:
        """Return what a topic had before its primary was lost, and its successor never got.

        With the transaction that it is, if the history knows one, and where the successor went on.
        """
        for wal in self.wals:
            for timeline, fork_lsn in wal.forks.items():
                until_s = self._lost_s(timeline)
                beyond = [
                    one
                    for one in self._all_told()
                    if self._timeline.same_rows(one.cluster, wal.cluster)
                    and (one.lsn or 0) >= fork_lsn
                    and one.at_s <= until_s
                ]
                if beyond:
                    first = min(beyond, key=lambda one: one.first)
                    return first, self._known(first), fork_lsn
        return None

    def disordered(self) -> list[tuple[InTopic, InTopic]]:
        """Return what came into a topic only after one that was committed later, each with that one.

        What came before, and is sent again, does not count; nor does anything where there was a ghost.
        """
        found: list[tuple[InTopic, InTopic]] = []
        highest: dict[int, InTopic] = {}
        before: set[tuple[int, int]] = set()
        for one in sorted((o for o in self._all_told() if o.lsn and o.xid), key=lambda one: one.first):
            high = highest.get(one.cluster)
            if high is None or (one.lsn or 0) > (high.lsn or 0):
                highest[one.cluster] = one
            elif (one.xid, one.lsn or 0) not in before:
                found.append((one, high))
            before.add((one.xid, one.lsn or 0))
        return [] if self.ghost() is not None else found

    def _lost_s(self, timeline: int) -> float:
        """Return when the primary on ``timeline`` was lost, or another one was seen at the latest."""
        later = [seen.at_s for seen in self._timeline.of(ClusterSeen) if seen.timeline > timeline]
        return min([self._timeline.destroyed_s, *later])

    def _known(self, told: InTopic) -> Transaction | None:
        return next(
            (
                tx
                for tx in self._timeline.transactions
                if tx.xid & XID_MASK == told.xid and _fits(tx, told.lsn)
            ),
            None,
        )

    def _all_told(self) -> Iterator[InTopic]:
        return (one for same in self._told.values() for one in same)

    def rows_of(self, tenant: str, row: RowKey) -> tuple[list[InTopic], list[InSegment]]:
        """Return where a row was told, and where it is kept as the tenant's."""
        told = self._all_told()
        kept = (one for same in self._kept.values() for one in same)
        return _holding(told, [row]), _holding((one for one in kept if one.tenant == tenant), [row])

    def _swap_of(self, tx: Transaction, rows: Iterable[RowKey]) -> Transaction:
        """Return the transaction by which a restore put these rows in place, as the topic tells of it."""
        told = (one for one in self._all_told() if one.xid and one.lsn)
        there = [
            one
            for one in _holding(told, rows)
            if self._timeline.same_rows(tx.cluster, one.cluster)
            and tx.sent_s <= one.at_s <= tx.ended_s + SWAP_S
        ]
        if not there:
            return tx
        lsn = there[0].lsn or 0
        return msgspec.structs.replace(tx, xid=there[0].xid, lsn_lower=lsn, lsn_upper=lsn)

    def _topics_with(self, tx: Transaction) -> list[InTopic]:
        if not tx.xid:
            return []
        return [
            one
            for one in self._told[tx.xid & XID_MASK]
            if self._timeline.same_rows(tx.cluster, one.cluster) and _fits(tx, one.lsn)
        ]

    def _segments_with(self, tx: Transaction) -> list[InSegment]:
        epochs = self._epochs(tx)
        if not tx.xid:
            return []
        return [one for one in self._kept[tx.xid & XID_MASK] if one.epoch in epochs and _fits(tx, one.lsn)]

    def _snapshots(self, tx: Transaction) -> Iterator[InTopic]:
        """Return snapshots that came after the transaction began: an earlier one can't hold it."""
        return (
            one
            for one in self._told[SNAPSHOT]
            if one.at_s >= tx.begun_s and self._timeline.same_rows(tx.cluster, one.cluster)
        )

    def _kept_snapshots(self, tx: Transaction) -> Iterator[InSegment]:
        epochs = self._epochs(tx)
        return (one for one in self._kept[SNAPSHOT] if one.epoch in epochs and one.lsn >= tx.lsn_lower)

    def _epochs(self, tx: Transaction) -> set[int]:
        same = self._timeline.same_rows
        return {epoch for cluster, epoch in self._timeline.epochs.items() if same(tx.cluster, cluster)}


def _fits(tx: Transaction, lsn: int | None) -> bool:
    """Whether a commit at ``lsn`` can be that transaction's."""
    return lsn is None or (tx.lsn_lower <= lsn and (tx.lsn_upper is None or lsn <= tx.lsn_upper))


def _holding(found: Iterable[M], rows: Iterable[RowKey]) -> list[M]:
    wanted = set(rows)
    return [one for one in found if wanted & {row_key(mark.table, mark.key) for mark in one.marks}]


def _fullest(found: Sequence[M], rows: Iterable[RowKey]) -> M | None:
    """Return what lacks the fewest rows; of several the first that the manifest names."""
    wanted = tuple(rows)
    return min(found, key=lambda one: (len(_lacking(one, wanted)), _is_unnamed(one)), default=None)


def _is_unnamed(one: Marked) -> bool:
    return isinstance(one, InSegment) and one.entry is None


def _lacking(found: Marked, rows: Iterable[RowKey]) -> tuple[RowKey, ...]:
    there = {row_key(mark.table, mark.key) for mark in found.marks}
    emptied = {mark.table for mark in found.marks if mark.op == "truncate"}
    return tuple(row for row in rows if row not in there and table_of(row) not in emptied)
