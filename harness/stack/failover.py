"""Failover: the standby becomes primary behind the same addresses, and the old primary comes back.

Who is primary is said in one place: the proxies of ``proxy-postgres``. Their process is killed and started
with exchanged upstreams, since a proxy whose upstream was killed may hang when it is re-pointed; so a crash
may hit a commit at any instant, and every client of the old primary, alive or not, loses its connection.

A node keeps its name, folder and log; ``services`` is exchanged, so that *primary* always means who is it.
"""

from __future__ import annotations

import time
from collections.abc import MutableMapping
from typing import Literal

import msgspec

from harness.model.errors import BadInput
from harness.stack.host import Host, Service
from harness.stack.identity import AT_FIRST, Nodes, Role
from harness.stack.service import ServiceSpec
from harness.stack.services import postgres, promotion, toxiproxy
from harness.stack.wait import wait_for

IN_SYNC_S_MAX = 60.0

OldPrimary = Literal["killed", "fenced", "alive"]
"""What becomes of the old primary: killed under its clients, killed after they were cut off, or nothing."""

RejoinBy = Literal["base backup", "rewind"]
"""How the old primary gets the new one's data: all of them anew, or only those in which they differ."""


class Promotion(msgspec.Struct, frozen=True, kw_only=True):
    """A failover. Instants are seconds on this machine's monotonic clock.

    ``struck_s``: just before anything was done to the old primary. ``promoted_s``: the new one had left
    recovery. ``serving_s``: the clients' addresses led to it. ``timeline``: of the new primary.
    """

    struck_s: float
    promoted_s: float
    serving_s: float
    timeline: int


class Failover:
    """Exchanges the roles of two Postgres nodes; ``services`` are the stack's, by role or name."""

    def __init__(
        self, host: Host, services: MutableMapping[str, Service], proxies: toxiproxy.Proxies
    ) -> None:
        self._host = host
        self._services = services
        self._proxies = proxies
        self.nodes: Nodes = AT_FIRST
        self._struck_s = 0.0

    def describe(self) -> None:
        """Describe both nodes anew, for an empty cluster, each in the role that it has."""
        self._services["primary"] = self._host.service(self._primary())
        self._services["standby"] = self._host.service(self._standby())

    def start_primary(self) -> None:
        """Start the primary of an empty cluster, and make what every cluster has."""
        self._services["primary"].start()
        postgres.bootstrap(self._direct("primary"))

    def require_standby(self) -> None:
        """Raise BadInput when no standby runs that could be promoted."""
        if not self._services["standby"].is_running():
            raise BadInput("there is no running standby to promote", cure="have the old primary rejoin")

    def strike(self, old_primary: OldPrimary) -> None:
        """Do to the old primary what is to become of it; a dead one is dead when this returns."""
        self._struck_s = time.monotonic()
        if old_primary == "fenced":
            self._services["proxy-postgres"].kill()
        if old_primary != "alive":
            self._services["primary"].kill()
            self._services["proxy-postgres"].strike()  # its end is not waited for: there is more to do

    def promote(self) -> Promotion:
        """Make the standby primary behind the same addresses; it stands alone then.

        Raises TimedOut when it does not become primary.
        """
        direct = self._direct("standby")
        before = promotion.timeline_on_disk(direct)
        promotion.stand_alone(direct)
        promotion.promote(direct)
        timeline = wait_for(
            "the standby has become primary, on a timeline of its own",
            lambda: promotion.expect_promoted(direct, before),
            limit_s=promotion.PROMOTED_S_MAX,
        )
        promoted_s = time.monotonic()
        self._exchange()
        return Promotion(
            struck_s=self._struck_s, promoted_s=promoted_s, serving_s=time.monotonic(), timeline=timeline
        )

    def rejoin(self, by: RejoinBy) -> None:
        """Have the old primary come back as the standby; commits wait for it then.

        Whatever it had that the new primary has not is gone, slots included (FM-23, FM-26). Raises
        HarnessFailed with the words of pg_rewind where that can't be done.
        """
        node = self._services["standby"]
        node.kill()
        promotion.keep_wal_for_standby(self._direct("primary"))
        if by == "rewind":
            node.run_once(postgres.rewind(self._host, self.nodes["standby"]))
        else:
            node.destroy()
        node.start()
        promotion.follow_settings_file(self._direct("standby"))
        promotion.lean_on_standby(self._direct("primary"))
        ready = node.spec.ready
        wait_for(ready.words, ready.probe, limit_s=IN_SYNC_S_MAX, transient=ready.transient)

    def _exchange(self) -> None:
        """Exchange the roles, and have every address lead to the node that has its role now."""
        self.nodes = {"primary": self.nodes["standby"], "standby": self.nodes["primary"]}
        old, new = self._services["primary"], self._services["standby"]
        self._services["primary"], self._services["standby"] = new, old
        new.describe(self._primary())
        old.describe(self._standby())
        proxy = self._services["proxy-postgres"]
        proxy.kill()
        proxy.describe(toxiproxy.toxiproxy(self._host, "proxy-postgres", self.nodes))
        proxy.start()
        self._proxies.recut("proxy-postgres")

    def _primary(self) -> ServiceSpec:
        return postgres.primary(self._host, self.nodes["primary"])

    def _standby(self) -> ServiceSpec:
        return postgres.standby(self._host, self.nodes["standby"], of=self.nodes["primary"])

    def _direct(self, role: Role) -> str:
        return postgres.direct_dsn(self._host, self.nodes[role])
