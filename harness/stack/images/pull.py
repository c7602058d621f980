"""Pulls an image, and can be told to stop meanwhile."""

from __future__ import annotations

import threading

from docker.client import DockerClient
from docker.errors import DockerException

from harness.stack.images.engine import in_words
from harness.stack.programs.children import Stopped


def pull(client: DockerClient, reference: str, stopping: threading.Event) -> str:
    """Pull ``reference``; returns why it could not be had, or an empty string.

    Raises Stopped once ``stopping`` is set: the engine gives up when its answer is left half-read.
    """
    refusal = ""
    try:
        for news in client.api.pull(*name_and_tag(reference), stream=True, decode=True):
            if stopping.is_set():
                raise Stopped
            refusal = news.get("error", refusal)
    except DockerException as refused:
        return in_words(refused)
    return refusal


def name_and_tag(reference: str) -> tuple[str, str | None]:
    """A digest is part of the name; without a tag or digest the engine would pull every tag there is."""
    name, colon, tag = reference.rpartition(":")
    if "@" in reference:
        return reference, None
    return (name, tag) if colon and "/" not in tag else (reference, "latest")
