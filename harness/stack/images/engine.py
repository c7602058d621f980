"""The Docker engine, reached as docker-py does: by DOCKER_HOST and its kin, else by the local socket.

Nothing here starts or installs one: ``docker/ensure-engine`` in a checkout does, for machines without.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import requests
from docker.client import DockerClient
from docker.errors import APIError, DockerException

from harness.model.errors import BadInput, HarnessFailed, MissingProgram
from harness.stack.owner import this_process
from harness.stack.owner_labels import OWNER

CURE = (
    "start Docker and join its group, or set DOCKER_HOST; on a machine without an engine run"
    " `docker/ensure-engine` of a checkout as root"
)
DEFAULT_HOST = "unix:///var/run/docker.sock"
SILENT_S_MAX = 300.0
"""How long the engine may say nothing in the middle of an answer."""
RUN_S_MAX = 60.0
"""How long a program may take to say its version."""


@contextmanager
def connected(*, silent_s_max: float = SILENT_S_MAX) -> Iterator[DockerClient]:
    """Hold a connection to the engine; raises MissingProgram when none answers.

    What the engine itself refuses inside the block is raised as HarnessFailed.
    """
    try:
        _knock()
        client = DockerClient.from_env(timeout=silent_s_max)
    except (DockerException, OSError) as unreachable:
        raise MissingProgram(f"no Docker engine answers: {unreachable}", cure=CURE) from unreachable
    try:
        yield client
    except (DockerException, requests.RequestException) as refused:
        raise HarnessFailed(
            f"the Docker engine refused: {in_words(refused)}", cure="see the engine's own log"
        ) from refused
    finally:
        client.close()


def _knock() -> None:
    """Connect to the engine's socket file and hang up: docker-py leaks a socket where nobody answers."""
    address = os.environ.get("DOCKER_HOST") or DEFAULT_HOST
    if not address.startswith("unix://"):
        return
    path = "/" + address.removeprefix("unix://").lstrip("/")
    try:
        with socket.socket(socket.AF_UNIX) as knocking:
            knocking.connect(path)
    except OSError as refused:
        raise OSError(f"{address}: {refused.strerror}") from refused


def is_local(client: DockerClient) -> bool:
    """Whether the engine is reached by a socket file, and so serves processes of this machine only."""
    return str(client.api.base_url) == "http+docker://localhost"


def parse_version(version: str) -> tuple[int, ...]:
    """Return the numbers at the beginning of an engine's version: ``20.10.24+dfsg1`` is (20, 10, 24)."""
    numbers = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in numbers.group().split(".")) if numbers else ()


def output_of(client: DockerClient, image: str, command: Sequence[str]) -> str:
    """Return what ``command`` writes to standard output in ``image``; raises BadInput when it fails there.

    The container carries its owner like those of a stack do, so that what a killed run left is swept.
    """
    program, *arguments = command
    container = client.containers.create(
        image,
        arguments,
        entrypoint=[program],
        labels={OWNER: str(this_process())},
        network_disabled=True,
    )
    try:
        container.start()
        code = container.wait(timeout=RUN_S_MAX)["StatusCode"]
        said = [_text(container.logs(stdout=out, stderr=not out)) for out in (True, False)]
    except APIError as refused:
        code, said = refused.status_code, ["", in_words(refused)]
    finally:
        container.remove(force=True)
    if code != 0:
        raise BadInput(
            f"`{' '.join(command)}` in the image {image} ended with {code}: {said[1] or said[0]}",
            cure=f"use an image that has {program} on its PATH",
        )
    return said[0]


def in_words(refused: Exception) -> str:
    """Return the engine's own explanation on one line."""
    said = refused.explanation if isinstance(refused, APIError) else refused
    return " ".join(str(said or refused).split())


def _text(output: bytes) -> str:
    return output.decode(errors="replace").strip()
