"""The words in which blame tells of writes: when they were acked, where they stand in WAL and Kafka."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from harness.judge.timeline import NEVER, Timeline, Transaction
from harness.judge.traces import Stages, Trace
from harness.model.history import Started
from harness.model.position import format_lsn
from harness.model.stages import InTopic
from harness.model.values import RowKey, table_and_key


class Wording:
    """Names writes of one drill, with times as a clock on the wall showed them, in UTC."""

    def __init__(self, timeline: Timeline) -> None:
        started = timeline.of(Started)
        self.listing_interval_s = started[0].listing_interval_s if started else 0.0
        self._begun = datetime.fromtimestamp(started[0].wall_s if started else 0.0, UTC)

    def name(self, trace: Trace) -> str:
        """Name the write that is traced."""
        return self.named(trace.tx, trace.tenant, trace.topic)

    def named(self, tx: Transaction, tenant: str | None, topic: InTopic | None = None) -> str:
        """Name a write, when it was acked, and its position: that of its END in the topic, or a bound."""
        whose = f" of tenant {tenant}" if tenant else ""
        if tx.acked:
            lsn = f" (LSN {format_lsn(tx.lsn_upper)} at the latest)" if tx.lsn_upper else ""
            if topic is not None and topic.xid and topic.lsn is not None:
                lsn = f" (LSN {format_lsn(topic.lsn)})"
            return f"{tx.name}{whose}, acked at {self.clock(tx.ended_s)}{lsn}"
        return f"{tx.name}{whose}, sent at {self.clock(tx.sent_s)} with an open outcome"

    def clock(self, at_s: float) -> str:
        """Write a time of the drill as people read it."""
        if at_s == NEVER:
            return "no time that was seen"
        return (self._begun + timedelta(seconds=at_s)).strftime("%H:%M:%S.%f")[:-3]


def where_in_wal(stages: Stages, tx: Transaction) -> str:
    """Say up to where the WAL was seen flushed, if that includes the transaction; ends with a comma."""
    wal, lsn = stages.wal_of(tx), tx.lsn_upper or tx.lsn_lower
    if wal is None or wal.primary_lsn < lsn:
        return ""
    whose = "primary and standby" if (wal.standby_lsn or 0) >= lsn else "the primary"
    return f"is in the WAL (flushed by {whose}), "


def in_kafka(topic: InTopic | None) -> str:
    """Say where a write is in Kafka, if it is; ends with a comma."""
    if topic is None:
        return ""
    snapshot = " (with the snapshot)" if not topic.xid else ""
    return f"is in Kafka at offset {offsets(topic)}{snapshot}, "


def offsets(topic: InTopic) -> str:
    """Write the offsets of a transaction."""
    return str(topic.first) if topic.first == topic.last else f"{topic.first}-{topic.last}"


def row_words(row: RowKey) -> str:
    """Write a row's table and key."""
    table, key = table_and_key(row)
    return f"{table} {'/'.join(key)}"
