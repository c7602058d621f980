"""How a stack is to be started."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from harness.stack.host import HostName
from harness.stack.programs import Programs

JavaOptions = Mapping[str, tuple[str, ...]]
"""Further options of the virtual machine for the programs ``broker`` and ``connect``."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one container may take at most: mebibytes of memory, and processors; None for no limit."""

    memory_mb: int | None = None
    cpus: float | None = None


class StackOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to start a stack.

    ``host``: where services run. ``root``: where stacks keep their folders. ``logs``: a folder for logs
    that shall outlive the stack. ``first_port``: the first of its consecutive ports, free ones are picked
    when None. ``programs``: the cache's when None. ``java_options``: see ``LocalHost``; None to use
    ahead-of-time caches, which are made if they are missing. ``witness``: a stack that can have no second
    witness is refused before anything of it is started. For containers only: ``images`` to run instead
    of our own, by image name (``postgres``, ``java``, ``minio``, ``toxiproxy``), and ``limits`` of each.
    """

    host: HostName = "local"
    root: Path | None = None
    logs: Path | None = None
    first_port: int | None = None
    programs: Programs | None = None
    java_options: JavaOptions | None = None
    witness: bool = False
    images: Mapping[str, str] = {}
    limits: Limits = Limits()
