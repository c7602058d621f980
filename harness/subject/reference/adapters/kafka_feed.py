"""The change feed on Kafka: one topic, one partition, read by hand from the group's committed offset.

The partition is assigned, not subscribed to, so that no rebalance delays a restart. The blocking client
runs in a thread of its own. It may stand still for good when the broker was fenced for a moment and leads
the partition anew (seen on a starved machine: no error, and nothing read any more): one that brings nothing
although there is more is replaced.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from harness.model.errors import ArchiverStopped
from harness.subject.reference.adapters.envelope import Reader
from harness.subject.reference.ports import FeedEvent, FeedStart, FeedUnavailable
from harness.subject.reference.repair import RESNAPSHOT
from harness.subject.reference.shapes import Altered

RECORD_BYTES_MAX = 32 << 20
ANSWER_S_MAX = 5.0
SILENT_S = 5.0
"""After so long without a record it is asked whether there is one."""

_PARTITION = 0
_BROKEN = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)
"""The offset to be read next is no longer there (FM-75, FM-76)."""

T = TypeVar("T")
_log = logging.getLogger(__name__)


class KafkaFeed:
    """Reads ``topic`` as ``group``; one reader at a time."""

    def __init__(self, *, bootstrap: str, topic: str, group: str, reader: Reader) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._group = group
        self._reader = reader
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="feed")
        self._consumer = self._client()
        self._next = 0
        self._heard_s = 0.0

    async def start(self) -> FeedStart:
        """Assign the partition from the committed offset on; the topic's id names the feed."""
        started = await self._run(self._start)
        self._next, self._heard_s = started.offset, asyncio.get_running_loop().time()
        return started

    async def read(self, *, limit: int, wait_s: float) -> Sequence[FeedEvent]:
        """Return the events of up to ``limit`` records."""
        messages = await self._run(partial(self._consumer.consume, limit, wait_s))
        events: list[FeedEvent] = []
        before = self._next
        for message in messages:
            error = message.error()
            if error is not None:
                _note(error)
            else:
                offset = message.offset() or 0
                events += self._reader.events(offset, message.value())
                self._next = offset + 1
        now_s = asyncio.get_running_loop().time()
        if self._next != before:
            self._heard_s = now_s
        elif now_s - self._heard_s >= SILENT_S:
            self._heard_s = now_s
            await self._replace_if_stuck()
        return events

    async def _replace_if_stuck(self) -> None:
        """Replace a client that is silent although there is more to be read."""
        try:
            end = await self.end()
        except FeedUnavailable:
            return  # so nothing can come
        if end > self._next:
            _log.warning("kafka: nothing comes from offset %d on, though there is %d", self._next, end - 1)
            await self._run(self._replace)

    def alter(self, altered: Sequence[Altered]) -> None:
        """Know the shapes of tables where reading begins."""
        self._reader.alter(altered)

    async def commit(self, offset: int) -> None:
        """Commit, and wait until the broker has it."""
        place = TopicPartition(self._topic, _PARTITION, offset)
        await self._run(partial(self._consumer.commit, offsets=[place], asynchronous=False))

    async def end(self) -> int:
        """Return the offset that the next record will have."""
        place = TopicPartition(self._topic, _PARTITION)
        ask = partial(self._consumer.get_watermark_offsets, place, timeout=ANSWER_S_MAX)
        _, high = await self._run(ask)
        return int(high)

    async def close(self) -> None:
        """Leave; nothing is committed by this."""
        await self._run(self._consumer.close)
        self._thread.shutdown()

    def _client(self) -> Consumer:
        return Consumer(_settings(self._bootstrap, self._group), logger=_log)

    def _replace(self) -> None:
        self._consumer.close()
        self._consumer = self._client()
        self._go_on_from(self._next)

    def _go_on_from(self, offset: int) -> None:
        self._consumer.assign([TopicPartition(self._topic, _PARTITION, offset)])

    def _start(self) -> FeedStart:
        place = TopicPartition(self._topic, _PARTITION)
        committed = self._consumer.committed([place], timeout=ANSWER_S_MAX)[0].offset
        low, _ = self._consumer.get_watermark_offsets(place, timeout=ANSWER_S_MAX)
        offset = low if committed == OFFSET_INVALID else max(committed, low)
        name = feed_name(self._bootstrap, self._topic)
        self._go_on_from(offset)
        return FeedStart(feed=name, offset=offset)

    async def _run(self, call: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, call)
        except (KafkaException, TimeoutError) as error:
            raise FeedUnavailable(f"the broker at {self._bootstrap}: {error}") from error


def feed_name(bootstrap: str, topic: str) -> str:
    """Return the topic's name with its id: one that was made anew has another. Raises KafkaException."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})  # the reader has one
    asked = admin.describe_topics(TopicCollection([topic]), request_timeout=ANSWER_S_MAX)
    return f"{topic}@{asked[topic].result(ANSWER_S_MAX).topic_id}"


def _settings(bootstrap: str, group: str) -> dict[str, object]:
    return {
        "bootstrap.servers": bootstrap,
        "group.id": group,
        "enable.auto.commit": False,
        "enable.partition.eof": False,
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        "fetch.max.bytes": RECORD_BYTES_MAX,
        "max.partition.fetch.bytes": RECORD_BYTES_MAX,
        "receive.message.max.bytes": RECORD_BYTES_MAX * 2,
        "queued.max.messages.kbytes": RECORD_BYTES_MAX >> 9,
        "fetch.wait.max.ms": 100,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 500,
        "socket.timeout.ms": 5000,
        "session.timeout.ms": 6000,
    }


def _note(error: KafkaError) -> None:
    """A broker that is away is no news; an offset that is gone is the end."""
    if error.code() in _BROKEN:
        raise ArchiverStopped(
            f"the feed has lost what comes next: {error.str()} (FM-76)",
            cure=RESNAPSHOT,
        )
    _log.info("kafka: %s", error)
