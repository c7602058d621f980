"""One service as a container: Killable, Pausable, Restartable, Partitionable.

The container is made at the first start and started again at later ones, so that it keeps its volume and
its published ports. Where a new description changes more than files, another container is made on the same
volume.
"""

from __future__ import annotations

import threading
from typing import Any

from harness.model.errors import BadInput, ServiceDied, TimedOut
from harness.stack.containers import archives, arguments, prepare
from harness.stack.containers.archives import ROOT
from harness.stack.containers.context import StackContext
from harness.stack.containers.engine import UnlessGone, asked
from harness.stack.containers.logs import LogFollower
from harness.stack.local import tail
from harness.stack.service import Command, ServiceSpec
from harness.stack.wait import NotYet, wait_for, wait_until

KILLED_S_MAX = 30.0


class ContainerService:
    """One service of a stack; nothing exists before ``start``."""

    def __init__(self, context: StackContext, spec: ServiceSpec) -> None:
        self.spec = spec
        self._context = context
        self._log = context.logs / f"{spec.name}.log"
        self._follower = LogFollower(self._log)
        self._container: Any = None
        self._made_from: ServiceSpec | None = None
        self._is_prepared = False
        self._striking: threading.Thread | None = None

    def describe(self, spec: ServiceSpec) -> None:
        """Take another description of the service, from its next start on."""
        self.spec = spec

    def start(self) -> None:
        """Start the service, on the data it left if any, and return once its readiness fact holds.

        Raises TimedOut, or ServiceDied when it ended before it was ready.
        """
        if self.is_running():
            raise BadInput(f"{self.spec.name} is running already", cure="kill it first")
        with self._context.gate.passing(self.spec.name):
            if self._fits():
                self._start_again()
            else:
                self._make()
            self.wait_ready()

    def wait_ready(self) -> None:
        """Wait for the readiness fact; raises TimedOut or ServiceDied, with the end of the log."""
        fact = self.spec.ready
        not_yet: tuple[type[Exception], ...] = (NotYet, *fact.transient)

        def probe() -> None:
            try:
                fact.probe()
            except not_yet as seen:
                if self.is_running():
                    raise
                raise self._died() from seen

        try:
            wait_for(fact.words, probe, limit_s=fact.limit_s, poll_s=fact.poll_s, transient=not_yet)
        except TimedOut as late:
            seen = f"{late.last_seen}; the log of {self.spec.name} ends:\n{self.log_tail()}"
            raise TimedOut(late.fact, late.spent_s, seen, cure=late.cure) from late

    def is_running(self) -> bool:
        """Whether the main process lives; a paused one does."""
        return bool(self._state().get("Running", False))

    def kill(self) -> None:
        """Crash the service: SIGKILL to its container, which ends every process in it; see them gone."""
        self.strike()
        if self._striking is not None:
            self._striking.join(KILLED_S_MAX)
        wait_until(
            f"no process of {self.spec.name} is left",
            lambda: not self.is_running(),
            limit_s=KILLED_S_MAX,
            poll_s=0.01,
        )
        self._follower.settle()

    def strike(self) -> None:
        """Send SIGKILL without waiting for the engine's answer; ``kill`` must follow and see it gone."""
        if self._container is not None:
            self._striking = threading.Thread(target=self._send_kill, daemon=True)
            self._striking.start()

    def pause(self) -> None:
        """Freeze every process of the service."""
        with asked(f"pause {self.spec.name}"):
            self._container.pause()

    def resume(self) -> None:
        """Let every process of the service go on."""
        with asked(f"resume {self.spec.name}"):
            self._container.unpause()

    def partition(self) -> None:
        """Cut the service off: it reaches nobody, and nobody, this machine included, reaches it."""
        self._context.network.cut_off(self._container)

    def reconnect(self) -> None:
        """Let the service be reached again under its names and ports."""
        launch = arguments.launch(self.spec, self._context.settings)
        self._context.network.take_back(self._container, launch.aliases)

    def terminate(self, *, limit_s: float) -> int:
        """Ask the main process to end (SIGTERM), wait for it, return its exit code; raises TimedOut."""
        if self._container is None:
            return 0
        with asked(f"end {self.spec.name}"), UnlessGone():
            self._container.kill(signal="SIGTERM")
        wait_until(f"{self.spec.name} ended", lambda: not self.is_running(), limit_s=limit_s)
        self._follower.settle()
        return int(self._state().get("ExitCode", 0))

    def destroy(self) -> None:
        """Remove container and volume of the service, which must have been killed."""
        self._remove_container()
        with asked(f"remove the data of {self.spec.name}"), UnlessGone():
            self._context.client.volumes.get(self._context.name_of(self.spec.name)).remove(force=True)
        self._is_prepared = False

    def run_once(self, command: Command) -> None:
        """Run a program once on the volume of the service, in a container of its own."""
        prepare.run_once(self._context, self.spec, command)

    def pids(self) -> list[int]:
        """Return the pids of all its processes, as the engine's machine counts them."""
        if not self.is_running():
            return []
        with asked(f"list the processes of {self.spec.name}"), UnlessGone():
            listed = self._container.top()
            column = listed["Titles"].index("PID")
            return [int(process[column]) for process in listed["Processes"]]
        return []

    def memory_bytes(self) -> int:
        """Return the memory of the container without page cache; what its processes share counts once."""
        if not self.is_running():
            return 0
        with asked(f"measure {self.spec.name}"):
            return memory_of(self._container.stats(stream=False, one_shot=True)["memory_stats"])

    def log_tail(self) -> str:
        """Return the end of its log."""
        return tail(self._log)

    def _make(self) -> None:
        """Make the container of this description, on the volume that is there or a new one; start it."""
        from testcontainers.core.container import DockerContainer

        self._remove_container()
        if not self._is_prepared:
            prepare.prepare(self._context, self.spec)
            self._is_prepared = True
        launch = arguments.launch(self.spec, self._context.settings)
        wrapper = DockerContainer(
            self._context.images[launch.image].reference,
            env=launch.environment,
            name=self._context.name_of(self.spec.name),
            network=self._context.network.wrapped,
            network_aliases=list(launch.aliases),
            **self._context.keywords(launch),
        )
        wrapper.with_command(list(launch.arguments))
        wrapper.with_volume_mapping(
            self._context.name_of(self.spec.name), arguments.data(self.spec.name), "rw"
        )
        published: dict[str, Any] = wrapper.ports  # with_bind_ports takes no address: it would be any
        published.update(launch.ports)
        for name, text in self.spec.files.items():
            wrapper.with_copy_into_container(text.encode(), arguments.file(self.spec.name, name))
        with asked(f"start {self.spec.name}"):
            self._run(wrapper)

    def _run(self, wrapper: Any) -> None:
        try:
            wrapper.start()
        finally:
            if wrapper._container is not None:
                self._container = self._context.client.containers.get(wrapper.get_container_id())
            wrapper.get_docker_client().client.close()
        self._made_from = self.spec
        self._follower.follow(self._container)

    def _fits(self) -> bool:
        """Whether the container that is there is the one of the present description, but for its files."""
        if self._made_from is None:
            return False
        settings = self._context.settings
        return arguments.launch(self._made_from, settings) == arguments.launch(self.spec, settings)

    def _start_again(self) -> None:
        ended = self._state()["FinishedAt"]
        folder = arguments.file(self.spec.name, "").rstrip("/")
        files = {name: text.encode() for name, text in self.spec.files.items()}
        with asked(f"start {self.spec.name} again"):
            if self._made_from is not self.spec:
                self._container.put_archive("/", archives.packed(folder, files, ROOT, mode=0o644))
                self._made_from = self.spec
            self._container.start()
            self._follower.follow(self._container, since=ended)

    def _remove_container(self) -> None:
        if self._container is not None:
            with asked(f"remove {self.spec.name}"), UnlessGone():
                self._container.remove(force=True, v=True)
            self._follower.settle()
        self._container = self._made_from = None

    def _send_kill(self) -> None:
        with asked(f"kill {self.spec.name}"), UnlessGone():
            self._container.kill()

    def _state(self) -> dict[str, Any]:
        """Return the engine's record of the container's state, empty if there is none."""
        if self._container is None:
            return {}
        with asked(f"inspect {self.spec.name}"), UnlessGone():
            return dict(self._context.client.api.inspect_container(self._container.id)["State"])
        return {}

    def _died(self) -> ServiceDied:
        self._follower.settle()
        return ServiceDied(
            f"{self.spec.name} ended {prepare.how_ended(self._state())}"
            f" before this held: {self.spec.ready.words};"
            f" its log ends:\n{self.log_tail()}",
            cure=f"read the whole of {self._log}",
        )


def memory_of(stats: dict[str, Any]) -> int:
    """Return memory in use without the page cache, from the engine's figures; shared memory is in use."""
    detail = stats["stats"]
    cache = detail.get("total_cache", detail.get("file", 0))
    shared = detail.get("total_shmem", detail.get("shmem", 0))
    return int(stats["usage"] - cache + shared)
