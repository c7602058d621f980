"""The runner keeps the order of phases, writes the same to a folder and to memory, and hides no cause."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from fixtures.handmade import QUIET, TENANTS, shop_plan
from harness import schemas
from harness.drive.campaign import Campaign, Series
from harness.drive.journal import FolderJournal, MemoryJournal
from harness.drive.ports import ConnectionLost, Machinery, Proof, Rejoining, World
from harness.drive.progress import Counts, Silent
from harness.drive.runner import run_drill
from harness.judge import check_run
from harness.model import folder
from harness.model.errors import BadInput, HarnessFailed, SubjectFailed, TimedOut
from harness.model.faults import Fault, Kill, name_of
from harness.model.history import (
    AnyEntry,
    ClusterSeen,
    Cut,
    Destroyed,
    Done,
    Ended,
    Entry,
    FaultBegan,
    FaultHealed,
    Need,
    NeedsNamed,
    Note,
    ObjectSeen,
    PhaseBegan,
    Place,
    ReadBack,
    RestoreBegan,
    RestoreDone,
    Sent,
    WriterEnded,
    decode_lines,
)
from harness.model.plan import Limits, Plan
from harness.model.verdict import CampaignVerdict, DrillVerdict
from harness.simulate.loop import VirtualClock, run
from harness.simulate.world import build
from harness.subject.port import RestoreResult, Subject, Watermark

SHOP = schemas.load("shop").schema
HIT = (QUIET, TENANTS[0], TENANTS[1])
Bend = Callable[[World], World]
E = TypeVar("E", bound=Entry)


def straight(world: World) -> World:
    """Leave the world as it is."""
    return world


def drill(plan: Plan, bend: Bend = straight) -> list[AnyEntry]:
    """Run ``plan`` on a simulated world that ``bend`` may change; return the history."""
    journal = MemoryJournal(VirtualClock())

    async def main() -> None:
        await run_drill(plan, SHOP, bend(build(plan, SHOP)), journal)

    run(main())
    return journal.entries


def failed_drill(plan: Plan, bend: Bend) -> tuple[HarnessFailed, list[AnyEntry]]:
    """Run a plan that can't be run to its end; return what ended it, and the history."""
    journal = MemoryJournal(VirtualClock())

    async def main() -> HarnessFailed:
        with pytest.raises(HarnessFailed) as caught:
            await run_drill(plan, SHOP, bend(build(plan, SHOP)), journal)
        return caught.value

    return run(main()), journal.entries


def of(kind: type[E], entries: Sequence[AnyEntry]) -> list[E]:
    """Return the entries of one kind."""
    return [entry for entry in entries if isinstance(entry, kind)]


def phases(entries: Sequence[AnyEntry]) -> list[str]:
    """Return the names of the phases, in order."""
    return [entry.phase for entry in of(PhaseBegan, entries)]


def history_of(path: Path) -> list[AnyEntry]:
    """Read the history of a run folder."""
    return list(decode_lines((path / folder.HISTORY).read_bytes().splitlines()))


class Machine:
    """Machinery that passes everything on; tests bend one thing of it."""

    def __init__(self, inner: Machinery) -> None:
        self.inner = inner

    async def prepare(self, *, fresh: bool) -> None:
        await self.inner.prepare(fresh=fresh)

    async def start_capture(self) -> None:
        await self.inner.start_capture()

    def available(self, fault: Fault) -> str:
        return self.inner.available(fault)

    async def disturb(self, fault: Fault) -> Proof:
        return await self.inner.disturb(fault)

    async def heal(self, fault: Fault) -> Proof:
        return await self.inner.heal(fault)

    async def destroy(self) -> tuple[str, ...]:
        return await self.inner.destroy()

    def refuses_failover(self) -> str:
        return self.inner.refuses_failover()

    async def strike_primary(self, *, fenced: bool) -> tuple[str, ...]:
        return await self.inner.strike_primary(fenced=fenced)

    async def promote(self) -> None:
        await self.inner.promote()

    async def resume_capture(self) -> None:
        await self.inner.resume_capture()

    async def rejoin(self, by: Rejoining) -> None:
        await self.inner.rejoin(by)

    async def rebuild(self) -> None:
        await self.inner.rebuild()


class Backup:
    """A subject that passes everything on; tests bend one thing of it."""

    name = "bent"

    def __init__(self, inner: Subject) -> None:
        self.inner = inner
        self.flush_interval_s = inner.flush_interval_s

    async def epoch(self, system_id: str, timeline: int) -> int:
        return await self.inner.epoch(system_id, timeline)

    async def watermark(self) -> Watermark | None:
        return await self.inner.watermark()

    async def needs(self) -> tuple[Need, ...]:
        return await self.inner.needs()

    async def restore(self, tenant: str, cut: Cut, place: Place) -> RestoreResult:
        return await self.inner.restore(tenant, cut, place)


def with_machine(kind: Callable[[Machinery], Machinery]) -> Bend:
    """Return how to put another machinery into a world."""
    return lambda world: msgspec.structs.replace(world, machinery=kind(world.machinery))


def with_backup(kind: Callable[[Subject], Subject]) -> Bend:
    """Return how to put another subject into a world."""
    return lambda world: msgspec.structs.replace(world, subject=kind(world.subject))


def test_phases_come_in_order() -> None:
    """A drill with everything surviving goes through six phases, and is complete."""
    entries = drill(shop_plan())
    assert phases(entries) == ["load", "write", "script", "restore", "read", "end"]
    assert of(Ended, entries)[-1].complete


def test_a_drill_that_only_the_archive_survives_rebuilds() -> None:
    """Destruction comes during or after the script, then a second cluster, with an epoch of its own."""
    entries = drill(shop_plan(survivors="archive", again=(TENANTS[0],), destroy_after_s=1.0))
    wanted = ["load", "write", "script", "destroy", "rebuild", "restore", "again", "read", "end"]
    assert phases(entries) == wanted
    known = {seen.cluster: seen.epoch for seen in of(ClusterSeen, entries)}
    assert known == {1: 1, 2: 2}
    hit_s = next(sent.at_s for sent in of(Sent, entries) if sent.actor == "script")
    assert of(Destroyed, entries)[0].at_s == pytest.approx(hit_s + 1.0, abs=0.05)


def test_destruction_at_once_meets_the_commit_on_its_way() -> None:
    """With no delay the cluster is gone while the first damaging COMMIT still waits for its answer."""
    entries = drill(shop_plan(survivors="archive", destroy_after_s=0.0))
    outcomes = [done.outcome for done in of(Done, entries) if done.actor == "script"]
    assert outcomes[0] == "unknown"
    restored = {r.tenant: r.cut for r in of(RestoreBegan, entries)}
    assert restored[QUIET].xid > 0
    assert restored[QUIET].lsn_upper == 0


def test_every_tenant_is_restored_and_read_back() -> None:
    """Each has a restore, its rows were read back, and were read again at the end."""
    entries = drill(shop_plan())
    everybody = {*TENANTS, QUIET}
    assert {done.tenant for done in of(RestoreDone, entries) if done.result == "restored"} == everybody
    assert {read.tenant for read in of(ReadBack, entries) if read.restore} == everybody
    assert {read.tenant for read in of(ReadBack, entries) if not read.restore} == everybody


def test_only_the_tenant_being_restored_stops_writing() -> None:
    """Neighbours write while a tenant is restored, and it writes again after its probe."""
    entries = drill(shop_plan())
    began = next(r for r in of(RestoreBegan, entries) if r.tenant == TENANTS[0])
    ended = next(r for r in of(RestoreDone, entries) if r.tenant == TENANTS[0])
    begun = [(d.tenant, d.begun_s or 0.0, d.actor) for d in of(Done, entries) if d.actor != "script"]
    assert not [b for b in begun if b[0] == TENANTS[0] and began.at_s <= b[1] <= ended.at_s]
    after = [b for b in begun if b[0] == TENANTS[0] and b[1] > ended.at_s]
    assert [actor for _, _, actor in after][:2] == ["probe", "writer"]
    last = max(d.at_s for d in of(RestoreDone, entries))
    neighbour = [b for b in begun if b[0] == TENANTS[3] and began.at_s < b[1] < last]
    assert len(neighbour) >= 3


def test_a_tenant_damaged_again_is_restored_again() -> None:
    """The second script's victims get a second restore in place, to a cut of their own."""
    entries = drill(shop_plan(again=(TENANTS[0],)))
    twice = [r for r in of(RestoreBegan, entries) if r.tenant == TENANTS[0]]
    assert [(r.round, r.place) for r in twice] == [(1, "live"), (2, "live")]
    assert twice[0].cut.xid < twice[1].cut.xid


def test_a_fault_has_a_proof_at_both_ends() -> None:
    """The archiver's kill is journalled with what showed it, and so is its healing."""
    entries = drill(shop_plan(faults=(Kill(service="archiver", phase="write", after_s=2.0, down_s=1.0),)))
    (began,), (healed,) = of(FaultBegan, entries), of(FaultHealed, entries)
    assert began.bit
    assert began.proof
    assert healed.at_s - began.at_s == pytest.approx(1.0, abs=0.3)


def test_a_fault_that_was_not_seen_healed_is_not_said_to_be() -> None:
    """Without proof there is no healing, only a note."""

    class Unproven(Machine):
        async def heal(self, fault: Fault) -> Proof:
            proof = await super().heal(fault)
            return Proof(seen=False, words=proof.words)

    faults = (Kill(service="archiver", phase="write", after_s=2.0, down_s=1.0),)
    entries = drill(shop_plan(faults=faults), with_machine(Unproven))
    assert of(FaultHealed, entries) == []
    assert any("was not seen healed" in note.text for note in of(Note, entries))


def test_a_fault_still_biting_is_given_up_when_its_target_is_destroyed() -> None:
    """An archiver that is down when all is destroyed is not started again."""
    faults = (Kill(service="archiver", phase="write", after_s=7.0, down_s=30.0),)
    entries = drill(shop_plan(survivors="archive", faults=faults))
    assert len(of(FaultBegan, entries)) == 1
    assert of(FaultHealed, entries) == []
    assert of(Ended, entries)[-1].complete


def test_snapshot_plans_are_loaded_before_capture() -> None:
    """The initial rows are there before the archive knows the cluster."""
    entries = drill(shop_plan(initial="snapshot"))
    loaded_s = max(done.at_s for done in of(Done, entries) if done.actor == "load")
    known_s = next(seen.at_s for seen in of(ClusterSeen, entries) if seen.epoch)
    assert loaded_s < known_s


def test_all_writers_are_accounted_for() -> None:
    """Each writer's end is journalled, as stopped or as run dry."""
    entries = drill(shop_plan())
    ended = {(end.tenant, end.ran_dry) for end in of(WriterEnded, entries)}
    assert ended == {(QUIET, True), *((tenant, False) for tenant in TENANTS)}


def test_a_wait_beyond_its_limit_names_the_fact() -> None:
    """A rebuild that never ends is an error with the fact, and the history says that it is incomplete."""

    class Stuck(Machine):
        async def rebuild(self) -> None:
            await asyncio.Event().wait()

    plan = msgspec.structs.replace(shop_plan(survivors="archive"), limits=Limits(rebuild_s=20.0))
    error, entries = failed_drill(plan, with_machine(Stuck))
    assert isinstance(error, TimedOut)
    assert error.fact == "a fresh cluster runs"
    ended = of(Ended, entries)[-1]
    assert not ended.complete
    assert "a fresh cluster runs" in ended.reason


def test_a_failure_beside_the_phases_ends_the_drill() -> None:
    """A fault that can't be injected is the harness's failure, with its own words."""

    class Broken(Machine):
        async def disturb(self, fault: Fault) -> Proof:
            raise HarnessFailed(f"no way to {name_of(fault)}")

    faults = (Kill(service="archiver", phase="write", after_s=2.0, down_s=1.0),)
    error, entries = failed_drill(shop_plan(faults=faults), with_machine(Broken))
    assert str(error) == "no way to kill archiver"
    assert phases(entries)[-1] == "write"


def test_a_database_that_is_lost_unplanned_is_the_harness_failing() -> None:
    """What the harness itself could not read is told as one error with a cause, not as a bare one."""

    class Leaves(Machine):
        async def heal(self, fault: Fault) -> Proof:
            await super().destroy()
            return Proof(seen=True, words=f"{name_of(fault)} is over, and all else is gone")

    faults = (Kill(service="archiver", phase="restore", after_s=0.0, down_s=0.0),)
    error, entries = failed_drill(shop_plan(faults=faults), with_machine(Leaves))
    assert "was not there to be read" in str(error)
    assert isinstance(error.__cause__, ConnectionLost)
    assert not of(Ended, entries)[-1].complete


def test_a_drill_stopped_from_outside_says_so() -> None:
    """Ctrl-C leaves a history with a last line."""
    journal = MemoryJournal(VirtualClock())

    async def main() -> None:
        plan = shop_plan()
        task = asyncio.ensure_future(run_drill(plan, SHOP, build(plan, SHOP), journal))
        await VirtualClock().sleep(5.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert of(Ended, journal.entries)[-1].reason == "stopped from outside"


def test_a_restore_without_an_answer_has_failed() -> None:
    """A subject that hangs, or raises what it may raise, fails that restore; the drill goes on."""

    class Hangs(Backup):
        async def restore(self, tenant: str, cut: Cut, place: Place) -> RestoreResult:
            if tenant == TENANTS[0]:
                await asyncio.Event().wait()
            if tenant == TENANTS[1]:
                raise SubjectFailed("out of paper")
            return await super().restore(tenant, cut, place)

    plan = msgspec.structs.replace(shop_plan(), limits=Limits(restore_s=5.0))
    entries = drill(plan, with_backup(Hangs))
    done = {d.tenant: d for d in of(RestoreDone, entries)}
    assert (done[TENANTS[0]].result, done[TENANTS[0]].detail) == ("failed", "no answer within 5 s")
    assert (done[TENANTS[1]].result, done[TENANTS[1]].detail) == ("failed", "out of paper")
    assert done[QUIET].result == "restored"
    assert of(Ended, entries)[-1].complete


def test_a_watermark_that_stands_still_does_not_end_a_drill() -> None:
    """An archive that never comes past the last restore is noted, and left to the judge."""

    class StandsStill(Backup):
        first: Watermark | None = None

        async def watermark(self) -> Watermark | None:
            self.first = self.first or await super().watermark()
            return self.first

    entries = drill(shop_plan(), with_backup(StandsStill))
    assert any("the watermark did not come to" in note.text for note in of(Note, entries))
    assert of(Ended, entries)[-1].complete


def test_a_subject_that_names_no_needs_is_noted() -> None:
    """Needs that can't be named are the subject's failure, never the drill's."""

    class Mute(Backup):
        async def needs(self) -> tuple[Need, ...]:
            raise SubjectFailed("no idea")

    entries = drill(shop_plan(), with_backup(Mute))
    assert of(NeedsNamed, entries) == []
    assert of(Ended, entries)[-1].complete


def test_a_run_folder_holds_what_memory_holds(tmp_path: Path) -> None:
    """The same plan journalled to files and to values: entry for entry, row for row."""
    plan = shop_plan()
    memory = MemoryJournal(VirtualClock())

    async def main() -> None:
        await run_drill(plan, SHOP, build(plan, SHOP), memory)

    async def to_folder() -> None:
        with FolderJournal(tmp_path, VirtualClock(), {"host": "none"}) as journal:
            await run_drill(plan, SHOP, build(plan, SHOP), journal)

    run(main())
    run(to_folder())
    written = history_of(tmp_path)
    assert written[1:] == memory.entries[1:]  # the first line holds the wall clock
    stored = {
        str(file.relative_to(tmp_path)): len(file.read_bytes().splitlines())
        for file in (tmp_path / folder.RESTORED).iterdir()
    }
    assert stored == {file: len(rows) for file, rows in memory.restored.items()}
    assert msgspec.json.decode((tmp_path / folder.ENVIRONMENT).read_bytes()) == {"host": "none"}


def test_a_run_folder_is_written_once(tmp_path: Path) -> None:
    """A second run into the same folder is refused before anything is started."""
    FolderJournal(tmp_path, VirtualClock(), {}).close()
    with pytest.raises(BadInput, match="holds a run already"):
        FolderJournal(tmp_path, VirtualClock(), {})


class Watcher(Silent):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.last = Counts()

    def drill(self, number: int, of: int, plan: Plan) -> None:
        self.told.append(f"drill {number}/{of} {plan.survivors}")

    def counts(self, counts: Counts) -> None:
        self.last = counts

    def judged(self, number: int, verdict: DrillVerdict) -> None:
        self.told.append(f"judged {number} {verdict.verdict}")


def test_a_campaign_runs_drills_on_one_world(tmp_path: Path) -> None:
    """Both kinds of survivors one after the other: each proven in its own folder, and summed up."""
    plans = (shop_plan(), shop_plan(survivors="archive", seed=8), shop_plan(initial="snapshot", seed=9))
    watcher = Watcher()

    async def main() -> tuple[DrillVerdict, ...]:
        series = Series(build(plans[0], SHOP), SHOP, {})
        campaign = Campaign(plans=plans, seed=1, profile="by hand")
        return await series.campaign(campaign, tmp_path, check_run, watcher)

    verdicts = run(main())
    assert [v.verdict for v in verdicts] == ["proven"] * 3
    summary = msgspec.json.decode((tmp_path / folder.CAMPAIGN).read_bytes(), type=CampaignVerdict)
    assert summary.verdict == "proven"
    assert summary.runs == ("drill-01", "drill-02", "drill-03")
    assert watcher.told[:3] == ["drill 1/3 all", "judged 1 proven", "drill 2/3 archive"]
    assert watcher.last.restored == watcher.last.to_restore == 5


def test_needs_are_those_of_the_drill_itself(tmp_path: Path) -> None:
    """On a warm stack a history does not repeat the archive's past, and lacks no object of its own."""
    plans = (shop_plan(), shop_plan(seed=8))

    async def main() -> None:
        series = Series(build(plans[0], SHOP), SHOP, {})
        await series.campaign(Campaign(plans=plans, seed=1, profile="x"), tmp_path, check_run)

    run(main())
    before, entries = (history_of(tmp_path / name) for name in ("drill-01", "drill-02"))
    seen = {(one.key, one.version) for one in of(ObjectSeen, entries)}
    (named,) = of(NeedsNamed, entries)
    assert {version for need in named.needs for version in need.objects} <= seen
    assert named.needs[0].objects != ()
    assert named.needs[0].lsn > of(NeedsNamed, before)[0].needs[0].lsn


def test_a_failed_drill_ends_its_campaign_and_is_judged(tmp_path: Path) -> None:
    """What was done until then is summed up as unknown, and the cause goes on."""

    class Stuck(Machine):
        async def rebuild(self) -> None:
            if self.clusters:
                raise HarnessFailed("no cluster")
            self.clusters += 1
            await super().rebuild()

        clusters = 0

    plans = (shop_plan(), shop_plan(survivors="archive", seed=8), shop_plan(seed=9))

    async def main() -> None:
        world = build(plans[0], SHOP)
        machinery = Stuck(world.machinery)
        machinery.clusters = 1
        series = Series(msgspec.structs.replace(world, machinery=machinery), SHOP, {})
        campaign = Campaign(plans=plans, seed=1, profile="x")
        with pytest.raises(HarnessFailed, match="no cluster"):
            await series.campaign(campaign, tmp_path, check_run)

    run(main())
    summary = msgspec.json.decode((tmp_path / folder.CAMPAIGN).read_bytes(), type=CampaignVerdict)
    assert summary.verdicts == ("proven", "unknown")
    assert summary.verdict == "unknown"
    assert not (tmp_path / "drill-03").exists()
