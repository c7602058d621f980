"""The one network of a stack: who is in it under which names, and who is cut off from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.stack.containers.engine import UnlessGone, asked


class StackNetwork:
    """A bridge of its own for each stack, made at the first need."""

    def __init__(self, client: Any, name: str, labels: Mapping[str, str]) -> None:
        from testcontainers.core.network import Network

        self._client = client
        self.wrapped = Network(docker_network_kw={"driver": "bridge", "labels": dict(labels)})
        self.wrapped.name = name

    @property
    def name(self) -> str:
        """Its name for the engine."""
        return str(self.wrapped.name)

    def create(self) -> None:
        """Make it; raises HarnessFailed, for instance when the engine has no addresses left for one."""
        with asked("make a network for the stack"):
            self.wrapped.create()

    def cut_off(self, container: Any) -> None:
        """Take a container out: it reaches nobody, nobody reaches it, its published ports included."""
        with asked(f"cut {container.name} off"), UnlessGone():
            self._client.networks.get(self.name).disconnect(container, force=True)

    def take_back(self, container: Any, aliases: tuple[str, ...]) -> None:
        """Put a container back under its names, which it loses when it is taken out."""
        with asked(f"connect {container.name} again"):
            self.wrapped.connect(container.id, list(aliases))
