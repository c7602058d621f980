"""Injects the plan's faults when they are due in their phase, and heals them, each with its proof.

It knows no kind of fault: what one does is the machinery's business, by its struct.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

from harness.drive.crew import Crew
from harness.drive.drill import Drill
from harness.drive.ports import Machinery
from harness.model.errors import BadInput, RestoreproofError
from harness.model.faults import Fault, misplaced, name_of, outlives
from harness.model.history import FaultBegan, FaultHealed
from harness.model.plan import Plan


def demand_available(plan: Plan, machinery: Machinery) -> None:
    """Raise BadInput naming what of the plan's faults and survivors can't be done here, with reasons."""
    reasons = {
        name_of(fault): why
        for fault in plan.faults
        if (why := misplaced(fault, plan.survivors) or machinery.available(fault))
    }
    takes_over = plan.survivors == "standby" or plan.switchovers
    if takes_over and (why := machinery.refuses_failover()):
        reasons["a failover"] = why
    if reasons:
        raise BadInput(
            "this host can't do " + "; ".join(f"{name} ({why})" for name, why in reasons.items()),
            cure="run the plan on a host that can, or draw another one",
        )


class Injector:
    """The faults of one drill. ``begin`` a phase's, wait until ``healed``, or ``end`` them unhealed.

    A context: leaving it undoes whatever still bites.
    """

    def __init__(self, drill: Drill) -> None:
        self._drill = drill
        self._due: dict[asyncio.Task[None], Fault] = {}
        self._biting = drill.biting
        self._changes: set[asyncio.Task[None]] = set()

    def begin(self, phase: str, crew: Crew) -> None:
        """Let the faults of ``phase`` fall due; their times count from now."""
        for number, fault in enumerate(self._drill.plan.faults):
            if fault.phase == phase:
                task = crew.go(self._perform(number, fault), f"fault {number}")
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
        """Give up what is still due: what most faults struck at is about to be destroyed.

        Changes that are under way go on beside the destruction, and end with what they are about.
        """
        for task in self._due:
            task.cancel()
        self._due.clear()

    async def heal_survivors(self) -> None:
        """After a destruction: heal the faults that bite at what outlived it, and forget the others."""
        await self._settled()
        for number, fault in [*self._biting.items()]:
            if outlives(fault):
                await self._heal(number, fault)
        self._biting.clear()

    async def _settled(self) -> None:
        """Wait until no change is under way any more; each has limits of its own."""
        if self._changes:
            await asyncio.wait(self._changes)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Undo what still bites when a drill is over, however it ended; errors are noted, not raised."""
        await self._settled()
        for number, fault in [*self._biting.items()]:
            try:
                await self._heal(number, fault)
            except RestoreproofError as failed:
                self._drill.note(f"fault {number} ({name_of(fault)}) could not be undone: {failed}")

    async def _perform(self, number: int, fault: Fault) -> None:
        await self._drill.clock.sleep(fault.after_s)
        await self._change(self._strike(number, fault))
        await self._drill.clock.sleep(fault.down_s)
        await self._change(self._heal(number, fault))

    async def _change(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something to services: whoever waits for it may give up, but it is done to its end."""
        task = asyncio.get_running_loop().create_task(work)
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(self._note_failure)
            raise

    def _note_failure(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (failed := task.exception()) is not None:
            self._drill.note(f"a fault that was given up failed: {failed}")

    async def _strike(self, number: int, fault: Fault) -> None:
        self._biting[number] = fault
        struck_s = self._drill.journal.now_s()
        proof = await self._drill.world.machinery.disturb(fault)
        self._drill.journal.write(
            FaultBegan(
                at_s=self._drill.journal.now_s(),
                fault=number,
                proof=proof.words,
                bit=proof.seen,
                struck_s=struck_s,
            )
        )

    async def _heal(self, number: int, fault: Fault) -> None:
        proof = await self._drill.world.machinery.heal(fault)
        self._biting.pop(number, None)
        self._drill.healed_s = self._drill.clock.now_s()
        at_s = self._drill.journal.now_s()
        if proof.seen:
            self._drill.journal.write(FaultHealed(at_s=at_s, fault=number, proof=proof.words))
        else:
            self._drill.note(f"fault {number} ({name_of(fault)}) was not seen healed: {proof.words}")
