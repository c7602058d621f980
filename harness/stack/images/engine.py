"""The Docker engine, reached as docker-py does: by DOCKER_HOST and its kin, else by the local socket.

Nothing here starts or installs one: ``docker/ensure-engine`` in a checkout does, for machines without.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import requests
from docker.client import DockerClient
from docker.errors import ContainerError, DockerException, ImageNotFound

from harness.model.errors import BadInput, HarnessFailed, MissingProgram

CURE = (
    "start Docker and join its group, or set DOCKER_HOST; on a machine without an engine run"
    " `docker/ensure-engine` of a checkout as root"
)
SILENT_S_MAX = 300.0
"""How long the engine may say nothing in the middle of an answer."""


@contextmanager
def connected(*, silent_s_max: float = SILENT_S_MAX) -> Iterator[DockerClient]:
    """Hold a connection to the engine; raises MissingProgram when none answers.

    What the engine itself refuses inside the block is raised as HarnessFailed.
    """
    try:
        client = DockerClient.from_env(timeout=silent_s_max)
    except DockerException as unreachable:
        raise MissingProgram(f"no Docker engine answers: {unreachable}", cure=CURE) from unreachable
    try:
        yield client
    except (DockerException, requests.RequestException) as refused:
        raise HarnessFailed(
            f"the Docker engine refused: {refused}", cure="see the engine's own log"
        ) from refused
    finally:
        client.close()


def output_of(client: DockerClient, image: str, command: Sequence[str]) -> str:
    """Return what ``command`` says in a container of its own; raises BadInput when it fails."""
    program, *arguments = command
    try:
        said = client.containers.run(
            image, arguments, entrypoint=[program], remove=True, network_disabled=True, stderr=True
        )
    except ImageNotFound:
        raise
    except (ContainerError, DockerException) as failed:
        cure = f"use an image that has {program} on its PATH"
        raise BadInput(
            f"`{' '.join(command)}` does not run in the image {image}: {failed}", cure=cure
        ) from failed
    return bytes(said).decode(errors="replace").strip()
