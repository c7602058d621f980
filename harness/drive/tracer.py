"""Has the stages of the pipeline read, and stores what they hold: at the end, and of what is destroyed.

Where nothing but the archive survives, the topic is followed from the script on, so that what it held is
known without anything settling before the destruction. A world may be unable to tell; then nothing is
stored, and losses are blamed on nobody.
"""

from __future__ import annotations

from harness.drive.drill import Drill
from harness.model.position import Position

STAGES_S_MAX = 30.0


class Tracer:
    """The tracing of one drill."""

    def __init__(self, drill: Drill) -> None:
        self._drill = drill
        self._stages = drill.world.stages

    async def begin(self) -> None:
        """Note where the topic ends now."""
        if self._stages is not None:
            await self._drill.within(STAGES_S_MAX, "the topic's end is known", self._stages.begin())

    async def follow(self) -> None:
        """Follow the topic if it will be destroyed."""
        if self._stages is not None and self._drill.plan.survivors == "archive":
            await self._drill.within(STAGES_S_MAX, "the topic is followed", self._stages.follow())

    async def captured(self) -> None:
        """Store what WAL, standby and topic hold of the cluster that answers, or answered last."""
        if self._stages is not None:
            start_s = self._drill.clock.now_s() - self._drill.journal.now_s()
            reading = self._stages.captured(self._drill.where.cluster, start_s)
            self._drill.journal.trace(await self._drill.within(STAGES_S_MAX, "the topic is read", reading))

    async def archived(self, after: Position | None) -> None:
        """Store what the archive holds from ``after`` on."""
        if self._stages is not None:
            reading = self._stages.archived(after)
            self._drill.journal.trace(
                await self._drill.within(STAGES_S_MAX, "the archive is read", reading)
            )
