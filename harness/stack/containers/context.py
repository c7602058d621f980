"""What the services of one stack on containers share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from harness.stack import owner_labels
from harness.stack.containers import arguments
from harness.stack.containers.arguments import Launch, Settings
from harness.stack.containers.gate import Gate
from harness.stack.containers.network import StackNetwork
from harness.stack.images import Image, ImageName


class StackContext(msgspec.Struct, frozen=True, kw_only=True):
    """What is handed to each service.

    ``connection``: Testcontainers' to the engine. ``templates``: the folder in which templates are kept.
    ``logs``: where logs go.
    """

    connection: Any
    settings: Settings
    images: Mapping[ImageName, Image]
    network: StackNetwork
    gate: Gate
    logs: Path
    templates: Path

    @property
    def client(self) -> Any:
        """The engine, as docker-py has it."""
        return self.connection.client

    def name_of(self, service: str) -> str:
        """Return the name of a service's container and of its volume."""
        return arguments.container_name(self.settings.stack_id, service)

    def labels(self) -> dict[str, str]:
        """Return the labels of everything that is made for this stack."""
        return owner_labels.of_stack(self.settings.stack_id)

    def keywords(self, launch: Launch) -> dict[str, Any]:
        """Return docker-py's keywords of ``create``, with the labels of the stack."""
        return {**launch.keywords, "labels": self.labels()}
