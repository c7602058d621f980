"""The links that a fault can cut: a proxy stands on each, and clients know only the proxy's address.

Two processes hold the proxies: one those towards the pair of Postgres, where a failover moves what stands
behind an address, and one all others, which a failover must not touch. The harness reaches the pair
through links of its own, which are no fault's to cut, so that its addresses survive a failover too.
"""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

from harness.model.faults import LinkName

__all__ = ["LINKS", "PROXIES", "HarnessLink", "Link", "LinkName", "ProxyName", "links_of", "proxy_of"]

HarnessLink = Literal["harness-primary", "harness-standby"]
ProxyName = Literal["proxy-postgres", "proxy-data"]


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """An address, the port ``name`` of the service ``proxy``, and what it forwards to.

    ``upstream``: a role of the Postgres pair, or the name of a port.
    """

    name: LinkName | HarnessLink
    upstream: str
    proxy: ProxyName


_KAFKA_LISTENER = {"connect": "kafka-connect", "archiver": "kafka-archiver"}


def _link(name: LinkName | HarnessLink) -> Link:
    client, _, server = name.partition("-")
    if server == "kafka":
        return Link(name=name, upstream=_KAFKA_LISTENER[client], proxy="proxy-data")
    return Link(name=name, upstream=server, proxy="proxy-data" if server == "minio" else "proxy-postgres")


LINKS: tuple[Link, ...] = tuple(map(_link, (*get_args(LinkName), *get_args(HarnessLink))))
PROXIES: tuple[ProxyName, ...] = get_args(ProxyName)


def links_of(proxy: ProxyName) -> tuple[Link, ...]:
    """Return the links that this proxy service holds."""
    return tuple(link for link in LINKS if link.proxy == proxy)


def proxy_of(link: str) -> ProxyName | None:
    """Return the proxy service that holds a link, None for a name that is no link's."""
    return next((known.proxy for known in LINKS if known.name == link), None)
