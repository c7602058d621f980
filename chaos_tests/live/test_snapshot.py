"""An initial snapshot killed midway: the half that was sent is discarded, and no verdict changes.

In containers the same kill is tried without a drill around it, in ``test_subject``: that is enough.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Consumer, TopicPartition

from fixtures.stack import read_topic
from harness.drive.campaign import Series
from harness.drive.ports import Machinery, World
from harness.generate.campaigns import campaign
from harness.judge import check_run
from harness.schemas import load
from harness.stack.options import StackOptions
from harness.stack.stack import Stack
from harness.stack.wait import wait_until
from harness.stack.world.open import archive_config, open_world
from harness.subject.reference.adapters.wiring import subject_of

pytestmark = [pytest.mark.live, pytest.mark.local_only]

SENT_BEFORE_KILL = 20
BEGUN_S_MAX = 60.0


class KillsTheSnapshot:
    """Machinery that crashes Connect in the middle of its first snapshot, and starts it again."""

    def __init__(self, inner: Machinery, stack: Stack) -> None:
        self._inner = inner
        self._stack = stack
        self.cut_short: list[dict[str, object]] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    async def start_capture(self) -> None:
        """Start capture, and crash it as soon as some of the snapshot has arrived."""
        crashing = asyncio.create_task(asyncio.to_thread(self._crash))
        await self._inner.start_capture()
        await crashing

    def _crash(self) -> None:
        """Hold the snapshot up by cutting its way to the broker, so that the kill is surely midway."""
        names = self._stack.endpoints
        consumer = Consumer({"bootstrap.servers": names.kafka_direct, "group.id": "watch", "log_level": 0})

        def begun() -> bool:
            _, end = consumer.get_watermark_offsets(TopicPartition(names.topic, 0), timeout=5)
            return int(end) >= SENT_BEFORE_KILL

        try:
            wait_until("a part of the snapshot has arrived", begun, limit_s=BEGUN_S_MAX, poll_s=0.005)
        finally:
            consumer.close()
        self._stack.cut("connect-kafka")
        self._stack.kill("connect")
        self._stack.heal("connect-kafka")
        self.cut_short = read_topic(self._stack)
        self._stack.restart("connect")


def _snapshot_marks(records: list[dict[str, object]]) -> list[str]:
    """Return what each record says of its place in a snapshot: first, true, last."""
    sources = [source for r in records if isinstance(source := r.get("source"), dict)]
    return [str(source.get("snapshot")) for source in sources]


def test_a_snapshot_killed_midway_changes_no_verdict(
    restoreproof_options: StackOptions, tmp_path: Path
) -> None:
    """Tenants loaded before the connector's first start come back, though its snapshot was cut short."""
    loaded = load("helpdesk")
    plan, *_ = campaign(loaded.schema, seed=12, plans=2, tenants=24)
    assert plan.initial == "snapshot"
    with Stack.start(restoreproof_options) as stack:
        subject = subject_of(archive_config(stack, loaded))
        world: World = open_world(stack, loaded, subject)
        killer = KillsTheSnapshot(world.machinery, stack)
        world = msgspec.structs.replace(world, machinery=killer)
        asyncio.run(Series(world, loaded.schema, {}).drill(plan, tmp_path / "run"))
    marks = _snapshot_marks(killer.cut_short)
    assert "true" in marks or "first" in marks, "the kill came before the snapshot"
    assert "last" not in marks, "the kill came after the snapshot"
    verdict = check_run(tmp_path / "run")
    assert verdict.verdict == "proven", verdict
