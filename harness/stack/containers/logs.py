"""Copies what a container says into the stack's folder, as it is said: others wait for lines in it."""

from __future__ import annotations

import threading
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.stack.containers.engine import REFUSALS

END_S_MAX = 5.0


class LogFollower:
    """Appends the output of a container to ``log``, in a thread of its own, from each start to its end."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._thread: threading.Thread | None = None

    def follow(self, container: Any, since: str | None = None) -> None:
        """Copy all that was said, or what is said ``since`` an instant, in the engine's own words."""
        self.settle()
        after = {} if since is None else {"since": datetime.fromisoformat(since).timestamp()}
        said = container.logs(stream=True, follow=True, **after)
        self._log.touch()
        self._thread = threading.Thread(target=self._copy, args=(said,), name=self._log.name, daemon=True)
        self._thread.start()

    def settle(self) -> None:
        """Wait until all that a container said before it ended is copied."""
        if self._thread is not None:
            self._thread.join(END_S_MAX)

    def _copy(self, said: Any) -> None:
        try:
            with self._log.open("ab", buffering=0) as log:
                for chunk in said:
                    log.write(chunk)
        except REFUSALS as broken:  # the engine went away: say so where the output would stand
            with self._log.open("a") as log:
                log.write(f"[restoreproof: no more of the log: {broken}]\n")
