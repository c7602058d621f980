"""The runner: one plan over one world, phase after phase, into one journal.

Writers, faults and watching tasks run beside the phases; whichever of them fails ends the drill, with its
own error. Every wait has a limit and names the fact awaited. The judge comes later, and reads the journal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from harness.drive.attacker import Attacker
from harness.drive.clusters import Clusters
from harness.drive.copies import Copier
from harness.drive.crew import Crew
from harness.drive.drill import Drill
from harness.drive.failover import FailOver
from harness.drive.injector import Injector, demand_available
from harness.drive.journal import Journal
from harness.drive.observer import LISTING_INTERVAL_S, Listed, Observer
from harness.drive.ports import ConnectionLost, Refused, World
from harness.drive.progress import Progress, Silent
from harness.drive.restores import Assignment, Restores, assign, assign_damaged, read_back, stored_rows
from harness.drive.saboteur import Saboteur
from harness.drive.tracer import Tracer
from harness.drive.witnesses import Hearing
from harness.drive.workload import Workload, load
from harness.model.errors import HarnessFailed, TimedOut
from harness.model.folder import SHARED_FILE
from harness.model.history import Destroyed, Ended, Started
from harness.model.plan import Plan
from harness.model.position import Position
from harness.model.schema import Schema


async def run_drill(
    plan: Plan,
    schema: Schema,
    world: World,
    journal: Journal,
    *,
    progress: Progress | None = None,
    listed: Listed | None = None,
) -> None:
    """Run ``plan`` and journal everything.

    ``listed``: what earlier drills on the same world listed, handed from drill to drill. Raises what ended
    a drill that could not go on, after saying so in the journal.
    """
    demand_available(plan, world.machinery)
    drill = Drill(plan, schema, world, journal, progress or Silent())
    journal.write(
        Started(
            wall_s=journal.begin(plan, schema),
            at_s=journal.now_s(),
            flush_interval_s=world.subject.flush_interval_s,
            listing_interval_s=LISTING_INTERVAL_S,
        )
    )
    try:
        async with Hearing(drill) as hearing, Injector(drill) as injector, Crew() as crew:
            await _Runner(drill, crew, injector, hearing, listed or Listed()).run()
    except (ConnectionLost, Refused) as lost:
        _end(journal, f"the database: {lost}")
        raise HarnessFailed(f"the harness itself could not use the database: {lost}") from lost
    except asyncio.CancelledError:
        _end(journal, "stopped from outside")
        raise
    except BaseException as cause:
        _end(journal, f"{type(cause).__name__}: {cause}")
        raise
    journal.write(Ended(at_s=journal.now_s(), complete=True))


def _end(journal: Journal, reason: str) -> None:
    journal.write(Ended(at_s=journal.now_s(), complete=False, reason=reason))


class _Runner:
    """The phases of one drill, in order."""

    def __init__(
        self, drill: Drill, crew: Crew, injector: Injector, hearing: Hearing, listed: Listed
    ) -> None:
        self.drill = drill
        self.plan = drill.plan
        self.world = drill.world
        self.crew = crew
        self.observer = Observer(drill, listed)
        self.workload = Workload(drill)
        self.injector = injector
        self.clusters = Clusters(drill)
        self.attacker = Attacker(drill, self.observer.name_needs)
        self.copier = Copier(drill, self.observer)
        self.tracer = Tracer(drill)
        self.hearing = hearing
        self.restores = Restores(drill, self.workload, self.observer)
        self.damaging = asyncio.Event()
        self.saboteur = Saboteur(drill, self.plan.scripts[0], self.damaging.set)

    async def run(self) -> None:
        await self.prepare()
        await self.load()
        await self.write()
        await self.script()
        if self.plan.survivors == "archive":
            await self.rebuild()
        await self.restore()
        if self.plan.again and len(self.plan.scripts) > 1:
            await self.again(Saboteur(self.drill, self.plan.scripts[1], lambda: None))
        await self.read()
        self.drill.phase("end")

    async def prepare(self) -> None:
        """Have services run and the database empty, and begin to watch."""
        self.drill.phase("load")
        machinery, limits = self.world.machinery, self.plan.limits
        fresh = self.plan.initial == "snapshot"
        await self.drill.within(limits.rebuild_s, "services run", machinery.prepare(fresh=fresh))
        self.copier.refuse()
        await self.tracer.begin()
        await self.observer.begin(self.crew)
        await self.drill.within(
            limits.load_s, "rows of earlier drills are removed", self.world.database.clear()
        )
        await self.clusters.meet()
        await self.hearing.begin()

    async def load(self) -> None:
        """Load all tenants, before the first start of capture or under it."""
        if self.plan.initial == "streamed":
            await self._capture()
        limit_s = self.plan.limits.load_s
        await self.drill.within(limit_s, "the initial rows are loaded", load(self.drill))
        if self.plan.initial == "snapshot":
            await self._capture()
        await self.restores.catalogue("live", "start")

    async def write(self) -> None:
        """Let writers write until the script may come."""
        await self.workload.start(self.crew)
        await self._switch_over()
        self.drill.phase("write")
        self.injector.begin("write", self.crew)
        self.attacker.begin("write", self.crew)
        self.copier.begin("write", self.crew)
        await self.drill.clock.sleep(self.plan.write_s)
        await self._reach_floors()

    async def _switch_over(self) -> None:
        """Exchange primary and standby, under the first writes, as often as the plan says."""
        if self.plan.switchovers:
            self.drill.phase("switch over")
        for number, planned in enumerate(self.plan.switchovers, 1):
            await self._failover().in_turn(number, planned)

    def _failover(self) -> FailOver:
        return FailOver(self.drill, self.workload, self.clusters)

    async def script(self) -> None:
        """Let the script loose; destroy what does not survive when the plan says so."""
        await self.observer.watermark()
        await self.tracer.follow()
        self.drill.phase("script")
        self.injector.begin("script", self.crew)
        destroying = self._destroying()
        limit_s = self.plan.limits.script_s
        self.crew.go(self._attack_at_incident(), "attacks at the incident")
        await self.drill.within(limit_s, "the script is through", self.saboteur.perform())
        self.damaging.set()
        if destroying is not None:
            await destroying

    async def rebuild(self) -> None:
        """Bring up an empty cluster in the place of the one that was destroyed."""
        await self.workload.stop_all()
        self.drill.phase("rebuild")
        await self.tracer.captured()
        await self.injector.heal_survivors()
        limit_s = self.plan.limits.rebuild_s
        await self.drill.within(limit_s, "a fresh cluster runs", self.world.machinery.rebuild())
        self.drill.doomed = False
        await self.tracer.begin()
        await self.clusters.meet()

    async def restore(self) -> None:
        """Restore every tenant, and see that what was restored in place is archived again."""
        await self.injector.healed()
        self.attacker.begin("restore", self.crew)
        await self.attacker.done()
        await self.copier.done()
        self.drill.phase("restore")
        self.workload.end_quiet()
        self.saboteur.learn()
        await self.workload.stop(self.saboteur.damage.deleted)
        await self.workload.take()
        await self.world.database.reset_scratch()
        assigned = assign(self.plan, self.saboteur.damage, self.drill.epochs)
        self.drill.tally.to_restore = len(assigned)
        if self.plan.survivors == "archive":
            await self._restore_into_fresh(assigned)
        else:
            self.injector.begin("restore", self.crew)
            reaper = self.crew.go(self._reap(), "reaper")
            await self._restore_beside_others(assigned, 1)
            await self.drill.within(self.plan.limits.script_s, "the reaper is through", reaper)
        await self.injector.healed()
        await self._archived_again()

    async def _reap(self) -> None:
        """Do what the script leaves to be done while tenants are restored."""
        await Saboteur(self.drill, self.plan.scripts[0], lambda: None).perform("restore")

    async def again(self, saboteur: Saboteur) -> None:
        """Damage some tenants once more, and restore them once more."""
        self.drill.phase("again")
        limit_s = self.plan.limits.script_s
        await self.drill.within(limit_s, "the second script is through", saboteur.perform())
        assigned = self._once_more(saboteur)
        self.drill.tally.to_restore += len(assigned)
        await self._restore_beside_others(assigned, 2)

    def _once_more(self, saboteur: Saboteur) -> list[Assignment]:
        """Return restores of who was damaged again; who never came back is still damaged as before."""
        saboteur.learn()
        first, again = (
            assign_damaged(self._tenants(), of.damage, self.drill.epochs)
            for of in (self.saboteur, saboteur)
        )
        before = {one.tenant: one for one in first if one.tenant not in self.restores.to_a_cut}
        return [before.get(one.tenant, one) for one in again]

    async def read(self) -> None:
        """Stop all writers and read everything once more."""
        await self.workload.end()
        self.drill.phase("read")
        database = self.world.database
        for tenant, rows in (await database.read(self._tenants(), "live")).items():
            read_back(self.drill, 0, tenant, rows)
        unowned = stored_rows(0, await database.read_unowned("live"), self.drill.where.tables)
        self.drill.journal.store(SHARED_FILE, unowned)
        await self.restores.catalogue("live", "end")
        await self.restores.sequences("live", "end")
        await self.observer.watermark()
        await self.observer.name_needs()
        await self.observer.look_at_locks()
        await self.tracer.captured()
        await self.tracer.archived(self.observer.start)
        await self.observer.end()
        await self.copier.check()
        await self.hearing.hear(self.restores)

    async def _restore_beside_others(self, assigned: Iterable[Assignment], round_: int) -> None:
        """Restore while all others write; who is back in place writes again at once."""
        await self.restores.catalogue("live", f"before the restores of round {round_}")
        async with self.world.database.readings():
            for assignment in assigned:
                await self.restores.restore(assignment, round_)
                if assignment.place == "live":
                    await self.restores.probe([assignment.tenant])
        await self.restores.beside(round_)

    async def _restore_into_fresh(self, assigned: Iterable[Assignment]) -> None:
        """Restore into the empty cluster, start capture there, and only then let tenants write."""
        async with self.world.database.readings():
            back = {a.place for a in assigned if await self.restores.restore(a, 1)}
        if "live" not in back:
            self.drill.note("nothing came back into the fresh cluster: there is nothing to capture")
            return
        await self._capture_again()
        self.injector.begin("restore", self.crew)
        await self.restores.probe(a.tenant for a in assigned if a.place == "live")

    async def _archived_again(self) -> None:
        lsn = self.drill.tally.probed_lsn
        if lsn:
            await self.observer.reach(Position(epoch=self.drill.epoch, lsn=lsn), self.plan.limits.settle_s)

    def _destroying(self) -> asyncio.Task[None] | None:
        """Begin to wait for the instant of the destruction, if there is to be one."""
        if self.plan.survivors == "archive":
            return self.crew.go(self._destroy(), "destruction")
        if self.plan.survivors == "standby":
            return self.crew.go(self._fail_over(), "failover")
        return None

    async def _fail_over(self) -> None:
        """Destroy the primary alone, so long after the first damaging COMMIT was sent."""
        await self.damaging.wait()
        await self.drill.clock.sleep(self.plan.destroy_after_s)
        self.drill.phase("fail over")
        await self._failover().for_good()

    async def _attack_at_incident(self) -> None:
        await self.damaging.wait()
        self.attacker.begin("incident", self.crew)
        self.copier.begin("incident", self.crew)

    async def _destroy(self) -> None:
        """Destroy everything but the archive, so long after the first damaging COMMIT was sent."""
        await self.damaging.wait()
        await self.drill.clock.sleep(self.plan.destroy_after_s)
        await self.injector.end()
        self.drill.doomed = True
        self.drill.phase("destroy")
        limit_s = self.plan.limits.rebuild_s
        services = await self.drill.within(
            limit_s, "everything but the archive is gone", self.world.machinery.destroy()
        )
        at_s = self.drill.journal.now_s()
        self.drill.journal.write(Destroyed(at_s=at_s, survivors=self.plan.survivors, services=services))
        self.drill.tally.forget_positions()

    async def _reach_floors(self) -> None:
        """Give slow writers time to write what a proof needs; the judge says what is still missing."""
        journal, tally = self.drill.journal, self.drill.tally
        end_s = journal.now_s() + self.plan.limits.floors_s
        while short := tally.short_of_floors(journal.now_s()):
            if journal.now_s() > end_s:
                self.drill.note(f"the script comes before these have written enough: {short}")
                return
            await self.drill.clock.sleep(LISTING_INTERVAL_S)

    async def _capture(self) -> None:
        """Have capture and archiver run, and the archive know the cluster."""
        await self._start_capture()
        await self.clusters.known()

    async def _capture_again(self) -> None:
        """Have them run on a fresh cluster. An archiver that stops there is for the judge to say."""
        try:
            await self._start_capture()
        except TimedOut as late:
            if not await self.observer.silent():
                raise
            self.drill.note(f"the archiver did not go on, on the fresh cluster: {late}")
        await self.clusters.known_if_ever()

    async def _start_capture(self) -> None:
        limit_s = self.plan.limits.capture_s
        await self.drill.within(
            limit_s, "a heartbeat is in the bucket", self.world.machinery.start_capture()
        )

    def _tenants(self) -> list[str]:
        return [tenant.tenant for tenant in self.plan.tenants]
