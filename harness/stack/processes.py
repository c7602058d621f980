"""Which processes of this machine belong to a stack, and ending them without ever hitting another.

A process is a stack's when its environment carries the stack's marker. Postgres overwrites its own
environment block with its title, so a ``postgres`` whose working directory lies in the stack's folder
counts as well. A signal goes through a pidfd taken *before* the check, so that a recycled pid can't be
hit. Everything is read from ``/proc``.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

from harness.stack.wait import wait_until

MARKER = "RESTOREPROOF_STACK"
_PROC = Path("/proc")
_GONE = (FileNotFoundError, ProcessLookupError, PermissionError)


def start_ticks(pid: int) -> int | None:
    """Return when ``pid`` was started, in clock ticks since boot, or None if there is none."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except _GONE:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


def is_stopped(pid: int) -> bool:
    """Whether a process stands still by a signal."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except _GONE:
        return False
    return stat.rpartition(")")[2].split()[0] == "T"


def boot_id() -> str:
    """Return the kernel's random id of this boot."""
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def pid_namespace() -> str:
    """Return the name of the namespace in which pids of this process mean something."""
    return str((_PROC / "self/ns/pid").readlink())


def of_stack(stack_id: str, folder: Path) -> list[int]:
    """Return the pids of all living processes of that stack, whose data lie below ``folder``."""
    return [pid for pid in _all() if _belongs(pid, stack_id, folder)]


def of_service(stack_id: str, data: Path) -> list[int]:
    """Return the pids of the processes of that stack which work in ``data`` or below."""
    return [p for p in _all() if _works_in(p, data) and _belongs(p, stack_id, data)]


def send(pids: list[int], signum: signal.Signals, stack_id: str, folder: Path) -> None:
    """Send a signal to those of ``pids`` that still are processes of the stack."""
    for pid in pids:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            if _belongs(pid, stack_id, folder):
                signal.pidfd_send_signal(handle, signum)
        except ProcessLookupError:
            pass  # it ended meanwhile
        finally:
            os.close(handle)


def end_stack(stack_id: str, folder: Path, *, limit_s: float = 15.0) -> None:
    """Kill every process of a stack and return once none is left; raises TimedOut."""

    def none_left() -> bool:
        left = of_stack(stack_id, folder)
        send(left, signal.SIGKILL, stack_id, folder)
        return not left

    wait_until(f"no process of stack {stack_id} is left", none_left, limit_s=limit_s, poll_s=0.02)


def pss_bytes(pid: int) -> int:
    """Return the proportional share of memory of a process in bytes, 0 if it is gone."""
    try:
        rollup = (_PROC / str(pid) / "smaps_rollup").read_text()
    except _GONE:
        return 0
    lines = (line.split() for line in rollup.splitlines())
    return sum(int(fields[1]) * 1024 for fields in lines if fields[0] == "Pss:")


def _all() -> Iterator[int]:
    me = os.getpid()
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and int(entry.name) != me:
            yield int(entry.name)


def _belongs(pid: int, stack_id: str, folder: Path) -> bool:
    return _marked(pid, stack_id) or (_is_postgres(pid) and _works_in(pid, folder))


def _marked(pid: int, stack_id: str) -> bool:
    try:
        environment = (_PROC / str(pid) / "environ").read_bytes()
    except _GONE:
        return False
    return f"{MARKER}={stack_id}".encode() in environment.split(b"\0")


def _is_postgres(pid: int) -> bool:
    return _link(pid, "exe").removesuffix(" (deleted)").endswith("/postgres")


def _works_in(pid: int, folder: Path) -> bool:
    place = _link(pid, "cwd").removesuffix(" (deleted)")
    return place == str(folder) or place.startswith(f"{folder}/")


def _link(pid: int, name: str) -> str:
    try:
        return str((_PROC / str(pid) / name).readlink())
    except _GONE:
        return ""
