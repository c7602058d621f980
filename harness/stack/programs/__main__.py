"""``python -m harness.stack.programs``: what ``make setup`` runs; says nothing when nothing is missing."""

from __future__ import annotations

import signal
import sys
import time
from types import FrameType
from typing import NoReturn

from harness.model.errors import RestoreproofError
from harness.stack.programs.progress import Silent, for_terminal
from harness.stack.programs.setup import fetch, missing, wanted

EXIT_INTERRUPTED = 130


def main() -> int:
    """Fetch what is missing; returns the exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        if missing(wanted(Silent())):
            _fetch_with_progress()
    except RestoreproofError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - this is a command
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; nothing half-fetched is kept", file=sys.stderr)  # noqa: T201 - this is a command
        return EXIT_INTERRUPTED
    return 0


def _fetch_with_progress() -> None:
    began_s = time.monotonic()
    print("setup: programs of the stack, fetched once", flush=True)  # noqa: T201 - this is a command
    with for_terminal() as watcher:
        fetch(watcher)
    print(f"setup: complete after {time.monotonic() - began_s:.0f} s", flush=True)  # noqa: T201 - this is a command


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
