"""Toxiproxy: one proxy on each link that a fault can cut, and a small client for its REST interface.

The proxies stand in a configuration file, so that they are back after a crash; which of them were cut is
forgotten by the process and put back by ``Proxies.recut``. Bytes are counted by Toxiproxy itself, but only
when a connection closes.

A proxy is never given another upstream over REST: with an upstream that was killed, its accept loop may
hang in a dial. Whoever moves what stands behind an address kills the process and starts it anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Literal

import httpx
import msgspec

from harness.model.errors import UnknownName
from harness.stack import rest
from harness.stack.identity import AT_FIRST, Nodes
from harness.stack.links import LINKS, LinkName, ProxyName, links_of, proxy_of
from harness.stack.service import KERNELS_CLOCK, Command, Fact, ServiceSpec, Site
from harness.stack.wait import NotYet, wait_for

NOT_THERE = (httpx.HTTPError,)
_ENVIRONMENT = {
    "LOG_LEVEL": "error",  # it logs at trace level otherwise
    "GOMAXPROCS": "1",  # what it does is small and often: waking another processor for it costs more
    "GOGC": "400",
}
Stream = Literal["upstream", "downstream"]
_SAMPLE = re.compile(r"^toxiproxy_proxy_received_bytes_total\{(?P<labels>[^}]*)\} (?P<value>\S+)$")


def toxiproxy(site: Site, name: ProxyName, nodes: Nodes = AT_FIRST) -> ServiceSpec:
    """Describe the proxies of one process: ready when each of its links has its own, enabled."""
    api = site.listen(name)
    return ServiceSpec(
        name=name,
        run=Command(
            program="toxiproxy",
            arguments=(
                *("-host", api.host, "-port", str(api.port), "-proxy-metrics"),
                *("-config", site.file(name, "proxies.json")),
            ),
        ),
        ready=Fact(
            words=f"every link of {name} has its proxy",
            probe=lambda: _expect_proxies(site.outside(name).url, name),
            transient=NOT_THERE,
        ),
        ports=(name, *(link.name for link in links_of(name))),
        environment=_ENVIRONMENT,
        files={"proxies.json": _proxies(site, name, nodes)},
        abilities=KERNELS_CLOCK,
    )


class Toxic(msgspec.Struct, frozen=True, kw_only=True):
    """What is done to one direction of a link: ``type`` and ``attributes`` as Toxiproxy names them."""

    type: Literal["timeout", "latency", "limit_data", "bandwidth"]
    stream: Stream
    attributes: dict[str, int]
    toxicity: float = 1.0


class Proxies:
    """Cuts and heals links, and counts bytes, through the REST interfaces at ``urls``."""

    def __init__(self, urls: Mapping[ProxyName, str]) -> None:
        self._urls = urls
        self._cut: set[LinkName] = set()

    def cut(self, link: LinkName) -> None:
        """Close all connections of the link and refuse new ones."""
        self._set(link, {"enabled": False})
        self._cut.add(link)

    def heal(self, link: LinkName) -> None:
        """Let connections through again."""
        self._set(link, {"enabled": True})
        self._cut.discard(link)

    def recut(self, name: str) -> None:
        """Cut again what was cut before the service ``name`` was started anew, if it holds proxies."""
        for link in sorted(self._cut):
            if proxy_of(link) == name:
                self.cut(link)

    def poison(self, link: LinkName, toxics: Sequence[Toxic]) -> None:
        """Add toxics to a link; they act on the connections that there are, too."""
        for toxic in toxics:
            body = {**msgspec.to_builtins(toxic), "name": f"{toxic.type}-{toxic.stream}"}
            rest.send("POST", f"{self._url(link)}/proxies/{link}/toxics", body).raise_for_status()

    def toxics(self, link: LinkName) -> list[str]:
        """Return the names of a link's toxics."""
        answer = rest.get(f"{self._url(link)}/proxies/{link}/toxics")
        answer.raise_for_status()
        return sorted(toxic["name"] for toxic in answer.json())

    def cure(self, link: LinkName) -> None:
        """Take all toxics away and end the link's connections: some of their bytes may be gone for good."""
        for name in self.toxics(link):
            rest.send("DELETE", f"{self._url(link)}/proxies/{link}/toxics/{name}").raise_for_status()
        if link not in self._cut:
            self._set(link, {"enabled": False})
            self._set(link, {"enabled": True})

    def downstream_bytes(self, link: LinkName) -> int:
        """Return how many bytes the server behind the link has sent over connections now closed."""
        answer = rest.get(f"{self._url(link)}/metrics", timeout_s=5.0)
        answer.raise_for_status()
        wanted = {'direction="downstream"', f'proxy="{link}"'}
        samples = filter(None, map(_SAMPLE.match, answer.text.splitlines()))
        return sum(int(float(s["value"])) for s in samples if wanted <= set(s["labels"].split(",")))

    def downstream_bytes_settled(self, link: LinkName) -> int:
        """Close the link's connections, so that they count, and return the number of bytes.

        To be called while the link's client is idle; it will connect anew.
        """
        self._set(link, {"enabled": False})
        self._set(link, {"enabled": True})
        last = [-1]

        def settled() -> int:
            now = self.downstream_bytes(link)
            if now != last[0]:
                last[0] = now
                raise NotYet(f"{now} bytes, still counting")
            return now

        return wait_for(f"bytes over {link} are counted", settled, limit_s=5.0, poll_s=0.008)

    def _set(self, link: LinkName, change: dict[str, object]) -> None:
        rest.send("POST", f"{self._url(link)}/proxies/{link}", change).raise_for_status()

    def _url(self, link: LinkName) -> str:
        proxy = proxy_of(link)
        if proxy is None:
            raise UnknownName("link", link, [known.name for known in LINKS])
        return self._urls[proxy]


def _proxies(site: Site, name: ProxyName, nodes: Nodes) -> str:
    ports: dict[str, str] = {role: node for role, node in nodes.items()}  # noqa: C416 - of plain text
    proxies = [
        {
            "name": link.name,
            "listen": str(site.listen(link.name)),
            "upstream": str(site.inside(ports.get(link.upstream, link.upstream))),
            "enabled": True,
        }
        for link in links_of(name)
    ]
    return json.dumps(proxies, indent=2)


def _expect_proxies(url: str, name: ProxyName) -> None:
    answer = rest.get(f"{url}/proxies", timeout_s=2.0)
    answer.raise_for_status()
    enabled = {link for link, proxy in answer.json().items() if proxy["enabled"]}
    missing = {link.name for link in links_of(name)} - enabled
    if missing:
        raise NotYet(f"no enabled proxy yet for {sorted(missing)}")
