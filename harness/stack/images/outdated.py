"""Removes images of ours that are of no more use: a newer one has taken their place, or a build failed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from docker.client import DockerClient
from docker.errors import APIError, ImageNotFound

from harness.model.errors import TimedOut
from harness.stack import owner_labels as owners
from harness.stack.images import engine, labels
from harness.stack.owner import this_process
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


def remove_unfinished(client: DockerClient, builder: str) -> None:
    """Remove what a failed build of ``builder`` left, see ``labels``.

    The engine needs a moment to give up the step under way. What it will not remove by then stays for the
    next build to sweep: the failure itself matters more.
    """

    def gone() -> bool:
        return all(_remove_untagged(client, image) for image in _unfinished(client, builder.__eq__))

    try:
        wait_until("nothing of the failed build is left", gone, limit_s=GIVE_UP_S_MAX)
    except (APIError, TimedOut):
        return


def sweep(client: DockerClient) -> None:
    """Remove what builders left that were killed, or stopped before the engine had given up."""
    same_machine = engine.is_local(client)

    def is_left(builder: str) -> bool:
        process = builder.partition(" ")[0]
        found = {owners.OWNER: process}
        return process == str(this_process()) or owners.is_left_behind(found, same_machine=same_machine)

    for image in _unfinished(client, is_left):
        _remove_untagged(client, image)


def _unfinished(client: DockerClient, wanted: Callable[[str], bool]) -> list[Any]:
    """The last image of each unfinished build, whose builder is wanted."""
    found = client.images.list(filters={"dangling": True, "label": labels.BUILDER})
    return [image for image in found if wanted(image.labels[labels.BUILDER])]


def _remove_untagged(client: DockerClient, image: Any) -> bool:
    """Whether an image, with those before it that have no name either, is gone now."""
    try:
        client.images.remove(image.id)
    except ImageNotFound:
        return True
    except APIError as refused:
        if refused.status_code != CONFLICT:
            raise
        return False
    return True
