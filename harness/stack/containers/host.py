"""The containers host: names, network and containers of one stack.

Every port has the same number inside a container and published on loopback, so that one number is enough
wherever it is spoken of. The archiver, and whatever else is a program of the harness itself, stays a
process of this machine: those run on a local host over the same folder and ports.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.stack.containers import arguments, engine, sweep
from harness.stack.containers.arguments import EVERYWHERE, Settings
from harness.stack.containers.context import StackContext
from harness.stack.containers.gate import Gate
from harness.stack.containers.network import StackNetwork
from harness.stack.containers.service import ContainerService
from harness.stack.host import HostName, Service
from harness.stack.images import Image, ImageName
from harness.stack.local import LocalHost
from harness.stack.owner_labels import of_stack
from harness.stack.service import Address, ServiceSpec
from harness.stack.wait import wait_until

ABANDONED_S_MAX = 30.0


class ContainersHost:
    """Names (it is a ``Site``) and containers of one stack; ``beside``: the local host of that stack."""

    def __init__(
        self, *, beside: LocalHost, images: Mapping[ImageName, Image], settings: Settings, templates: Path
    ) -> None:
        self.folder = beside.folder
        self.logs = beside.logs
        self._beside = beside
        self._images = images
        self._ports = settings.ports
        self._stack_id = settings.stack_id
        self._connection = engine.connect()
        self._gate = Gate()
        self._closed = False
        sweep.remove(sweep.left_behind(self._connection.client))
        network = StackNetwork(
            self._connection.client, f"restoreproof-{self._stack_id}", of_stack(self._stack_id)
        )
        network.create()
        self._context = StackContext(
            connection=self._connection,
            settings=settings,
            images=images,
            network=network,
            gate=self._gate,
            logs=self.logs,
            templates=templates,
        )

    @property
    def name(self) -> HostName:
        """Containers."""
        return "containers"

    @property
    def beside(self) -> LocalHost:
        """Where processes of the harness itself run."""
        return self._beside

    @property
    def postgres_major(self) -> int:
        """The major version of Postgres, as the image itself says."""
        return self._images["postgres"].postgres_major

    def listen(self, port: str) -> Address:
        """Return what the service itself binds: whatever the container has."""
        return Address(host=EVERYWHERE, port=self._ports[port])

    def inside(self, port: str) -> Address:
        """Return how other services reach it: each port is a name in the stack's network."""
        return Address(host=port, port=self._ports[port])

    def outside(self, port: str) -> Address:
        """Return how the harness reaches it: published on loopback."""
        return self._beside.outside(port)

    def data(self, service: str) -> str:
        """Return the service's data folder, inside its container."""
        return arguments.data(service)

    def file(self, service: str, name: str) -> str:
        """Return the path of one of the service's configuration files, inside its container."""
        return arguments.file(service, name)

    def service(self, spec: ServiceSpec) -> Service:
        """Return a handle on the service; nothing is started yet."""
        if spec.run.program == "python":
            return self._beside.service(spec)
        return ContainerService(self._context, spec)

    def evidence(self) -> dict[str, object]:
        """Return the host's name, the engine, and id and versions of each image."""
        with engine.asked("say its version"):
            version = self._connection.client.version()["Version"]
        return {
            "host": "containers",
            "engine": version,
            "images": {
                name: {"reference": image.reference, "id": image.id, "own": image.own}
                for name, image in self._images.items()
            },
            "versions": {
                program: version
                for image in self._images.values()
                for program, version in image.versions.items()
            },
        }

    def close(self) -> None:
        """End and remove everything of the stack, processes beside it included; may be called twice."""
        self._gate.shut()
        if self._closed:
            return
        client = self._connection.client
        sweep.remove(sweep.of_stack(client, self._stack_id))  # makes those inside the gate fail soon
        wait_until("nobody makes a container any more", self._gate.is_empty, limit_s=ABANDONED_S_MAX)
        sweep.remove(sweep.of_stack(client, self._stack_id))
        self._closed = True
        client.close()
        self._beside.close()
