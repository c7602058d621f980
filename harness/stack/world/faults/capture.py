"""Faults of the connector, through Connect's REST interface."""

from __future__ import annotations

from contextlib import suppress

from harness.drive.ports import Proof
from harness.model.errors import TimedOut
from harness.model.faults import Fault, PauseConnector, RestartConnector
from harness.stack.services import postgres
from harness.stack.services.connect import NOT_THERE
from harness.stack.wait import NotYet, wait_for
from harness.stack.world.faults.ground import WELL_S_MAX, Gone, Ground, Performed, seen

CAUGHT_UP_S_MAX = 5.0
_READER = "SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s"
_CAUGHT_UP = """
SELECT active_pid IS NOT NULL AND active_pid IS DISTINCT FROM %s::int AND confirmed_flush_lsn >= %s::pg_lsn
FROM pg_replication_slots WHERE slot_name = %s
"""


def _restart(ground: Ground, fault: RestartConnector) -> Proof:
    name, client = ground.stack.identity.connector, ground.stack.capture.client
    accepted = 0
    with suppress(Gone):
        while accepted < fault.times:
            reader = _reader(ground)
            client.restart(name)
            accepted += 1
            if accepted < fault.times:
                _catch_up(ground, reader)
                ground.expect_cluster()
    return seen(f"Connect was told to restart connector and task, and has accepted it: {accepted} times")


def _reader(ground: Ground) -> object:
    """Return the process of the primary that sends to the connector; None if there is none."""
    found = postgres.one(ground.admin, _READER, ground.stack.identity.slot)
    return found[0] if found else None


def _catch_up(ground: Ground, before: object) -> None:
    """Wait until another one than ``before`` sends, and the connector has confirmed all there is now.

    One that does not come to that is restarted all the same: so would a supervisor.
    """
    slot = ground.stack.identity.slot
    written = postgres.one(ground.admin, "SELECT pg_current_wal_flush_lsn()::text")

    def probe() -> None:
        ground.expect_cluster()
        found = postgres.one(ground.admin, _CAUGHT_UP, before, *(written or ()), slot)
        if found != (True,):
            raise NotYet(f"another process sends, and all is confirmed: {found}")

    awaited = "the restarted connector has caught up"
    with suppress(TimedOut):
        wait_for(awaited, probe, limit_s=CAUGHT_UP_S_MAX, transient=postgres.NOT_THERE)


def _pause(ground: Ground, _: PauseConnector) -> Proof:
    name, client = ground.stack.identity.connector, ground.stack.capture.client

    def probe() -> str:
        status = client.status(name)
        if {status.state, *(task.state for task in status.tasks)} != {"PAUSED"}:
            raise NotYet(str(status))
        return str(status)

    client.pause(name)
    return seen(wait_for("the connector is paused", probe, limit_s=WELL_S_MAX, transient=NOT_THERE))


def _go_on(ground: Ground, _: Fault) -> Proof:
    ground.stack.capture.client.resume(ground.stack.identity.connector)
    return seen("Connect was told to let the connector go on")


RESTART_CONNECTOR = Performed(_restart, _go_on)
PAUSE_CONNECTOR = Performed(_pause, _go_on)
