"""Injects the plan's faults when they are due in their phase, and heals them, each with its proof.

To add a kind of fault: one struct in ``model.plan``, one function here, one line in ``PERFORM``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Final

from harness.drive.crew import Crew
from harness.drive.drill import Drill
from harness.drive.ports import Proof
from harness.model.history import FaultBegan, FaultHealed
from harness.model.plan import Fault, KillArchiver


class Injector:
    """The faults of one drill. ``begin`` a phase's, wait until ``healed``, or ``end`` them unhealed."""

    def __init__(self, drill: Drill) -> None:
        self._drill = drill
        self._due: dict[asyncio.Task[None], Fault] = {}
        # Held while services are being changed: a fault can only be given up between two such changes.
        self._changing = asyncio.Lock()

    def begin(self, phase: str, crew: Crew) -> None:
        """Let the faults of ``phase`` fall due; their times count from now."""
        for number, fault in enumerate(self._drill.plan.faults):
            if fault.phase == phase:
                task = crew.go(PERFORM[type(fault)](self, number, fault), f"fault {number}")
                self._due[task] = fault

    async def healed(self) -> None:
        """Wait until every fault begun was healed; raises TimedOut."""
        if not self._due:
            return
        longest_s = max(fault.after_s + fault.down_s for fault in self._due.values())
        limit_s = longest_s + self._drill.plan.limits.settle_s
        await self._drill.within(limit_s, "all faults are healed", asyncio.wait(self._due))
        self._due.clear()

    async def end(self) -> None:
        """Give up what is still due: what the faults struck at is about to be destroyed."""
        async with self._changing:
            for task in self._due:
                task.cancel()
        self._due.clear()

    async def kill_archiver(self, number: int, fault: KillArchiver) -> None:
        """Kill the archiver when due, and start it again."""
        machinery = self._drill.world.machinery
        await self._drill.clock.sleep(fault.after_s)
        await self._began(number, lambda: machinery.kill("archiver"))
        await self._drill.clock.sleep(fault.down_s)
        await self._healed(number, lambda: machinery.start("archiver"))

    async def _began(self, number: int, strike: Callable[[], Awaitable[Proof]]) -> None:
        async with self._changing:
            proof = await strike()
        self._drill.journal.write(
            FaultBegan(at_s=self._drill.journal.now_s(), fault=number, proof=proof.words, bit=proof.seen)
        )

    async def _healed(self, number: int, heal: Callable[[], Awaitable[Proof]]) -> None:
        async with self._changing:
            proof = await heal()
        at_s = self._drill.journal.now_s()
        if proof.seen:
            self._drill.journal.write(FaultHealed(at_s=at_s, fault=number, proof=proof.words))
        else:
            self._drill.note(f"fault {number} was not seen healed: {proof.words}")


Perform = Callable[[Injector, int, KillArchiver], Coroutine[object, object, None]]

PERFORM: Final[dict[type[Fault], Perform]] = {KillArchiver: Injector.kill_archiver}
"""For each kind of fault, how it is performed."""
