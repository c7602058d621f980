"""What the stages of the real pipeline hold (``drive.ports.Stages``): WAL, standby, topic and archive.

The topic is read by a consumer of the harness's own, through the listener that is nobody's link. Where it
is about to be destroyed it is followed from a while before, so that reading it holds nothing up. Every
reading has a limit, and what can't be read is told.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable, Iterator, Sequence

import psycopg
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from harness.drive.ports import Clock
from harness.model.position import Position
from harness.model.schema import Schema
from harness.model.stages import AnyStage, ArchiveRead, TopicRead, WalSeen
from harness.stack.endpoints import Endpoints
from harness.stack.identity import STANDBY
from harness.stack.services.kafka import RECORD_BYTES_MAX
from harness.subject.port import Traceable
from harness.subject.reference.adapters.envelope import Reader
from harness.subject.reference.adapters.kafka_feed import feed_name
from harness.subject.reference.ports import FeedEvent
from harness.subject.reference.traces import in_topic

ANSWER_S_MAX = 3.0
READ_S_MAX = 8.0
RECORDS_AT_ONCE = 2_000
LOOK_S = 0.1
_PARTITION = 0

_WAL = """\
SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint,
    (SELECT (max(flush_lsn) - '0/0')::bigint FROM pg_stat_replication WHERE application_name = %s),
    pg_read_file('pg_wal/' || left(pg_walfile_name(pg_current_wal_lsn()), 8) || '.history', 0, 65536, true)
"""


class StackStages:
    """``holdings`` tells what the archive holds, None where the subject can't."""

    def __init__(self, names: Endpoints, schema: Schema, clock: Clock, holdings: Traceable | None) -> None:
        self._names = names
        self._schema = schema
        self._clock = clock
        self._holdings = holdings
        self._begun = ("", 0)
        self._following: _Following | None = None

    async def begin(self) -> None:
        """Note where the topic ends."""
        self._begun = await asyncio.to_thread(self._end)

    async def follow(self) -> None:
        """Read the topic from now on, in a thread, as long as it is there."""
        feed, first = await asyncio.to_thread(self._first)
        self._following = _Following(self._names, feed, first)

    async def captured(self, cluster: int, start_s: float) -> Iterable[AnyStage]:
        """Read WAL and topic, each within its limit."""
        return await asyncio.to_thread(lambda: list(self._captured(cluster, start_s)))

    async def archived(self, after: Position | None) -> Iterable[AnyStage]:
        """Read the archive, if the subject can."""
        if self._holdings is None:
            return []
        try:
            async with asyncio.timeout(READ_S_MAX):
                return await self._holdings.holdings(after)
        except TimeoutError:
            return [ArchiveRead(why_not=f"it was not read within {READ_S_MAX:g} s")]

    def _captured(self, cluster: int, start_s: float) -> Iterator[AnyStage]:
        following, self._following = self._following, None
        yield self._wal(cluster) if following is None else WalSeen(cluster=cluster, why_not="destroyed")
        try:
            reading, messages = self._read(cluster) if following is None else following.end(cluster)
        except (KafkaException, OSError) as error:
            yield TopicRead(feed="", cluster=cluster, why_not=str(error))
            return
        yield reading
        events = self._events(messages, self._clock.now_s() - start_s - time.time())
        yield from in_topic(events, self._schema, feed=reading.feed, cluster=cluster)

    def _events(self, messages: Sequence[Message], since_s: float) -> Iterator[tuple[FeedEvent, float]]:
        """Yield events with the time at which the broker got each, in seconds of the drill."""
        reader = Reader(schema=self._schema, placeholder=self._names.placeholder)
        for message in messages:
            at_s = message.timestamp()[1] / 1000 + since_s
            for event in reader.events(message.offset() or 0, message.value()):
                yield event, at_s

    def _wal(self, cluster: int) -> WalSeen:
        try:
            with psycopg.connect(self._names.admin_dsn, connect_timeout=3, autocommit=True) as connection:
                row = connection.execute(_WAL, (STANDBY,)).fetchone()
        except psycopg.Error as error:
            return WalSeen(cluster=cluster, why_not=str(error))
        primary, standby, history = row or (0, None, None)
        return WalSeen(
            cluster=cluster, primary_lsn=primary, standby_lsn=standby, forks=forks_in(history or "")
        )

    def _end(self) -> tuple[str, int]:
        """Return the topic's id and end, nothing where there is none yet."""
        try:
            feed = feed_name(self._names.kafka_direct, self._names.topic)
            with _Reading(self._names) as reading:
                return feed, reading.bounds()[1]
        except (KafkaException, OSError):
            return "", 0

    def _first(self) -> tuple[str, int]:
        """Return the topic's id and from where on it is of this drill."""
        try:
            feed = feed_name(self._names.kafka_direct, self._names.topic)
        except (KafkaException, OSError):
            return self._begun
        return feed, self._begun[1] if feed == self._begun[0] else 0

    def _read(self, cluster: int) -> tuple[TopicRead, Sequence[Message]]:
        feed, first = self._first()
        with _Reading(self._names) as reading:
            oldest, end = reading.bounds()
            messages = reading.until(max(first, oldest), end)
        short = (not messages and first < end) or (
            bool(messages) and (messages[-1].offset() or 0) + 1 < end
        )
        why_not = f"it was not read to its end within {READ_S_MAX:g} s" if short else ""
        told = TopicRead(feed=feed, cluster=cluster, first=first, oldest=oldest, end=end, why_not=why_not)
        return told, messages


def forks_in(history: str) -> dict[int, int]:
    """Read a timeline's history file: by earlier timeline the LSN at which the next one went on."""
    forks: dict[int, int] = {}
    for line in history.splitlines():
        timeline, *rest = line.split("\t")
        if rest and timeline.strip().isdigit():
            high, _, low = rest[0].partition("/")
            forks[int(timeline)] = (int(high, 16) << 32) | int(low, 16)
    return forks


class _Following:
    """Keeps what comes into a topic, until it is ended."""

    def __init__(self, names: Endpoints, feed: str, first: int) -> None:
        self._names, self._feed, self._first = names, feed, first
        self._ended = threading.Event()
        self._messages: list[Message] = []
        self._why_not = ""
        self._thread = threading.Thread(target=self._follow, name="follow topic", daemon=True)
        self._thread.start()

    def end(self, cluster: int) -> tuple[TopicRead, Sequence[Message]]:
        """Stop, and return what came."""
        self._ended.set()
        self._thread.join(READ_S_MAX)
        last = self._messages[-1].offset() if self._messages else None
        told = TopicRead(
            feed=self._feed,
            cluster=cluster,
            first=self._first,
            oldest=self._first,
            end=self._first if last is None else last + 1,
            followed=True,
            why_not=self._why_not,
        )
        return told, self._messages

    def _follow(self) -> None:
        try:
            with _Reading(self._names) as reading:
                reading.begin(self._first)
                while not self._ended.is_set():
                    self._messages += reading.take(LOOK_S)
        except (KafkaException, OSError) as error:
            self._why_not = str(error)


class _Reading:
    """One consumer of the topic, of no group that anybody else knows."""

    def __init__(self, names: Endpoints) -> None:
        self._topic = names.topic
        self._consumer = Consumer(_settings(names))

    def __enter__(self) -> _Reading:
        return self

    def __exit__(self, *error: object) -> None:
        self._consumer.close()

    def bounds(self) -> tuple[int, int]:
        """Return the first offset that is there, and the one that the next record will have."""
        place = TopicPartition(self._topic, _PARTITION)
        return self._consumer.get_watermark_offsets(place, timeout=ANSWER_S_MAX)

    def begin(self, first: int) -> None:
        """Begin at ``first``."""
        self._consumer.assign([TopicPartition(self._topic, _PARTITION, first)])

    def take(self, wait_s: float) -> list[Message]:
        """Return records that came within ``wait_s``."""
        return [one for one in self._consumer.consume(RECORDS_AT_ONCE, wait_s) if one.error() is None]

    def until(self, first: int, end: int) -> list[Message]:
        """Return the records from ``first`` up to (not with) ``end``, or what came in time."""
        messages: list[Message] = []
        self.begin(first)
        until_s = time.monotonic() + READ_S_MAX
        while (not messages or (messages[-1].offset() or 0) + 1 < end) and first < end:
            messages += self.take(LOOK_S)
            if time.monotonic() > until_s:
                break
        return messages


def _settings(names: Endpoints) -> dict[str, object]:
    return {
        "bootstrap.servers": names.kafka_direct,
        "log_level": 0,  # a broker that is being destroyed is no news
        "group.id": "restoreproof-harness",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "fetch.max.bytes": RECORD_BYTES_MAX,
        "max.partition.fetch.bytes": RECORD_BYTES_MAX,
        "receive.message.max.bytes": RECORD_BYTES_MAX * 2,
        "fetch.wait.max.ms": 50,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 500,
    }
