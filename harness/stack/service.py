"""What a service of the stack is: one description each, the same for every host.

``ServiceSpec`` says what to run, with which arguments, files and ports, and which *fact* shows that it is
ready. It names no path and no address of a machine: those it asks of a ``Site``, the naming half of a
host. The local host runs a description as a plain process, the container host as a container.

What can be done to a service are tiny protocols (``Killable``, ``Pausable``, ``Restartable``,
``Partitionable``, ``Copyable``, ``Clocked``); a description lists those that make sense for it, and a host
may be unable to do one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import msgspec

from harness.stack.wait import POLL_S

Program = Literal[
    "postgres", "initdb", "pg_basebackup", "pg_rewind", "broker", "connect", "minio", "toxiproxy", "python"
]
"""Programs that descriptions name. ``broker`` and ``connect`` are Java with that class path."""


@runtime_checkable
class Killable(Protocol):
    """Can be made to crash: every process of it ends at once, nothing is flushed or said goodbye to."""

    def kill(self) -> None: ...


@runtime_checkable
class Pausable(Protocol):
    """Can be stopped in its tracks and set going again; connections stay open meanwhile."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...


@runtime_checkable
class Restartable(Protocol):
    """Can be started again on the data it left; returns once its readiness fact holds."""

    def start(self) -> None: ...


@runtime_checkable
class Partitionable(Protocol):
    """Can be cut off from everybody while its processes go on, and be reached again by the same names."""

    def partition(self) -> None: ...

    def reconnect(self) -> None: ...


@runtime_checkable
class Copyable(Protocol):
    """Its data folder can be copied as it is at an instant, and filled from such a copy before a start."""

    def copy_data(self, to: Path) -> None:
        """Copy the data folder to ``to``, which must not exist; its processes stand still for a moment."""
        ...

    def fill(self, copy: Path) -> None:
        """Make ``copy`` the data folder of a service that was never started; ``copy`` is gone then."""
        ...


@runtime_checkable
class Clocked(Protocol):
    """Its wall clock can be set off from the machine's; what is monotonic goes on as it was."""

    def set_clock(self, offset_s: float) -> None:
        """From its next start on its wall clock is so many seconds ahead, behind if negative."""
        ...


KERNELS_CLOCK: tuple[type, ...] = (Killable, Pausable, Restartable, Partitionable)
"""What a static Go program is able to: it asks the kernel for the time, and no library in between."""
ALL_ABILITIES: tuple[type, ...] = (*KERNELS_CLOCK, Clocked)


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where something listens: ``host`` (a name or an IPv4 address) and TCP ``port``."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The address as a plain HTTP URL without a trailing slash."""
        return f"http://{self}"


class Site(Protocol):
    """The names of a host: where a service's ports, data and files are. ``port`` is a port's name.

    ``postgres_major`` is the major version of Postgres there, measured: descriptions say what it can do.
    """

    @property
    def postgres_major(self) -> int: ...

    def listen(self, port: str) -> Address:
        """Return what the service itself binds."""
        ...

    def inside(self, port: str) -> Address:
        """Return how other services reach it."""
        ...

    def outside(self, port: str) -> Address:
        """Return how the harness, and processes beside it, reach it."""
        ...

    def data(self, service: str) -> str:
        """Return the service's data folder, as the service sees it."""
        ...

    def file(self, service: str, name: str) -> str:
        """Return the path of one of the service's ``files``, as the service sees it."""
        ...


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """A program and its arguments."""

    program: Program
    arguments: tuple[str, ...]


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """Files that ``command`` makes in the data folder and that may be copied from stack to stack.

    ``key`` names the template and changes with whatever it depends on. ``substitute``: texts to replace
    in the copies, so that each stack gets identities of its own.
    """

    key: str
    command: Command
    files: tuple[str, ...]
    substitute: dict[str, str] = {}


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """What shows that a service is ready: ``words`` for people, ``probe`` as ``wait.wait_for`` takes it."""

    words: str
    probe: Callable[[], object]
    limit_s: float = 60.0
    poll_s: float = POLL_S
    transient: tuple[type[Exception], ...] = ()


class ServiceSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One service.

    ``files``: configuration by file name, as text, readable to the service alone. ``prepare`` fills an
    empty data folder before the first start. ``unprivileged``: refuses to run as root.
    """

    name: str
    run: Command
    ready: Fact
    ports: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    files: dict[str, str] = {}
    prepare: tuple[Command | Template, ...] = ()
    unprivileged: bool = False
    abilities: tuple[type, ...] = ALL_ABILITIES
