"""However the harness ends, its stacks end with it.

Leaving a ``with``, an exception and Ctrl-C need nothing more than ``with``; a normal end of the
interpreter is met by ``atexit``. SIGTERM and SIGHUP would skip both, so they are turned into what Ctrl-C
is, which asyncio, pytest and the command line all know to let through. A SIGKILL can't be met: the next
start sweeps what it left (``folder.sweep``).
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP came: everything ends as it does after Ctrl-C."""


def exit_on_signals() -> None:
    """Make SIGTERM and SIGHUP raise Terminated in the main thread, unless somebody handles them.

    Does nothing outside the main thread, where Python can't set handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for signum in _SIGNALS:
        if signal.getsignal(signum) == signal.SIG_DFL:
            signal.signal(signum, _raise)


def at_end(close: Callable[[], None]) -> Callable[[], None]:
    """Have ``close`` called when this process ends; return what takes that back.

    A forked child inherits the call but must not end its parent's stack: it is tied to this process.
    """
    owner = os.getpid()

    def close_if_owner() -> None:
        if os.getpid() == owner:
            close()

    atexit.register(close_if_owner)
    return lambda: atexit.unregister(close_if_owner)


def _raise(signum: int, _frame: FrameType | None) -> None:
    raise Terminated(signal.Signals(signum).name)
