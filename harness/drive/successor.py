"""What everybody may know of a failover: whether one is under way, and what it has settled."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from harness.drive.doubts import Settlement


class Successor:
    """The primary that comes after the one there is; nobody connects again before it ``serves``.

    ``count``: of failovers so far. ``settled``: what became of transactions that were open.
    """

    def __init__(self) -> None:
        self._serving = asyncio.Event()
        self._serving.set()
        self.count = 0
        self.settled: dict[str, Settlement] = {}

    def begin(self) -> None:
        """Note that the primary is about to die."""
        self.count += 1
        self._serving.clear()

    def serves(self, settled: Mapping[str, Settlement]) -> None:
        """Note that the successor is there, and which open outcomes its first snapshot settled."""
        self.settled |= settled
        self._serving.set()

    async def ready(self) -> None:
        """Return once there is a primary to connect to, as far as a failover is concerned."""
        await self._serving.wait()
