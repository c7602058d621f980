"""What a failover stands on, without any service: which proxy holds a link, and where each link leads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fixtures.failover import Crash
from harness.model.errors import UnknownName
from harness.stack.identity import AT_FIRST, Nodes
from harness.stack.links import LINKS, PROXIES, ProxyName, links_of, proxy_of
from harness.stack.service import Address
from harness.stack.services import postgres, toxiproxy

EXCHANGED: Nodes = {"primary": "postgres-2", "standby": "postgres-1"}


class Names:
    """A site on which every port has its own name for an address."""

    postgres_major = 18

    def listen(self, port: str) -> Address:
        """Return what a service binds."""
        return Address(host=port, port=1)

    inside = outside = listen

    def data(self, service: str) -> str:
        """Return the data folder of a service."""
        return str(Path("/data") / service)

    def file(self, service: str, name: str) -> str:
        """Return the path of a file of a service."""
        return str(Path("/files") / service / name)


def upstreams(proxy: ProxyName, nodes: Nodes) -> dict[str, str]:
    """Where each link of a proxy service leads to, by the link's name."""
    found = json.loads(toxiproxy.toxiproxy(Names(), proxy, nodes).files["proxies.json"])
    return {link["name"]: link["upstream"].removesuffix(":1") for link in found}


def test_every_link_is_held_by_one_proxy_service() -> None:
    """None is forgotten when a service is started, and none is held twice."""
    held = [link.name for proxy in PROXIES for link in links_of(proxy)]
    assert sorted(held) == sorted(link.name for link in LINKS)


def test_only_links_to_the_pair_are_in_the_process_that_a_failover_restarts() -> None:
    """Broker and bucket stay connected while the primary changes."""
    assert {link.upstream for link in links_of("proxy-postgres")} == {"primary", "standby"}
    assert proxy_of("archiver-minio") == proxy_of("connect-kafka") == "proxy-data"
    assert proxy_of("connect") is None


def test_a_failover_moves_every_link_to_the_pair() -> None:
    """Whoever went to the primary goes to the other node then, the harness included."""
    before, after = upstreams("proxy-postgres", AT_FIRST), upstreams("proxy-postgres", EXCHANGED)
    assert (
        before["clients-primary"] == before["harness-primary"] == after["harness-standby"] == "postgres-1"
    )
    assert after["clients-primary"] == after["harness-primary"] == before["harness-standby"] == "postgres-2"
    assert all(after[link] != node for link, node in before.items())


def test_a_failover_moves_no_other_link() -> None:
    """What forwards to broker and bucket is described by the same text."""
    assert upstreams("proxy-data", AT_FIRST) == upstreams("proxy-data", EXCHANGED)


def test_cutting_an_unknown_link_names_the_known_ones() -> None:
    """A typo in a plan is one clear error, before anything is sent."""
    with pytest.raises(UnknownName, match="unknown link 'client-primary'"):
        toxiproxy.Proxies({}).cut("client-primary")  # type: ignore[arg-type]


def test_both_nodes_can_have_either_role() -> None:
    """They differ in name and address only: each knows how to follow the other and how to lead it."""
    as_primary = postgres.primary(Names(), "postgres-1").files["postgresql.conf"]
    as_standby = postgres.standby(Names(), "postgres-1", of="postgres-2").files["postgresql.conf"]
    other = postgres.standby(Names(), "postgres-2", of="postgres-1").files["postgresql.conf"]
    assert as_primary == as_standby == other.replace("postgres-2", "postgres-1")
    assert "host=standby-primary" in as_primary


def test_a_crash_that_lost_something_says_what() -> None:
    """Losses, ghosts, hangs and a dead connector are each named; a clean crash names nothing."""
    clean = crash()
    assert clean.problems == {}
    broken = crash(ghosts=("1",), connector="connector RUNNING, task 0 FAILED")
    assert broken.problems == {
        "in the archive and not in the live rows": ("1",),
        "connector": ("connector RUNNING, task 0 FAILED",),
    }


def crash(ghosts: tuple[str, ...] = (), connector: str = "connector RUNNING, task 0 RUNNING") -> Crash:
    """A crash that lost nothing, but for what is given."""
    return Crash(
        timeline=2,
        serving_s=0.3,
        first_ack_s=0.3,
        first_archived_s=1.5,
        epoch_s=1.5,
        rejoined_s=4.0,
        silence_s_max=0.3,
        acked=100,
        unknown=3,
        unknown_kept=1,
        hangs=(),
        lost_live=(),
        lost_archived=(),
        ghosts=ghosts,
        unasked=(),
        connector=connector,
    )
