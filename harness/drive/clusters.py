"""Which cluster answers at the clients' address, and whether the archive knows it."""

from __future__ import annotations

from harness.drive.drill import Drill
from harness.drive.limits import until
from harness.model.errors import SubjectFailed, TimedOut
from harness.model.history import ClusterSeen


class Clusters:
    """Numbers the clusters of one drill, from 1, and notes the archive's epoch for each."""

    def __init__(self, drill: Drill) -> None:
        self._drill = drill

    async def meet(self) -> None:
        """Note which cluster answers from now on."""
        self._drill.where.cluster += 1
        await self.note()

    async def note(self) -> bool:
        """Journal the cluster with the archive's epoch for it; return whether the archive knows one.

        A subject that fails to say knows none: what it restores shows whether it is broken.
        """
        who = await self._drill.world.database.cluster()
        try:
            epoch = await self._drill.world.subject.epoch(who.system_id, who.timeline)
        except SubjectFailed:
            epoch = 0
        cluster = self._drill.where.cluster
        if epoch or cluster not in self._drill.epochs:
            self._drill.epochs[cluster] = epoch
            self._drill.journal.write(
                ClusterSeen(
                    at_s=self._drill.journal.now_s(),
                    cluster=cluster,
                    system_id=who.system_id,
                    timeline=who.timeline,
                    epoch=epoch,
                )
            )
        return bool(epoch)

    async def known(self) -> None:
        """Wait until the archive knows the cluster; raises TimedOut."""
        if not self._drill.epoch:
            limit_s = self._drill.plan.limits.capture_s
            await self._drill.within(
                limit_s, "the archive knows the cluster", until(self._drill.clock, self.note)
            )

    async def known_if_ever(self) -> None:
        """Wait likewise, but not for an archiver that has stopped.

        That it did, or that its archive does not know the cluster by then, is for the judge to say.
        """
        if not self._drill.epoch:
            limit_s = self._drill.plan.limits.capture_s
            known = until(self._drill.clock, self._settled)
            try:
                await self._drill.within(limit_s, "the archive knows the cluster", known)
            except TimedOut as late:
                self._drill.note(f"the archive never knew the cluster: {late}")

    async def _settled(self) -> bool:
        if await self.note():
            return True
        try:
            seen = await self._drill.world.subject.watermark()
        except SubjectFailed:
            return False
        if seen is None or seen.state != "stopped":
            return False
        self._drill.note("the archiver stopped, and never knew the cluster")
        return True
