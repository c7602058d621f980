"""A whole stack: starts its services side by side, hands out their addresses, breaks and rebuilds them.

A start has phases that a caller may take apart: services; then the schema, which the caller gives; then
change capture; then the archiver. So tenants can be loaded before the connector's first start, and after
``destroy_all_but_archive`` a ``fresh_cluster`` comes up behind the same addresses.

Synchronous and tied to no event loop: threads start what can start at once. ``close`` (or leaving the
``with``) ends every process and removes every file, however far a start had come.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.model.errors import BadInput, UnknownName
from harness.stack import ending, folder, hosts
from harness.stack.capture import Capture
from harness.stack.copies import COPY_PORTS, BucketCopies
from harness.stack.endpoints import Endpoints, endpoints_of
from harness.stack.failover import Failover, OldPrimary, Promotion, RejoinBy
from harness.stack.host import Host, HostName, Service
from harness.stack.identity import AT_FIRST, Identity, new_identity
from harness.stack.links import LINKS, PROXIES, LinkName
from harness.stack.options import StackOptions
from harness.stack.service import (
    Address,
    Fact,
    Killable,
    Partitionable,
    Pausable,
    Restartable,
    ServiceSpec,
)
from harness.stack.services import archiver as archiver_service
from harness.stack.services import connect, kafka, minio, postgres, toxiproxy
from harness.stack.services.witness import PORT as WITNESS_PORT
from harness.stack.together import Progress, Step, chosen, run_step, run_together, silent
from harness.stack.wait import wait_for, wait_until
from harness.stack.witness import BarmanWitness

BUCKET_S_MAX = 10.0
STRUCK_S_MAX = 15.0
BEHIND_PROXY_S_MAX = 30.0
DESTRUCTION_ORDER = ("archiver", "connect", "kafka", "standby", "primary")
"""Who is killed, in this order, when only the archive survives."""

PORT_NAMES = (
    *(*AT_FIRST.values(), "connect", "minio", *PROXIES),
    *("kafka-control", "kafka-internal", "kafka-connect", "kafka-archiver"),
    *(link.name for link in LINKS),
    *COPY_PORTS,
    WITNESS_PORT,
)
"""Every port of a stack, in the order in which consecutive ones are given to them."""

_CLUSTER = ("primary", "standby", "kafka", "connect")


class Stack:
    """A running stack; made by ``Stack.start``, ended by ``close``."""

    endpoints: Endpoints
    identity: Identity
    folder: Path
    logs_dir: Path

    def __init__(self, host: Host, identity: Identity, progress: Progress) -> None:
        self._host = host
        self.identity = identity
        self.folder = host.folder
        self._progress = progress
        self._keys = host.folder / "keys"
        self._services: dict[str, Service] = {}
        self.proxies = self._proxies = toxiproxy.Proxies({name: host.outside(name).url for name in PROXIES})
        self._failover = Failover(host, self._services, self._proxies)
        self.copies = BucketCopies(host, identity, self._services)
        self.witness = BarmanWitness(host)
        self._describe_all()
        self._forget_end = ending.at_end(self.close)
        self.logs_dir = host.logs
        self.endpoints = endpoints_of(host, identity, self._keys)
        self.capture = Capture(host, identity, host.logs / "connect.log")

    @classmethod
    def start(
        cls,
        options: StackOptions | None = None,
        progress: Progress = silent,
        *,
        only: Collection[str] | None = None,
    ) -> Stack:
        """Sweep what dead owners left, then start all services and return once they are ready.

        ``only``: the names of those to start, where a part of the stack is enough.

        No schema is loaded, nothing is captured and no archiver runs yet. Raises BadInput for a port in
        use, too little disk, a missing program or witness, TimedOut or ServiceDied when a service does not
        come up; then nothing is left behind.
        """
        options = options or StackOptions()
        hosts.make_ready(options, progress, cls.prepare)
        stack = cls.prepare(options, progress)
        try:
            if options.witness:
                stack.witness.must_be_possible()
            stack.start_services(only)
        except BaseException:
            stack.close()
            raise
        return stack

    @classmethod
    def prepare(cls, options: StackOptions, progress: Progress) -> Stack:
        """Claim folder and ports for a stack, and start nothing."""
        ending.exit_on_signals()
        root = options.root or folder.default_root()
        folder.sweep(root)
        identity = new_identity()
        place = folder.claim(root, identity.id)
        try:
            host = hosts.open_host(options, identity.id, place, PORT_NAMES)
        except BaseException:
            folder.remove(place)
            raise
        return cls(host, identity, progress)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every process, remove every file, free every port; may be called twice."""
        self._host.close()
        self._forget_end()

    def start_services(self, only: Collection[str] | None = None) -> None:
        """Start Postgres pair, broker, Connect worker, object server and proxies, or those named."""
        self._keys.mkdir(mode=0o700, exist_ok=True)
        steps = [
            *(Step(name=name, run=self._services[name].start) for name in PROXIES),
            *self._cluster_steps(after_proxies=PROXIES),
            Step(name="minio", run=self._start_minio),
        ]
        wanted = steps if only is None else chosen(steps, only)
        run_together(wanted, progress=self._progress, abandon=self.close)

    def load_schema(self, sql: str) -> None:
        """Run the application's DDL as the owner of its tables, in one transaction."""
        postgres.run_sql(self.endpoints.app_dsn, sql)

    def load_capture_sql(self, sql: str) -> None:
        """Run what capture needs (publication, replica identities) as superuser, in one transaction."""
        postgres.run_sql(self.endpoints.admin_dsn, sql)

    def start_capture(self, settings: Mapping[str, str] | None = None) -> None:
        """Register the connector and return once it streams and would survive a failover.

        ``settings``: what the captured schema adds to the connector's.
        """
        self._shown("capture", lambda: self.capture.start(settings or {}))

    def stop_capture(self) -> None:
        """Remove the connector, its offsets and its slot: the next start snapshots anew."""
        self.capture.stop()

    def start_archiver(
        self, config: str, ready: Fact, program: tuple[str, ...] = archiver_service.PROGRAM
    ) -> None:
        """Start the reference archiver with this configuration; returns once ``ready`` holds.

        ``program``: another one in its place, as arguments for Python.
        """
        if "archiver" in self._services and self.is_running("archiver"):
            raise BadInput("archiver is running already", cure="kill it first")
        self._describe(archiver_service.archiver(self._host.beside, config, ready, program))
        self._shown("archiver", self._services["archiver"].start)

    def strike_all_but_archive(self) -> tuple[str, ...]:
        """Kill archiver, Connect, broker, standby and primary, in that order.

        Returns once the primary is dead, so that no write is acknowledged after the instant that a caller
        notes; gives the names of what was killed, in order. Object server, keys and proxies stay.
        """
        for service in self._doomed():
            service.strike()
        primary = self._services["primary"]
        wait_until(
            "the primary is dead", lambda: not primary.is_running(), limit_s=STRUCK_S_MAX, poll_s=0.005
        )
        return tuple(name for name in DESTRUCTION_ORDER if name in self._services)

    def destroy_all_but_archive(self) -> None:
        """See that what was struck is gone, and delete its disks."""
        for service in self._doomed():
            service.kill()
            service.destroy()

    def _doomed(self) -> list[Service]:
        return [self._services[name] for name in DESTRUCTION_ORDER if name in self._services]

    def fresh_cluster(self) -> None:
        """Start a new, empty cluster with a new broker behind the same addresses, after a destruction."""
        self._describe_cluster()
        self.capture.is_on = False
        run_together(self._cluster_steps(), progress=self._progress, abandon=self.close)

    def refuses_failover(self) -> str:
        """Return why no standby of this stack can take over with the connector's slot, or an empty text."""
        major = self._host.postgres_major
        return "" if postgres.has_failover_slots(self._host) else f"Postgres {major} loses the slot"

    def promote_standby(self, old_primary: OldPrimary = "killed") -> Promotion:
        """Make the standby primary behind the same addresses; returns once the connector goes on there.

        Raises as ``strike_primary``, and TimedOut.
        """
        self.strike_primary(old_primary)
        promoted = self.take_over()
        self.resume_capture()
        return promoted

    def strike_primary(self, old_primary: OldPrimary = "killed") -> None:
        """Kill the primary, to be followed by ``take_over``; returns once it is dead.

        Raises, before anything is done, BadInput without a running standby, and HarnessFailed when its copy
        of the connector's slot would be lost.
        """
        self._failover.require_standby()
        if self.capture.is_on:
            self.capture.require_failover_slot()
        self._failover.strike(old_primary)

    def take_over(self) -> Promotion:
        """Make the standby primary behind the same addresses; returns once they lead there.

        From here on *primary* is the other node, and it stands alone until ``rejoin``: its commits wait for
        nobody. Raises TimedOut.
        """
        return self._failover.promote()

    def resume_capture(self) -> None:
        """Return once the connector, if there is one, goes on from its slot on the new primary."""
        if self.capture.is_on:
            self.capture.resume()

    def rejoin(self, by: RejoinBy = "base backup") -> None:
        """Have the old primary, dead or alive, come back as the standby; returns once it is synchronous.

        The connector's slot would survive a next failover then. Raises HarnessFailed, TimedOut.
        """
        self._failover.rejoin(by)
        if self.capture.is_on:
            self.capture.wait_failover_slot()

    def kill(self, name: str) -> None:
        """Crash a service: SIGKILL to every process of it; returns once they are gone."""
        self._able(name, Killable).kill()

    def restart(self, name: str) -> None:
        """Start a killed service on the data it left; returns once its readiness fact holds.

        A primary must also answer behind its proxy: a container may come back with another address.
        """
        self._able(name, Restartable).start()
        self._proxies.recut(name)
        if name == "primary" and self.is_running("proxy-postgres"):
            wait_for(
                "the primary answers behind its proxy",
                lambda: postgres.one(self.endpoints.admin_dsn, "SELECT 1"),
                limit_s=BEHIND_PROXY_S_MAX,
                transient=postgres.NOT_THERE,
            )

    def pause(self, name: str) -> None:
        """Stop a service in its tracks."""
        self._able(name, Pausable).pause()

    def resume(self, name: str) -> None:
        """Let a paused service go on."""
        self._able(name, Pausable).resume()

    def partition(self, name: str) -> None:
        """Cut a service off from everybody, its processes go on; raises BadInput where the host can't."""
        self._partitionable(name).partition()

    def reconnect(self, name: str) -> None:
        """Let a service that was cut off be reached again."""
        self._partitionable(name).reconnect()

    def cut(self, link: LinkName) -> None:
        """Cut a link: its connections are closed and new ones refused."""
        self._proxies.cut(link)

    def heal(self, link: LinkName) -> None:
        """Let a link through again."""
        self._proxies.heal(link)

    def proxy_bytes(self, link: LinkName) -> int:
        """Return how many bytes the server has sent over a link since the proxies' last start.

        Closes the link's connections, since only closed ones are counted: call it while its client is
        idle. The client will connect anew.
        """
        return self._proxies.downstream_bytes_settled(link)

    @property
    def host_name(self) -> HostName:
        """On which host it runs."""
        return self._host.name

    def evidence(self) -> dict[str, object]:
        """Return what a verdict must name of the stack: host, versions, and what its Postgres can't do."""
        return {**self._host.evidence(), "failover_slot": postgres.has_failover_slots(self._host)}

    def memory_bytes(self) -> dict[str, int]:
        """Return the memory of each service, in bytes."""
        names = list(self._services)
        with ThreadPoolExecutor(len(names)) as pool:  # an engine may take a second for each
            return dict(
                zip(names, pool.map(lambda name: self.service(name).memory_bytes(), names), strict=True)
            )

    def port(self, name: str) -> int:
        """Return the port of a service, listener or link; raises UnknownName."""
        if name not in PORT_NAMES:
            raise UnknownName("port", name, list(PORT_NAMES))
        return self._host.outside(name).port

    def outside(self, name: str) -> Address:
        """Return where this machine reaches a service, listener or link; raises UnknownName."""
        return Address(host=self._host.outside(name).host, port=self.port(name))

    def is_running(self, name: str) -> bool:
        """Whether the main process of a service lives."""
        return self.service(name).is_running()

    def service(self, name: str) -> Service:
        """Return the handle of a service; raises UnknownName."""
        if name not in self._services:
            raise UnknownName("service", name, list(self._services))
        return self._services[name]

    def _able(self, name: str, ability: type) -> Service:
        service = self.service(name)
        if ability not in service.spec.abilities:
            raise BadInput(
                f"{name} is not {ability.__name__}", cure="name a service whose description says so"
            )
        if not isinstance(service, ability):
            raise BadInput(
                f"{name} is not {ability.__name__} on this host",
                cure="cut its links instead, or run the stack in containers",
            )
        return service

    def _partitionable(self, name: str) -> Partitionable:
        service = self._able(name, Partitionable)
        assert isinstance(service, Partitionable)  # what _able has just seen
        return service

    def _cluster_steps(self, after_proxies: tuple[str, ...] = ()) -> list[Step]:
        start = {name: self._services[name].start for name in _CLUSTER}
        return [
            Step(name="kafka", run=self._start_kafka),
            Step(name="connect", run=start["connect"], after=after_proxies),
            Step(name="primary", run=self._failover.start_primary),
            Step(name="standby", run=start["standby"], after=("primary", *after_proxies)),
        ]

    def _start_kafka(self) -> None:
        self._services["kafka"].start()
        kafka.create_topic(self._host.outside("kafka-internal"), self.identity.topic)

    def _start_minio(self) -> None:
        self._services["minio"].start()
        address = self._host.outside("minio")
        minio.create_bucket(address, self.identity)
        wait_for(
            "the bucket is locked by default",
            lambda: minio.expect_locked(address, self.identity),
            limit_s=BUCKET_S_MAX,
        )

    def _shown(self, name: str, run: Callable[[], None]) -> None:
        run_step(Step(name=name, run=run), (), self._progress)

    def _describe_all(self) -> None:
        for name in PROXIES:
            self._describe(toxiproxy.toxiproxy(self._host, name))
        self._describe(minio.minio(self._host, self.identity))
        self._describe_cluster()

    def _describe_cluster(self) -> None:
        self._failover.describe()
        self._describe(kafka.kafka(self._host))
        self._describe(connect.connect(self._host))

    def _describe(self, spec: ServiceSpec) -> None:
        self._services[spec.name] = self._host.service(spec)
