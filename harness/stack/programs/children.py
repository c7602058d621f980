"""Child processes of the set-up (pip, go): each with a limit, and none left behind.

Every child leads a process group of its own, so that the compilers under ``go build`` end with it. Once
``stop_all`` was called, work that is still queued in other threads ends with ``Stopped`` at its next step.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

LAST_WORDS_CHARS = 300

_running: set[subprocess.Popen[str]] = set()
_guard = threading.Lock()
_stopped = threading.Event()


class Stopped(Exception):
    """The set-up is ending; nothing new is started."""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """How a child ended: its exit ``code`` (negative: a signal) and all that it said."""

    code: int
    output: str

    @property
    def last_words(self) -> str:
        """The end of the output on one line, or the exit code of a silent child."""
        said = " ".join(self.output.split())
        return said[-LAST_WORDS_CHARS:] if said else f"exit code {self.code}"


def run(
    command: Sequence[str],
    *,
    limit_s: float,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Done:
    """Run ``command`` to its end and return what became of it; past ``limit_s`` it is killed.

    Raises Stopped if the set-up ended before or meanwhile.
    """
    child = _start(command, folder, environment)
    with child:
        try:
            output, _ = child.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            _kill(child)
            output = f"killed after {limit_s:.0f} s"
        finally:
            with _guard:
                _running.discard(child)
    go_on()
    return Done(code=child.returncode, output=output)


def go_on() -> None:
    """Return while the set-up goes on; raises Stopped when it doesn't."""
    if _stopped.is_set():
        raise Stopped


def begin() -> None:
    """A set-up begins: forget that an earlier one was stopped."""
    _stopped.clear()


def stop_all() -> None:
    """Kill every child that still runs, and let none be started until the next ``begin``."""
    with _guard:
        _stopped.set()
        for child in _running:
            _kill(child)


def _start(
    command: Sequence[str], folder: Path | None, environment: Mapping[str, str] | None
) -> subprocess.Popen[str]:
    # Under the guard, so that no child can slip in between a stop and its look at the running ones.
    with _guard:
        go_on()
        child = subprocess.Popen(
            command,
            cwd=folder,
            env=None if environment is None else {**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        _running.add(child)
    return child


def _kill(child: subprocess.Popen[str]) -> None:
    # Not reaped yet, so the group's number can't have been given to anybody else.
    if child.returncode is None:
        os.killpg(child.pid, signal.SIGKILL)
