"""A failover in a drill: the primary dies, its standby takes over behind the same address, all go on.

Between the crash and the promotion all writers stand still, with what they had begun lost; so everything
before is on the old timeline, everything after on the new one, and the first snapshot of the promoted
primary, read before anybody writes again, says what became of every COMMIT that nobody answered.
"""

from __future__ import annotations

from harness.drive.clusters import Clusters
from harness.drive.doubts import Settlement
from harness.drive.drill import Drill
from harness.drive.workload import Workload
from harness.model.history import Destroyed, Settled, SwitchedOver
from harness.model.plan import SwitchOver

WITNESS = "the first snapshot of the promoted primary"


class FailOver:
    """Has the standby of one drill take over, for good or in turn."""

    def __init__(self, drill: Drill, workload: Workload, clusters: Clusters) -> None:
        self._drill = drill
        self._workload = workload
        self._clusters = clusters

    async def for_good(self) -> None:
        """Destroy the primary; everybody goes on, on the standby, which stands alone from then on."""
        fenced = self._drill.plan.fenced
        services = await self._strike(fenced=fenced)
        at_s = self._drill.journal.now_s()
        self._drill.journal.write(Destroyed(at_s=at_s, survivors="standby", services=services))
        await self._go_on()

    async def in_turn(self, number: int, planned: SwitchOver) -> None:
        """Have the standby take over, and the old primary come back as standby (FM-23)."""
        drill, limit_s = self._drill, self._drill.plan.limits.rebuild_s
        await drill.clock.sleep(planned.after_s)
        await self._strike(fenced=planned.fenced)
        await self._go_on()
        rejoining = drill.world.machinery.rejoin(planned.by)
        await drill.within(limit_s, "the old primary is the standby", rejoining)
        drill.journal.write(
            SwitchedOver(
                at_s=drill.journal.now_s(),
                number=number,
                proof=f"the old primary follows by {planned.by}, its slot synced and not temporary",
                archived=drill.epoch > 0,
            )
        )

    async def _strike(self, *, fenced: bool) -> tuple[str, ...]:
        drill = self._drill
        drill.successor.begin()
        limit_s = drill.plan.limits.rebuild_s
        strike = drill.world.machinery.strike_primary(fenced=fenced)
        return await drill.within(limit_s, "the primary is dead", strike)

    async def _go_on(self) -> None:
        drill, machinery = self._drill, self._drill.world.machinery
        drill.tally.forget_positions()
        await self._workload.stop_all()
        limit_s = drill.plan.limits.rebuild_s
        await drill.within(limit_s, "the standby is primary", machinery.promote())
        await self._clusters.meet()
        drill.successor.serves(await self._settled())
        self._workload.go_on_all()
        limit_s = drill.plan.limits.capture_s
        await drill.within(limit_s, "the capture goes on", machinery.resume_capture())
        await self._clusters.known_if_ever()

    async def _settled(self) -> dict[str, Settlement]:
        """Settle what can be, by one snapshot, and journal it."""
        doubts, journal = self._drill.where.doubts, self._drill.journal
        settled = doubts.settle(await self._drill.world.database.read(doubts.tenants, "live"))
        for name, outcome in settled.items():
            journal.write(Settled(at_s=journal.now_s(), name=name, outcome=outcome, witness=WITNESS))
        return settled
