"""Removes images of ours whose place a newer one has taken, unless a container uses them."""

from __future__ import annotations

from docker.client import DockerClient
from docker.errors import APIError, ImageNotFound

CONFLICT = 409
"""The engine's answer for an image in use."""


def remove_others(client: DockerClient, reference: str) -> None:
    """Remove all images but ``reference`` in its repository, which is ours alone."""
    repository = reference.rpartition(":")[0]
    tags = [tag for image in client.images.list(name=repository) for tag in image.tags]
    for tag in tags:
        if tag.startswith(f"{repository}:") and tag != reference:
            _remove_unused(client, tag)


def _remove_unused(client: DockerClient, tag: str) -> None:
    try:
        client.images.remove(tag)
    except ImageNotFound:
        return  # somebody else was first
    except APIError as refused:
        if refused.status_code != CONFLICT:
            raise
