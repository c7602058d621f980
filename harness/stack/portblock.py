"""Free loopback ports for a stack, reserved so that stacks side by side never collide.

Ports are taken in blocks below the ephemeral range (20000 to 32000): a port from the ephemeral range
could be given to somebody's outgoing connection while its service is down between kill and start. The
reservation of a block is a bound abstract Unix socket: the kernel lets it go with its owner, however that
ends, it lives in the same network namespace as the ports, and it leaves no file behind.
"""

from __future__ import annotations

import os
import socket

from harness.model.errors import BadInput

FIRST, LAST = 20000, 32000
LOOPBACK = "127.0.0.1"


class PortBlock:
    """``size`` consecutive ports from ``first`` on, held until ``release``."""

    def __init__(self, first: int, size: int, lease: socket.socket) -> None:
        self.first = first
        self.size = size
        self._lease = lease

    def release(self) -> None:
        """Let others have the ports; may be called twice."""
        self._lease.close()


def reserve(size: int, *, first: int | None = None) -> PortBlock:
    """Reserve ``size`` free ports: exactly those from ``first`` on, or any free block.

    Raises BadInput when a wanted port is in use, or no block is free.
    """
    if first is not None:
        return _reserve_exactly(first, size)
    starts = list(range(FIRST, LAST - size + 1, size))
    turn = os.getpid() % len(starts)  # processes that start at once do not race for the same block
    for start in starts[turn:] + starts[:turn]:
        lease = _lease(start)
        if lease is None:
            continue
        if first_in_use(start, size) is None:
            return PortBlock(start, size, lease)
        lease.close()
    raise BadInput(
        f"no block of {size} free ports between {FIRST} and {LAST}",
        cure="stop stacks or other servers on this machine",
    )


def first_in_use(first: int, size: int) -> int | None:
    """Return the first of ``size`` ports on which something listens, or None."""
    return next((port for port in range(first, first + size) if not _is_free(port)), None)


def _reserve_exactly(first: int, size: int) -> PortBlock:
    lease = _lease(first)
    busy = first if lease is None else first_in_use(first, size)
    if lease is None or busy is not None:
        if lease is not None:
            lease.close()
        raise BadInput(
            f"port {busy} is in use; the stack needs {first} to {first + size - 1}",
            cure="give another first port, or none at all to let the harness pick",
        )
    return PortBlock(first, size, lease)


def _lease(first: int) -> socket.socket | None:
    lease = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        lease.bind(f"\0restoreproof-ports-{first}")
    except OSError:
        lease.close()
        return None
    return lease


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
