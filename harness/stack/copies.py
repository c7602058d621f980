"""Copies of the object server's data folder, and object servers of the same kind on them.

A copy is of an instant at which all processes of the server stand still: what a crash would have left.
MinIO writes an object beside its place and renames it: files can be copied after that instant.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from harness.model.errors import BadInput
from harness.stack.host import Host, Service
from harness.stack.identity import Identity
from harness.stack.service import Copyable
from harness.stack.services.minio import minio

COPY_PORTS = ("minio-copy-0", "minio-copy-1", "minio-copy-2")
"""Names of the services on copies, and of their ports: so many copies can be served at once."""


class BucketCopies:
    """The copies of one stack's bucket, by number."""

    def __init__(self, host: Host, identity: Identity, services: Mapping[str, Service]) -> None:
        self._host = host
        self._identity = identity
        self._services = services
        self._folder = host.folder / "copies"
        self._serving: list[Service] = []

    @property
    def possible(self) -> bool:
        """Whether this host can copy the data of a service."""
        return isinstance(self._services["minio"], Copyable)

    def take(self, copy: int) -> None:
        """Copy the data as they are; raises BadInput where that can't be done."""
        server = self._services["minio"]
        if not isinstance(server, Copyable):
            raise BadInput("minio is not Copyable on this host", cure="run the plan on the local host")
        place = self._folder / str(copy)
        shutil.rmtree(place, ignore_errors=True)  # of a drill that broke off before it was served
        server.copy_data(place)

    def serve(self, copies: Sequence[int]) -> dict[int, str]:
        """Start a server on each copy, side by side; return their URLs. Raises BadInput for too many."""
        if len(copies) > len(COPY_PORTS):
            raise BadInput(
                f"{len(copies)} copies can't be served at once", cure=f"take at most {len(COPY_PORTS)}"
            )
        named = dict(zip(copies, COPY_PORTS, strict=False))
        with ThreadPoolExecutor(len(COPY_PORTS)) as pool:
            list(pool.map(self._start, named.keys(), named.values()))
        return {copy: self._host.outside(name).url for copy, name in named.items()}

    def end(self) -> None:
        """Kill the servers and delete all copies."""
        for service in self._serving:
            service.kill()
            service.destroy()
        self._serving.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, copy: int, name: str) -> None:
        service = self._host.service(minio(self._host, self._identity, name=name))
        assert isinstance(service, Copyable)  # as its like was, when the copy was taken
        service.fill(self._folder / str(copy))
        self._serving.append(service)
        service.start()
