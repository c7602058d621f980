"""The simulated world: everything that a drill reaches, in memory and on a virtual clock.

It runs the reference archiver, restorer and subject themselves, not stand-ins: only what lies beyond their
ports is simulated. ``Parts`` says which classes those are, so that a planted defect can take the place of
one of them.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from harness.drive.journal import MemoryJournal
from harness.drive.ports import ObjectVersion, Proof, Rejoining, World
from harness.model.errors import HarnessFailed, SubjectFailed, TimedOut
from harness.model.faults import Fault
from harness.model.history import Lock, Place
from harness.model.plan import Plan
from harness.model.schema import Schema
from harness.simulate import faults
from harness.simulate.archive_ports import MemoryIndex, MemoryKeys, MemoryStore
from harness.simulate.copies import SimulatedCopies
from harness.simulate.database import SimulatedDatabase
from harness.simulate.feed import Connector, SimulatedFeed, Topic
from harness.simulate.intruder import SimulatedIntruder
from harness.simulate.latency import Latency
from harness.simulate.life import Life, LivingIndex, LivingKeys, LivingSource, LivingStore
from harness.simulate.operator import pg_timestamp
from harness.simulate.restoring import RestorerProcess
from harness.simulate.server import Server
from harness.simulate.sessions import Address
from harness.simulate.stages import SimulatedStages
from harness.simulate.storage import Catalogue
from harness.simulate.switches import Wires
from harness.simulate.target import SimulatedTarget
from harness.simulate.witness import SimulatedWitness
from harness.subject.port import Subject
from harness.subject.reference.archiver import Archiver, ArchiverPorts
from harness.subject.reference.format import MANIFEST_PREFIX
from harness.subject.reference.restorer import Restorer
from harness.subject.reference.signing import Signer, Trust
from harness.subject.reference.subject import ReferenceSubject
from harness.subject.reference.traces import ReferenceHoldings

FLUSH_INTERVAL_S: Final = 1.0
POLL_S: Final = 0.05
PROMOTED_S: Final = 0.4
FENCED_S: Final = 0.02


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """The backup system's parts: the reference ones, or defective ones derived from them.

    ``connector`` and ``server`` are not the backup system's own, but may misbehave as real ones do.
    ``store`` is the archiver's client of the object store. ``database``, ``machinery`` and ``journal`` are
    the harness's own hold on the world.
    """

    archiver: type[Archiver] = Archiver
    restorer: type[Restorer] = Restorer
    subject: Callable[[Subject], Subject] = lambda subject: subject
    connector: type[Connector] = Connector
    server: type[Server] = Server
    store: type[LivingStore] = LivingStore
    target: type[SimulatedTarget] = SimulatedTarget
    database: type[SimulatedDatabase] = SimulatedDatabase
    machinery: Callable[[Site], SimulatedMachinery] = lambda site: SimulatedMachinery(site)  # noqa: PLW0108 - it is defined below
    journal: type[MemoryJournal] = MemoryJournal


class Site:
    """What is shared between the ports of one world: addresses, bucket, keys, and the archiver's disk."""

    def __init__(self, plan: Plan, schema: Schema, parts: Parts) -> None:
        self.schema = schema
        self.parts = parts
        self.latency = Latency(plan.seed)
        self.entropy = random.Random(plan.seed).randbytes
        self.chance = random.Random(f"failover {plan.seed}")
        self.wires = Wires(self.latency.clock)
        self.live = Address(self.latency)
        self.scratch = Address(self.latency)
        self.store = MemoryStore()
        self.keys = MemoryKeys()
        self.index = MemoryIndex()
        self.signer = Signer(Ed25519PrivateKey.from_private_bytes(self.entropy(32)))
        self.trust = Trust(self.signer.verify_key)
        self.stopped: str | None = None
        self.archiver: asyncio.Task[None] | None = None

    def archives(self) -> bool:
        """Whether an archiver is at work."""
        return self.archiver is not None and not self.archiver.done()


class SimulatedMachinery:
    """Starts, kills, destroys and rebuilds (``drive.ports.Machinery``)."""

    def __init__(self, site: Site) -> None:
        self.site = self._site = site
        self.connector: Connector | None = None
        self._clusters = 0
        self.topic: Topic | None = None
        self._capturing: asyncio.Task[None] | None = None
        self._archiver: asyncio.Task[None] | None = None
        self._life = Life()
        self._alone = False
        self.restorer: RestorerProcess | None = None

    async def prepare(self, *, fresh: bool) -> None:
        """Start a cluster with the schema in it; a fresh one takes the place of one that is captured."""
        fresh = fresh or not self._is_as_built()
        if fresh and self.topic is not None:
            await self.destroy()
        if fresh or self._site.live.server is None:
            await self.rebuild()
            self._server().build(self._site.schema)
        if self._alone:
            await self.rejoin("base backup")
        self._site.scratch.server = Server("scratch-0")

    def _is_as_built(self) -> bool:
        """Whether a script of an earlier drill left the catalogue as it was, or a restore rebuilt it."""
        server = self._site.live.server
        return server is None or server.catalogue == Catalogue(schema=self._site.schema)

    async def start_capture(self) -> None:
        """Start connector and archiver, unless they run; return when something new is in the manifest."""
        if self.topic is not None:
            return
        server = self._server()
        server.heartbeat = {
            "id": "1",
            "system_id": server.system_id,
            "timeline": str(server.timeline),
            "beat": "0",
            "asked": "0",
            "at": pg_timestamp(self._site.latency.clock.now_s()),
        }
        entries = self._entries()
        self.topic = Topic(f"topic-{server.system_id}")
        self.connector = self._site.parts.connector(server, self.topic, self._site.latency)
        self._capturing = _spawn(self.connector.run(), f"connector of {server.system_id}")
        await self.start_archiver()
        for _ in range(int(60 / POLL_S)):
            if self._entries() > entries:
                return
            await self._site.latency.clock.sleep(POLL_S)
        raise TimedOut("a heartbeat in the bucket", 60, self._site.stopped or "no manifest entry")

    def available(self, fault: Fault) -> str:
        """Return why a fault can't be simulated, or an empty text."""
        return faults.reason(fault)

    async def disturb(self, fault: Fault) -> Proof:
        """Inject a fault."""
        return await faults.disturb(self, fault)

    async def heal(self, fault: Fault) -> Proof:
        """Undo a fault."""
        return await faults.heal(self, fault)

    def archiver_runs(self) -> bool:
        """Whether the archiver's task runs."""
        return self._archiver is not None and not self._archiver.done()

    async def kill_archiver(self) -> None:
        """End the archiver as SIGKILL does."""
        self._life.end()
        await _end(self._archiver)

    def pause_archiver(self, *, paused: bool) -> None:
        """Stop the archiver in its tracks, or let it go on."""
        self._life.pause() if paused else self._life.resume()

    async def stop_connector(self) -> None:
        """End the connector's task."""
        await _end(self._capturing)

    def start_connector(self, *, again: int) -> None:
        """Let the connector go on, if it does not; the last ``again`` transactions come once more."""
        if self.connector is None or (self._capturing is not None and not self._capturing.done()):
            return
        server = self._server()
        self.connector.resume(server, again=again)
        self._capturing = _spawn(self.connector.stream(), f"connector of {server.system_id}")

    def forget_offsets(self) -> None:
        """Have a connector that stands still lose its offsets."""
        if self.connector is not None:
            self.connector.forget()

    async def resnapshot(self) -> None:
        """Do what ``archive resnapshot`` does: a new slot, the reader at the topic's end, a larger number.

        The archiver is not running, and is started by whoever asked.
        """
        server = self._server()
        if self.connector is None or self.topic is None or not server.alive:
            raise HarnessFailed("there is no capture to be repaired")
        await self.stop_connector()
        self.topic.committed = len(self.topic.events)
        server.heartbeat = {**server.heartbeat, "asked": str(int(server.heartbeat["asked"] or 0) + 1)}
        self.connector.on_new_slot(server)
        self._capturing = _spawn(self.connector.run(), f"connector of {server.system_id}")

    async def start_archiver(self) -> None:
        """Start a new archiver on the same feed, store and disk."""
        if self.topic is None:
            raise HarnessFailed("the archiver can't start before there is a feed")
        site = self._site
        self._life = life = Life()
        archiver = site.parts.archiver(
            schema=site.schema,
            ports=ArchiverPorts(
                feed=SimulatedFeed(self.topic, site.latency, life, site.wires["archiver-kafka"]),
                store=site.parts.store(site.store, site.latency, life, site.wires["archiver-minio"]),
                keys=LivingKeys(site.keys, life),
                index=LivingIndex(site.index, life),
                source=LivingSource(site.live.by(site.wires["archiver-primary"]), life),
                clock=site.latency.clock,
                signer=site.signer,
                trust=site.trust,
            ),
            flush_interval_s=FLUSH_INTERVAL_S,
            entropy=site.entropy,
        )
        site.stopped = None
        self._archiver = site.archiver = _spawn(self._run(archiver), "archiver")
        await site.latency.clock.sleep(POLL_S)

    async def destroy(self) -> tuple[str, ...]:
        """Kill everything but bucket and keys, the archiver first, disks included."""
        self._life.end()
        await _end(self._archiver)
        await _end(self._capturing)
        self.topic = self.connector = None
        self._site.wires.renew()
        self._site.index.lose()
        self._server().die()
        return ("archiver", "connect", "broker", "standby", "primary")

    def refuses_failover(self) -> str:
        """Return an empty text: one always can."""
        return ""

    async def strike_primary(self, *, fenced: bool) -> tuple[str, ...]:
        """Kill the primary; fenced, answers to its clients are lost for a moment before."""
        if self._alone:
            raise HarnessFailed("there is no standby that could take over")
        if fenced:
            wire = self._site.wires["clients-primary"]
            wire.resets, before = True, wire.resets
            await self._site.latency.clock.sleep(FENCED_S)
            wire.resets = before
        self._server().die()
        return ("primary",)

    async def promote(self) -> None:
        """Have the standby answer at the clients' address."""
        await self._site.latency.clock.sleep(PROMOTED_S)
        self._site.live.server = self._server().promoted(self._site.chance)
        self._alone = True

    async def resume_capture(self) -> None:
        """Let the connector go on at the new primary, from a little before where it was."""
        await self._site.latency.clock.sleep(PROMOTED_S)
        await self.stop_connector()
        self.start_connector(again=faults.AGAIN)

    async def rejoin(self, by: Rejoining) -> None:  # noqa: ARG002 - rows come either way
        """Have a standby again."""
        await self._site.latency.clock.sleep(PROMOTED_S)
        self._alone = False

    async def rebuild(self) -> None:
        """Start a new, empty cluster at the clients' address; its LSNs and xids begin anew."""
        self._clusters += 1
        self._alone = False
        self._site.live.server = self._site.parts.server(f"{7_300_000_000_000_000_000 + self._clusters}")

    async def _run(self, archiver: Archiver) -> None:
        try:
            await archiver.run()
        except SubjectFailed as failed:
            self._site.stopped = str(failed)

    def _server(self) -> Server:
        server = self._site.live.server
        if server is None:
            raise HarnessFailed("there is no database yet")
        return server

    def _entries(self) -> int:
        return sum(key.startswith(MANIFEST_PREFIX) for key in self._site.store.versions)


class SimulatedBucket:
    """The bucket as the harness lists it (``drive.ports.Bucket``)."""

    def __init__(self, store: MemoryStore, restorer: LivingStore) -> None:
        self._store = store
        self._restorer = restorer
        self._listed = 0

    async def new_versions(self) -> Sequence[ObjectVersion]:
        """List versions not listed before, in the order in which they became readable."""
        new = self._store.made[self._listed :]
        self._listed += len(new)
        return [ObjectVersion(key=key, version=version) for key, version in new]

    async def restorer_bytes(self) -> int:
        """Return how many bytes restores have read."""
        return self._restorer.sent_bytes

    async def locks(self, versions: Sequence[ObjectVersion]) -> Sequence[Lock]:
        """Return how versions are locked now."""
        return [await self._lock(one.key, one.version) for one in versions]

    async def _lock(self, key: str, version: str) -> Lock:
        there = any(version == found.version for found in await self._store.versions_of(key))
        left_s = await self._store.retention_s(key, version)
        mode = "" if left_s is None else "COMPLIANCE"
        return Lock(key=key, version=version, there=there, mode=mode, left_s=left_s or 0.0)


def build(plan: Plan, schema: Schema, parts: Parts | None = None) -> World:
    """Return a world in which nothing runs yet; to be used inside a virtual loop only."""
    site = Site(plan, schema, parts or Parts())
    life = Life()
    restores = LivingStore(site.store, site.latency, life, site.wires["restorer-minio"])
    targets = _targets(site, life)

    def over_copy(copy: MemoryStore) -> Subject:
        reads = LivingStore(copy, site.latency, Life())
        return site.parts.subject(_subject(site, plan, copy, reads, _targets(site, Life())))

    machinery = site.parts.machinery(site)
    machinery.restorer = restorer = RestorerProcess(
        lambda: _subject(site, plan, site.store, restores, targets), life, [*targets.values()]
    )
    holdings = ReferenceHoldings(schema=schema, store=site.store, keys=site.keys, trust=site.trust)
    return World(
        clock=site.latency.clock,
        database=site.parts.database(
            schema, site.live, site.scratch, clients=site.live.by(site.wires["clients-primary"])
        ),
        bucket=SimulatedBucket(site.store, restores),
        machinery=machinery,
        subject=site.parts.subject(restorer),
        intruder=SimulatedIntruder(site.store, site.latency),
        copies=SimulatedCopies(site.store, site.latency, over_copy),
        witness=SimulatedWitness(schema, site.live),
        stages=SimulatedStages(schema, lambda: machinery.topic, lambda: site.live.server, holdings),
    )


def _targets(site: Site, life: Life) -> dict[Place, SimulatedTarget]:
    """Return what a restorer of that life restores into."""
    return {
        "live": site.parts.target(site.live.by(site.wires["restorer-primary"]), life),
        "scratch": site.parts.target(site.scratch, life),
    }


def _subject(
    site: Site, plan: Plan, store: MemoryStore, reads: LivingStore, targets: Mapping[Place, SimulatedTarget]
) -> Subject:
    """Return the reference over ``store``; ``reads``: through which its restores read."""
    return ReferenceSubject(
        store=LivingStore(store, site.latency, Life()),
        restorer=site.parts.restorer(schema=site.schema, store=reads, keys=site.keys, trust=site.trust),
        targets={**targets},
        clock=site.latency.clock,
        flush_interval_s=FLUSH_INTERVAL_S,
        promise_s=plan.promise_s,
        stopped=lambda: site.stopped,
        lives=site.archives,
        trust=site.trust,
    )


def _spawn(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """Start a task of the world; an error in it fails the run, since nobody else would hear of it."""
    task = asyncio.get_running_loop().create_task(work, name=name)
    task.add_done_callback(_report)
    return task


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        context = {"message": f"{task.get_name()} failed", "exception": error}
        task.get_loop().call_exception_handler(context)


async def _end(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.wait([task])
