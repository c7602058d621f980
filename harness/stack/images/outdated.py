"""Removes images of ours that are of no more use: a newer one has taken their place, or a build failed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from docker.client import DockerClient
from docker.errors import APIError, ImageNotFound

from harness.model.errors import TimedOut
from harness.stack.wait import wait_until

CONFLICT = 409
"""The engine's answer for an image in use."""
GIVE_UP_S_MAX = 5.0


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


def remove_half_built(client: DockerClient, steps: Sequence[str]) -> None:
    """Remove what a failed build left; ``steps``: the ids after each of its steps, the base's first.

    The engine needs a moment to give up the step under way. What it will not remove stays: the failure
    itself matters more.
    """
    for step in steps[:0:-1]:
        try:
            wait_until(f"the engine gave up {step}", partial(_is_gone, client, step), limit_s=GIVE_UP_S_MAX)
        except (APIError, TimedOut):
            continue


def _is_gone(client: DockerClient, step: str) -> bool:
    """Whether an image without a name is removed now, or was before; one with a name is left alone."""
    try:
        if not client.images.get(step).tags:
            client.images.remove(step)
    except ImageNotFound:
        return True
    except APIError as refused:
        if refused.status_code != CONFLICT:
            raise
        return False
    return True
