"""Change capture of a stack: the connector from registration until it would survive a failover."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
import psycopg

from harness.model.errors import BadInput, HarnessFailed
from harness.stack.debezium_client import ConnectClient
from harness.stack.identity import SUPERUSER, Identity
from harness.stack.service import Site
from harness.stack.services import postgres
from harness.stack.services.connect import connector_config
from harness.stack.wait import NotYet, wait_for

RUNNING_S_MAX = 60.0
STREAMING_S_MAX = 120.0
SYNCED_S_MAX = 60.0
STOPPED_S_MAX = 30.0
NUDGE_S = 0.2
"""How often the failover slot is looked at, and moved on."""
_STRATEGY = "Using offset mismatch strategy"
_SURVIVES = """
SELECT synced AND NOT temporary AND invalidation_reason IS NULL FROM pg_replication_slots
WHERE slot_name = %s
"""
_NOT_THERE = (httpx.HTTPError, psycopg.OperationalError)


class Capture:
    """Registers, watches and removes the connector of one stack. ``log``: the Connect worker's.

    ``is_on``: whether it was registered, in the cluster that there is.
    """

    def __init__(self, site: Site, identity: Identity, log: Path) -> None:
        self.client = ConnectClient(site.outside("connect").url)
        self._site = site
        self._identity = identity
        self._log = log
        self._log_from = 0
        self.is_on = False
        self._has_failover_slots = postgres.has_failover_slots(site)
        self._admin = postgres.dsn(site.outside("harness-primary"), SUPERUSER)
        self._standby = postgres.dsn(site.outside("harness-standby"), SUPERUSER)

    def start(self, settings: Mapping[str, str]) -> None:
        """Register the connector and return once it streams and its slot would survive a failover.

        Before Postgres 17 no slot does; then it returns once it streams. ``settings``: what the captured
        schema adds to the connector's.
        """
        self.register(settings)
        self.wait_running()
        self.wait_streaming()
        if self._has_failover_slots:
            self.wait_failover_slot()

    def register(self, settings: Mapping[str, str]) -> None:
        """Register the connector, which begins its snapshot; raises BadInput without publication."""
        names = self._identity
        if not postgres.has_publication(self._admin, names.publication):
            raise BadInput(
                f"there is no publication {names.publication!r}",
                cure="create it in the application's database before capture starts",
            )
        self._log_from = self._log.stat().st_size
        self.client.register(names.connector, {**connector_config(self._site, names), **settings})
        self.is_on = True

    def wait_running(self) -> None:
        """Wait until connector *and* task are RUNNING; raises HarnessFailed if the task fails."""
        wait_for(
            "connector and task are RUNNING",
            lambda: self.client.expect_running(self._identity.connector),
            limit_s=RUNNING_S_MAX,
            transient=_NOT_THERE,
        )

    def wait_streaming(self) -> None:
        """Wait until the snapshot is over and the connector streams from its slot.

        Also sees that the connector took its offset strategy: a typo there would go unnoticed (FM-50).
        """
        wait_for(
            "the connector streams from its slot",
            self._expect_streaming,
            limit_s=STREAMING_S_MAX,
            transient=_NOT_THERE,
        )
        wait_for(f"Connect's log says {_STRATEGY!r}", self._expect_strategy, limit_s=RUNNING_S_MAX)

    def require_failover_slot(self) -> None:
        """See that the slot would survive a promotion (FM-21, FM-22); raises HarnessFailed if not.

        Raises BadInput where Postgres has no such slots.
        """
        if not self._has_failover_slots:
            raise BadInput(
                f"Postgres {self._site.postgres_major} loses the connector's slot in a failover",
                cure="run Postgres 17 or later, or a plan without failover",
            )
        found = postgres.one(self._standby, _SURVIVES, self._identity.slot)
        if found != (True,):
            raise HarnessFailed(
                f"slot {self._identity.slot!r} would not survive a promotion: the standby's copy is"
                f" {'missing' if found is None else 'not synced, temporary or invalid'}",
                cure="wait for Capture.wait_failover_slot before a failover",
            )

    def resume(self, expect: Callable[[], None] = lambda: None) -> None:
        """Wait until the connector goes on from the same slot on a new primary.

        A task that gave up while no primary was there is started again, as an operator would do.
        ``expect`` raises when there is nothing to wait for any more.
        """

        def probe() -> None:
            expect()
            self._expect_resumed()

        wait_for(
            "the connector streams from its slot again",
            probe,
            limit_s=STREAMING_S_MAX,
            transient=_NOT_THERE,
        )

    def wait_failover_slot(self) -> None:
        """Have the slot copied to the standby, and wait until it would survive a promotion."""
        slot = self._identity.slot
        lsn = postgres.confirmed_lsn(self._admin, slot)
        postgres.set_slot_sync(self._standby, True)
        wait_for(
            "the failover slot is synced and not temporary",
            lambda: postgres.expect_slot_synced(self._admin, self._standby, slot, lsn),
            limit_s=SYNCED_S_MAX,
            poll_s=NUDGE_S,
            transient=_NOT_THERE,
        )

    def stop(self) -> None:
        """Remove connector, offsets and slot; the next start snapshots anew."""
        name = self._identity.connector
        self.client.stop(name)
        wait_for(
            "the connector is stopped",
            lambda: self.client.expect_stopped(name),
            limit_s=STOPPED_S_MAX,
        )
        self.client.forget_offsets(name)
        self.client.delete(name)
        if self._has_failover_slots:
            postgres.set_slot_sync(self._standby, False)
        wait_for(
            "nobody streams from the slot",
            lambda: postgres.expect_slot_active(self._admin, self._identity.slot, False),
            limit_s=STOPPED_S_MAX,
            transient=_NOT_THERE,
        )
        postgres.drop_slot(self._admin, self._identity.slot)
        self.is_on = False

    def _expect_streaming(self) -> None:
        self.client.expect_running(self._identity.connector)
        postgres.expect_slot_active(self._admin, self._identity.slot, True)

    def _expect_resumed(self) -> None:
        name = self._identity.connector
        status = self.client.status(name)
        if status.failure:
            self.client.restart_task(name)
            raise NotYet(status.failure[:500])
        self._expect_streaming()

    def _expect_strategy(self) -> None:
        with self._log.open("rb") as log:
            log.seek(self._log_from)
            if _STRATEGY.encode() not in log.read():
                raise NotYet(f"{log.tell() - self._log_from} bytes without it")
