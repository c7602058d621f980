"""Who answers for a stack: a process, named by boot, pid namespace, pid and start.

So neither a reboot nor a recycled pid makes a dead owner look alive.
An owner of another pid namespace counts as living: its pid can't be judged from here.
"""

from __future__ import annotations

import os

import msgspec

from harness.stack import processes


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """A process; ``started_ticks`` is its start, in ticks since boot."""

    boot_id: str
    pid_namespace: str
    pid: int
    started_ticks: int

    def __str__(self) -> str:
        """The owner as one line of text, which ``read`` takes."""
        return f"{self.boot_id}/{self.pid_namespace}/{self.pid}/{self.started_ticks}"

    @property
    def is_dead(self) -> bool:
        """Whether that process is gone for certain."""
        if self.boot_id != processes.boot_id():
            return True
        if self.pid_namespace != processes.pid_namespace():
            return False
        return processes.start_ticks(self.pid) != self.started_ticks


def this_process() -> Owner:
    """Return this process as an owner."""
    pid = os.getpid()
    ticks = processes.start_ticks(pid)
    assert ticks is not None  # this process is alive
    return Owner(
        boot_id=processes.boot_id(),
        pid_namespace=processes.pid_namespace(),
        pid=pid,
        started_ticks=ticks,
    )


def read(text: str) -> Owner | None:
    """Return the owner written as ``text``, None if it is no owner's."""
    parts = text.split("/")
    if len(parts) != 4 or not parts[2].isdecimal() or not parts[3].isdecimal():
        return None
    boot_id, pid_namespace, pid, ticks = parts
    return Owner(boot_id=boot_id, pid_namespace=pid_namespace, pid=int(pid), started_ticks=int(ticks))
