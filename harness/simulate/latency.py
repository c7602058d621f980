"""How long things take in the simulated world: drawn from the plan's seed, so that a plan runs one way."""

from __future__ import annotations

import random
from collections.abc import Awaitable
from typing import Final

from harness.simulate.loop import VirtualClock

SLOW_ONE_IN: Final = 50
_LOT_BITS: Final = SLOW_ONE_IN.bit_length()


class Latency:
    """Waits on the virtual clock, each of its own kind, with now and then a slow one."""

    def __init__(self, seed: int) -> None:
        self.clock = VirtualClock()
        self._random = random.Random(seed)
        self.store_slower = 1.0

    def statement(self) -> Awaitable[None]:
        """One round trip to the database."""
        return self.clock.alarm(self._draw(0.000_2, 0.001))

    def standby(self) -> Awaitable[None]:
        """Until the standby has a commit record."""
        return self.clock.alarm(self._draw(0.001, 0.006))

    def capture(self) -> Awaitable[None]:
        """From a commit record to the change feed."""
        return self.clock.alarm(self._draw(0.005, 0.040))

    def object_call(self) -> Awaitable[None]:
        """One call of the object server."""
        return self.clock.alarm(self.store_slower * self._draw(0.001, 0.008))

    def staging(self) -> Awaitable[None]:
        """Until a tenant's rows lie ready beside those that they are to replace: about what real ones take.

        With less, all restores of a drill were over between two writes of its only neighbour.
        """
        return self.clock.alarm(self._random.uniform(0.250, 0.400))

    def _draw(self, least_s: float, most_s: float) -> float:
        wait_s = self._random.uniform(least_s, most_s)
        lot = SLOW_ONE_IN
        while lot >= SLOW_ONE_IN:
            lot = self._random.getrandbits(_LOT_BITS)  # as randrange draws, without its checks
        return wait_s * 20 if lot == 0 else wait_s
