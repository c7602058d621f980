"""The clock of real processes."""

from __future__ import annotations

import asyncio
import time


class MonotonicClock:
    """Monotonic seconds of this machine."""

    def now_s(self) -> float:
        """Return seconds since some instant."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Let other coroutines run for so long."""
        await asyncio.sleep(max(seconds, 0.0))  # noqa: TID251 - this is the clock port itself
