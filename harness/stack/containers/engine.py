"""The engine as a stack uses it: a connection, settings for Testcontainers, refusals as our errors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

from harness.model.errors import HarnessFailed, MissingProgram
from harness.stack.images.engine import CURE, in_words
from harness.stack.portblock import LOOPBACK

REFUSALS = (DockerException, requests.RequestException)
CONFLICT = 409
"""The engine's status for what a container's state does not allow: to kill one that has ended, say."""


@contextmanager
def asked(what: str) -> Iterator[None]:
    """Raise what the engine refuses inside the ``with`` as HarnessFailed; ``what`` follows "can't"."""
    try:
        yield
    except REFUSALS as refused:
        raise HarnessFailed(
            f"the engine can't {what}: {in_words(refused)}", cure=_cure(refused)
        ) from refused


class UnlessGone:
    """Lets pass, inside a ``with``, that a container, network or volume is gone, going, or not running."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        is_conflict = isinstance(error, APIError) and error.status_code == CONFLICT
        return is_conflict or isinstance(error, NotFound)


def connect() -> Any:
    """Return Testcontainers' connection to the engine; raises MissingProgram when none answers.

    The caller closes its ``client``.
    """
    try:
        testcontainers = _testcontainers()
    except DockerException as unreachable:
        raise MissingProgram(f"no Docker engine answers: {unreachable}", cure=CURE) from unreachable
    return testcontainers


def _testcontainers() -> Any:
    """Settle what Testcontainers would guess wrong here, and connect.

    Where ``/.dockerenv`` exists it takes loopback ports for unreachable, though ours are published there.
    Its reaper is used if its image is there and nobody decided otherwise; it is never pulled, since the
    sweep at each start removes what a killed run left.
    """
    from testcontainers.core.config import ConnectionMode, testcontainers_config
    from testcontainers.core.docker_client import DockerClient

    if Path("/.dockerenv").exists():
        if testcontainers_config.connection_mode_override is None:
            testcontainers_config.connection_mode_override = ConnectionMode.docker_host
        testcontainers_config.tc_host_override = testcontainers_config.tc_host_override or LOOPBACK
    connection = DockerClient()
    if "TESTCONTAINERS_RYUK_DISABLED" not in os.environ and not _has(
        connection.client, testcontainers_config.ryuk_image
    ):
        os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"
    return connection


def _has(client: Any, reference: str) -> bool:
    try:
        client.images.get(reference)
    except ImageNotFound:
        return False
    return True


def _cure(refused: Exception) -> str:
    said = str(refused)
    if "port is already allocated" in said or "address already in use" in said:
        return "something else took a port of this stack: start again, or give another first port"
    return "see the engine's own log"
