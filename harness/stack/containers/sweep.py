"""Removes what carries our labels: of one stack, or of dead owners. Live neighbours are left alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from harness.stack import owner_labels
from harness.stack.containers.engine import UnlessGone, asked
from harness.stack.images.engine import is_local

Wanted = Callable[[dict[str, str]], bool]
"""Whether something that carries these labels is to be removed."""


class Leftovers(msgspec.Struct, frozen=True, kw_only=True):
    """Things of the engine by kind, in the order in which they can be removed."""

    containers: tuple[Any, ...] = ()
    networks: tuple[Any, ...] = ()
    volumes: tuple[Any, ...] = ()

    def __len__(self) -> int:
        return len(self.containers) + len(self.networks) + len(self.volumes)


def left_behind(client: Any) -> Leftovers:
    """Return what owners left that are gone for certain; touches nothing."""
    same_machine = is_local(client)

    def wanted(found: dict[str, str]) -> bool:
        return owner_labels.is_left_behind(found, same_machine=same_machine)

    return _find(client, owner_labels.OWNER, wanted)


def of_stack(client: Any, stack_id: str) -> Leftovers:
    """Return what the engine has of one stack."""
    return _find(client, f"{owner_labels.STACK}={stack_id}", lambda _: True)


def remove(found: Leftovers) -> None:
    """Remove it all, volumes without a name included; what is gone already is no error."""
    for things, remove_one in (
        (found.containers, _remove_container),
        (found.networks, _remove_network),
        (found.volumes, _remove_volume),
    ):
        if things:
            with ThreadPoolExecutor(max_workers=len(things)) as pool:
                list(pool.map(remove_one, things))


def _find(client: Any, label: str, wanted: Wanted) -> Leftovers:
    with asked("list what it has"):
        containers = client.containers.list(all=True, filters={"label": label}, ignore_removed=True)
        networks = client.networks.list(filters={"label": label})
        volumes = client.volumes.list(filters={"label": label})
    return Leftovers(
        containers=tuple(c for c in containers if wanted(c.labels)),
        networks=_chosen(networks, wanted),
        volumes=_chosen(volumes, wanted),
    )


def _chosen(found: Iterable[Any], wanted: Wanted) -> tuple[Any, ...]:
    return tuple(thing for thing in found if wanted(thing.attrs.get("Labels") or {}))


def _remove_container(container: Any) -> None:
    with asked(f"remove the container {container.name}"), UnlessGone():
        container.remove(force=True, v=True)


def _remove_network(network: Any) -> None:
    with asked(f"remove the network {network.name}"), UnlessGone():
        network.remove()


def _remove_volume(volume: Any) -> None:
    with asked(f"remove the volume {volume.name}"), UnlessGone():
        volume.remove(force=True)
