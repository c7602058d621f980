"""The one module that lets real time pass: waiting for facts, never for durations.

A *probe* is a function that returns a value once its fact holds and raises ``NotYet`` (or one of the
errors that the caller calls transient) while it does not. Every wait has a limit; on expiry ``TimedOut``
names the fact, the time spent and the last thing seen.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from harness.model.errors import TimedOut

T = TypeVar("T")

POLL_S = 0.05


class NotYet(Exception):
    """Raised by a probe while its fact does not hold; the message is what was seen instead."""


def wait_for(
    fact: str,
    probe: Callable[[], T],
    *,
    limit_s: float,
    poll_s: float = POLL_S,
    transient: tuple[type[Exception], ...] = (),
) -> T:
    """Call ``probe`` every ``poll_s`` seconds until it returns, and return its value.

    ``transient``: errors that mean *not yet* (a refused connection, say); any other passes through.
    Raises TimedOut after ``limit_s`` seconds.
    """
    not_yet: tuple[type[Exception], ...] = (NotYet, *transient)
    began_s = time.monotonic()
    while True:
        try:
            return probe()
        except not_yet as seen:
            spent_s = time.monotonic() - began_s
            if spent_s >= limit_s:
                raise TimedOut(fact, spent_s, _in_words(seen)) from seen
        time.sleep(poll_s)  # noqa: TID251 - this is the module that may


def wait_until(fact: str, holds: Callable[[], bool], *, limit_s: float, poll_s: float = POLL_S) -> None:
    """Wait for a fact that is just true or false; raises TimedOut."""

    def probe() -> None:
        if not holds():
            raise NotYet("it does not hold")

    wait_for(fact, probe, limit_s=limit_s, poll_s=poll_s)


def hold() -> None:
    """Hold the calling thread until a signal raises an exception in it (Ctrl-C, SIGTERM)."""
    threading.Event().wait()


def _in_words(seen: Exception) -> str:
    text = " ".join(str(seen).split())
    return text if isinstance(seen, NotYet) else f"{type(seen).__name__}: {text}"
