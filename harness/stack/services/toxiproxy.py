"""Toxiproxy: one proxy on each link that a fault can cut, and a small client for its REST interface.

The proxies stand in a configuration file, so that they are back after a crash; which of them were cut is
forgotten by the process and put back by whoever restarts it. Bytes are counted by Toxiproxy itself, but
only when a connection closes.
"""

from __future__ import annotations

import json
import re

import httpx

from harness.model.errors import UnknownName
from harness.stack import rest
from harness.stack.links import LINKS, LinkName
from harness.stack.service import Command, Fact, ServiceSpec, Site
from harness.stack.wait import NotYet, wait_for

NOT_THERE = (httpx.HTTPError,)
_SAMPLE = re.compile(r"^toxiproxy_proxy_received_bytes_total\{(?P<labels>[^}]*)\} (?P<value>\S+)$")


def toxiproxy(site: Site) -> ServiceSpec:
    """Describe the proxies: ready when each link has its own, enabled."""
    api = site.listen("toxiproxy")
    return ServiceSpec(
        name="toxiproxy",
        run=Command(
            program="toxiproxy",
            arguments=(
                *("-host", api.host, "-port", str(api.port), "-proxy-metrics"),
                *("-config", site.file("toxiproxy", "proxies.json")),
            ),
        ),
        ready=Fact(
            words="every link has its proxy",
            probe=lambda: _expect_proxies(site.outside("toxiproxy").url),
            transient=NOT_THERE,
        ),
        ports=("toxiproxy", *(link.name for link in LINKS)),
        environment={"LOG_LEVEL": "error"},  # it logs at trace level otherwise
        files={"proxies.json": _proxies(site)},
    )


class Proxies:
    """Cuts and heals links, and counts bytes, through Toxiproxy's REST interface at ``url``."""

    def __init__(self, url: str) -> None:
        self._url = url

    def cut(self, link: LinkName) -> None:
        """Close all connections of the link and refuse new ones."""
        self._set(link, {"enabled": False})

    def heal(self, link: LinkName) -> None:
        """Let connections through again."""
        self._set(link, {"enabled": True})

    def downstream_bytes(self, link: LinkName) -> int:
        """Return how many bytes the server behind the link has sent over connections now closed."""
        answer = rest.get(f"{self._url}/metrics", timeout_s=5.0)
        answer.raise_for_status()
        wanted = {'direction="downstream"', f'proxy="{link}"'}
        samples = filter(None, map(_SAMPLE.match, answer.text.splitlines()))
        return sum(int(float(s["value"])) for s in samples if wanted <= set(s["labels"].split(",")))

    def downstream_bytes_settled(self, link: LinkName) -> int:
        """Close the link's connections, so that they count, and return the number of bytes.

        To be called while the link's client is idle; it will connect anew.
        """
        self.cut(link)
        self.heal(link)
        last = [-1]

        def settled() -> int:
            now = self.downstream_bytes(link)
            if now != last[0]:
                last[0] = now
                raise NotYet(f"{now} bytes, still counting")
            return now

        return wait_for(f"bytes over {link} are counted", settled, limit_s=5.0, poll_s=0.02)

    def _set(self, link: LinkName, change: dict[str, object]) -> None:
        answer = rest.send("POST", f"{self._url}/proxies/{link}", change)
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise UnknownName("link", link, [known.name for known in LINKS])
        answer.raise_for_status()


def _proxies(site: Site) -> str:
    proxies = [
        {
            "name": link.name,
            "listen": str(site.listen(link.name)),
            "upstream": str(site.inside(link.upstream)),
            "enabled": True,
        }
        for link in LINKS
    ]
    return json.dumps(proxies, indent=2)


def _expect_proxies(url: str) -> None:
    answer = rest.get(f"{url}/proxies", timeout_s=2.0)
    answer.raise_for_status()
    missing = {link.name for link in LINKS} - {
        name for name, proxy in answer.json().items() if proxy["enabled"]
    }
    if missing:
        raise NotYet(f"no enabled proxy yet for {sorted(missing)}")
