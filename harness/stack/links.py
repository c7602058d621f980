"""The links that a fault can cut: a proxy stands on each, and clients know only the proxy's address."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

LinkName = Literal[
    "standby-primary",
    "connect-primary",
    "clients-primary",
    "restorer-primary",
    "archiver-primary",
    "connect-kafka",
    "archiver-kafka",
    "archiver-minio",
    "restorer-minio",
]


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A proxy listening on the port ``name`` and forwarding to the port named ``upstream``."""

    name: LinkName
    upstream: str


_UPSTREAM = {"primary": "primary", "minio": "minio"}
_KAFKA_LISTENER = {"connect": "kafka-connect", "archiver": "kafka-archiver"}


def _upstream(name: str) -> str:
    client, _, server = name.partition("-")
    return _KAFKA_LISTENER[client] if server == "kafka" else _UPSTREAM[server]


LINKS: tuple[Link, ...] = tuple(Link(name=name, upstream=_upstream(name)) for name in get_args(LinkName))
