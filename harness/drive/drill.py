"""What all parts of one running drill share."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Final

from harness.drive.bindings import Bindings
from harness.drive.journal import Journal
from harness.drive.limits import POLL_S, T, within
from harness.drive.performer import Performer, Where
from harness.drive.ports import ConnectionLost, World
from harness.drive.progress import Progress
from harness.drive.successor import Successor
from harness.drive.tally import Tally
from harness.model.faults import Fault
from harness.model.history import Actor, Note, PhaseBegan
from harness.model.plan import Plan
from harness.model.schema import Schema

HEALED_S: Final = 1.0
"""For so long after a fault was healed, a lost connection may still be its doing."""


class Drill:
    """One plan on its way through one world: the plan, the ports, the journal, and who holds which rows.

    ``doomed``: the cluster is being destroyed, or gone: nobody tries to reach it again. ``biting``: the
    faults that bite now, by number; ``healed_s``: when the last one was healed, on the drill's clock.
    """

    def __init__(
        self, plan: Plan, schema: Schema, world: World, journal: Journal, progress: Progress
    ) -> None:
        self.plan = plan
        self.schema = schema
        self.world = world
        self.clock = world.clock
        self.journal = journal
        self.progress = progress
        self.tally = Tally(plan)
        self.where = Where(schema, journal, self.tally, self.clock)
        self.shared = Bindings()
        self.bindings = {t.tenant: Bindings(self.shared) for t in plan.tenants}
        self.epochs: dict[int, int] = {}
        self.doomed = False
        self.successor = Successor()
        self.biting: dict[int, Fault] = {}
        self.healed_s = -math.inf

    @property
    def epoch(self) -> int:
        """The archive's ordinal for the cluster that answers now, 0 while it knows none."""
        return self.epochs.get(self.where.cluster, 0)

    def phase(self, name: str) -> None:
        """Go on to phase ``name``."""
        self.journal.write(PhaseBegan(at_s=self.journal.now_s(), phase=name))
        self.progress.phase(name)

    def note(self, text: str) -> None:
        """Write down something that no check depends on."""
        self.journal.write(Note(at_s=self.journal.now_s(), text=text))

    def performer(self, actor: Actor, tenant: str | None) -> Performer:
        """Return who performs transactions of ``tenant`` (None: of nobody) as ``actor``."""
        bindings = self.shared if tenant is None else self.bindings[tenant]
        return Performer(self.where, actor, tenant, bindings)

    @property
    def disturbed(self) -> bool:
        """Whether a connection may be lost by a fault now."""
        return bool(self.biting) or self.clock.now_s() <= self.healed_s + HEALED_S

    async def patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Return what ``call`` returns once the database answers again, if it was a fault that it did not.

        Raises ConnectionLost when none explains it, and when the cluster is doomed.
        """
        while True:
            began_s = self.clock.now_s()
            try:
                return await call()
            except ConnectionLost:
                if self.doomed or not (self.disturbed or self.healed_s >= began_s):
                    raise
            await self.clock.sleep(POLL_S)

    async def within(
        self,
        limit_s: float,
        fact: str,
        work: Awaitable[T],
        *,
        seen: Callable[[], object] = lambda: "nothing",
    ) -> T:
        """Return what ``work`` returns; raises TimedOut naming ``fact`` after ``limit_s``."""
        return await within(self.clock, limit_s, fact, work, seen=seen)
