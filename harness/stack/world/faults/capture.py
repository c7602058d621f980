"""Faults of the connector, through Connect's REST interface."""

from __future__ import annotations

from harness.drive.ports import Proof
from harness.model.faults import Fault, PauseConnector, RestartConnector
from harness.stack.services.connect import NOT_THERE
from harness.stack.wait import NotYet, wait_for
from harness.stack.world.faults.ground import WELL_S_MAX, Ground, Performed, seen


def _restart(ground: Ground, _: RestartConnector) -> Proof:
    name = ground.stack.identity.connector
    ground.stack.capture.client.restart(name)
    return seen("Connect was told to restart connector and task, and has accepted it")


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
