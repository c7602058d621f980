"""Keeps a closing stack from growing: whoever makes something passes the gate, until it is shut."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from harness.model.errors import HarnessFailed


class Gate:
    """Open until ``shut``; knows how many are inside."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._shut = False

    @contextmanager
    def passing(self, what: str) -> Iterator[None]:
        """Be inside for the ``with``; raises HarnessFailed once the gate is shut."""
        with self._lock:
            if self._shut:
                raise HarnessFailed(f"{what} can't be started: the stack is closed")
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1

    def shut(self) -> None:
        """Let nobody in any more; those inside go on."""
        with self._lock:
            self._shut = True

    def is_empty(self) -> bool:
        """Whether nobody is inside."""
        with self._lock:
            return self._inside == 0
