"""What a stack needs of a host, and which hosts there are: plain processes here, or containers.

A host runs ``ServiceSpec`` descriptions and gives them names and addresses (it is a ``Site``). Both hosts
run the very same descriptions, behind ports that never change while the stack lives.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

from harness.stack.service import Command, Killable, Pausable, Restartable, ServiceSpec, Site

HostName = Literal["local", "containers"]


class Service(Killable, Pausable, Restartable, Protocol):
    """One service on a host: nothing runs before ``start``."""

    spec: ServiceSpec

    def describe(self, spec: ServiceSpec) -> None:
        """Take another description, of the same name, from the next ``start`` on; it may be running now.

        Its files are written then, on the data that is there; ``prepare`` fills an empty folder as ever.
        """
        ...

    def run_once(self, command: Command) -> None:
        """Run a program once on the data of the service, which must be down, as its user.

        Raises HarnessFailed with what the program said, or TimedOut.
        """
        ...

    def pids(self) -> list[int]:
        """Return the pids of all its processes, as this machine counts them; none when it is gone."""
        ...

    def is_running(self) -> bool:
        """Whether the main process lives; a paused one does."""
        ...

    def strike(self) -> None:
        """Crash it without waiting; ``kill`` must follow and see every process of it gone."""
        ...

    def terminate(self, *, limit_s: float) -> int:
        """Ask it to end (SIGTERM), wait for it, return its exit code; raises TimedOut."""
        ...

    def destroy(self) -> None:
        """Delete its data and files; it must have been killed."""
        ...

    def memory_bytes(self) -> int:
        """Return the memory that it takes, in bytes: what it shares is counted in proportion, or once."""
        ...

    def log_tail(self) -> str:
        """Return the end of its log."""
        ...


class Host(Site, Protocol):
    """Runs the services of one stack. ``folder`` is the stack's, ``logs`` holds ``<service>.log`` files."""

    folder: Path
    logs: Path

    @property
    def name(self) -> HostName:
        """Which of the hosts it is."""
        ...

    @property
    def beside(self) -> Host:
        """Where processes of the harness itself run, and the archiver, whatever the others run in."""
        ...

    def service(self, spec: ServiceSpec) -> Service:
        """Return a handle on the service; nothing is started yet."""
        ...

    def evidence(self) -> dict[str, object]:
        """Return what a verdict must name: ``host`` and the ``versions`` of what runs on it."""
        ...

    def close(self) -> None:
        """End everything of the stack and remove its traces; may be called twice."""
        ...
