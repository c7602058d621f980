"""The wall clock of real drills."""

from __future__ import annotations

import asyncio
import time


class WallClock:
    """Monotonic seconds of this machine (``drive.ports.Clock``)."""

    def now_s(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0.0))  # noqa: TID251 - this is the clock port itself
