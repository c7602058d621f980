"""What faults switch in the simulated world: wires between parts, and the standby behind the primary.

A wire that is cut raises what its user takes for an outage; one that is held lets nobody through until it
is released, as a frozen peer does. Nothing here waits but on the virtual clock and on these switches.
"""

from __future__ import annotations

import asyncio
from typing import Final

from harness.drive.ports import ConnectionLost
from harness.model.faults import Direction, LinkName
from harness.simulate.loop import VirtualClock

SILENCE_S: Final = 1.0
"""How long a call waits for an answer that does not come, before its client gives up."""


class Cut(Exception):
    """Nothing came through a wire; each user of it says so in its own words."""


class Wire:
    """The way from one client to one server. ``ask`` before a call has its effect, ``answer`` after it.

    ``dead``: the server is, and another one may come in its place.
    """

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._free = asyncio.Event()
        self._free.set()
        self.cut: Direction | None = None
        self.dead = False
        self.resets = False
        self.delay_s = 0.0

    def hold(self) -> None:
        """Let nothing through until ``release``."""
        self._free.clear()

    def release(self) -> None:
        """Let everything through again."""
        self._free.set()

    async def ask(self) -> None:
        """Carry a request; raises Cut when it did not arrive."""
        await self._pass(self.dead or self.cut in ("both", "up"))

    async def answer(self) -> None:
        """Carry an answer; raises Cut when it did not arrive, though the call had its effect."""
        await self._pass(self.dead or self.cut in ("both", "down") or self.resets)

    async def _pass(self, lost: bool) -> None:
        if not self._free.is_set():
            await self._free.wait()
        if self.delay_s:
            await self._clock.sleep(self.delay_s)
        if lost:
            await self._clock.sleep(0.0 if self.resets else SILENCE_S)
            raise Cut("nothing came through")


class Wires:
    """All wires of a world, by the link that they stand for."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._wires: dict[LinkName, Wire] = {}

    def __getitem__(self, link: LinkName) -> Wire:
        return self._wires.setdefault(link, Wire(self._clock))

    def renew(self) -> None:
        """Have other servers at the ends of all wires but those to the object store."""
        for link, wire in self._wires.items():
            if not link.endswith("-minio"):
                wire.dead = False
                wire.release()


class Waiting:
    """A commit that waits for the standby, and what ends its wait."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Cancelled(Exception):
    """The wait for the standby was cancelled: committed here, and nobody knows whether there too."""


class Standby:
    """The synchronous standby, as commits and capture see it. ``waived``: nobody waits for it.

    ``lsn``: up to there it surely has the WAL.
    """

    def __init__(self, lsn: int = 0) -> None:
        self.lsn = lsn
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._waits: dict[Waiting, None] = {}
        self.waived = False

    @property
    def frozen(self) -> bool:
        """Whether it takes nothing."""
        return not self._flowing.is_set()

    @property
    def waits(self) -> int:
        """How many commits wait for it."""
        return len(self._waits)

    def freeze(self) -> None:
        """Take nothing any more."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Go on: who waited has what it waited for."""
        self._flowing.set()
        for waiting in self._waits:
            if not waiting.ended.done():
                waiting.ended.set_result(None)

    def end_one(self, error: Cancelled | ConnectionLost) -> bool:
        """End the wait that lasts longest, with ``error``; False when nobody waits."""
        for waiting in self._waits:
            if not waiting.ended.done():
                waiting.ended.set_exception(error)
                return True
        return False

    def lose_all(self) -> None:
        """End all waits: the primary is gone."""
        while self.end_one(ConnectionLost("the server is gone")):
            pass

    async def flushed(self, lsn: int) -> None:
        """Return once the standby has the WAL up to ``lsn``; raises Cancelled or ConnectionLost."""
        if self.frozen and not self.waived:
            await self._wait()
        if not self.frozen:
            self.lsn = max(self.lsn, lsn)

    async def _wait(self) -> None:
        waiting = Waiting()
        self._waits[waiting] = None
        try:
            await waiting.ended
        finally:
            del self._waits[waiting]

    async def caught_up(self, lsn: int) -> None:
        """Return once it has the WAL up to ``lsn``: a capture is never ahead of it."""
        await self._flowing.wait()
        self.lsn = max(self.lsn, lsn)
