"""What the stages of the simulated pipeline hold (``drive.ports.Stages``).

Most drills are proven, and nobody asks then: all that takes time is put off until somebody iterates.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from harness.model.position import Position
from harness.model.schema import Schema
from harness.model.stages import AnyStage, TopicRead, WalSeen
from harness.simulate.feed import Topic
from harness.simulate.server import Server
from harness.subject.port import Traceable
from harness.subject.reference.traces import in_topic


class SimulatedStages:
    """``topic`` and ``server``: those of now, if there are any."""

    def __init__(
        self,
        schema: Schema,
        topic: Callable[[], Topic | None],
        server: Callable[[], Server | None],
        holdings: Traceable,
    ) -> None:
        self._schema = schema
        self._topic = topic
        self._server = server
        self._holdings = holdings
        self._begun: tuple[Topic | None, int] = (None, 0)
        self._followed: Topic | None = None

    async def begin(self) -> None:
        """Note where the topic ends."""
        topic = self._topic()
        self._begun = (topic, len(topic.events) if topic else 0)

    async def follow(self) -> None:
        """Hold on to the topic, whatever becomes of it."""
        self._followed = self._topic()

    async def captured(self, cluster: int, start_s: float) -> Iterable[AnyStage]:
        """Read WAL and topic as they are now."""
        wal, followed = self._wal(cluster), self._followed is not None
        topic, self._followed = self._followed or self._topic(), None
        if topic is None:
            return [wal, TopicRead(feed="", cluster=cluster, why_not="there is no topic")]
        first = self._begun[1] if self._begun[0] is topic else 0
        offsets = (first, len(topic.events))
        return _Later(lambda: list(self._read(wal, topic, offsets, start_s, followed=followed)))

    async def archived(self, after: Position | None) -> Iterable[AnyStage]:
        """Read the archive once somebody wants to know."""
        return _Later(lambda: asyncio.run(self._read_archive(after)))

    async def _read_archive(self, after: Position | None) -> list[AnyStage]:
        return list(await self._holdings.holdings(after))

    def _wal(self, cluster: int) -> WalSeen:
        server = self._server()
        if server is None or not server.alive:
            return WalSeen(cluster=cluster, why_not="the primary is gone")
        forks = {} if server.fork_lsn is None else {server.timeline - 1: server.fork_lsn}
        return WalSeen(cluster=cluster, primary_lsn=server.lsn, standby_lsn=server.standby.lsn, forks=forks)

    def _read(
        self, wal: WalSeen, topic: Topic, offsets: tuple[int, int], start_s: float, *, followed: bool
    ) -> Iterator[AnyStage]:
        first, end = offsets
        yield wal
        yield TopicRead(feed=topic.name, cluster=wal.cluster, first=first, end=end, followed=followed)
        events = zip(
            topic.events[first:end], (at_s - start_s for at_s in topic.came_s[first:end]), strict=True
        )
        yield from in_topic(events, self._schema, feed=topic.name, cluster=wal.cluster)


class _Later:
    """Stages that are read, in a thread with a loop of its own, when they are iterated over."""

    def __init__(self, read: Callable[[], list[AnyStage]]) -> None:
        self._read = read

    def __iter__(self) -> Iterator[AnyStage]:
        with ThreadPoolExecutor(1) as thread:
            return iter(thread.submit(self._read).result())
