"""Faults after which the capture lacks something: its slot dropped or advanced, or its offsets gone.

Each strikes while the connector is stopped and two heartbeats are written that nobody reads; then it comes
back. What follows is the system's to notice: the task fails, or the archiver stops with its reason. Only
then is it healed, as an operator would: by ``archive resnapshot`` and a new start of the archiver.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from harness.drive.ports import Proof
from harness.model.faults import AdvanceSlot, DropSlot, LoseOffsets
from harness.stack.services import postgres
from harness.stack.services.connect import NOT_THERE
from harness.stack.wait import NotYet, wait_for
from harness.stack.world.faults.ground import WELL_S_MAX, Ground, Performed, archives, seen
from harness.subject.reference.adapters.resnapshot import resnapshot
from harness.subject.reference.adapters.wiring import stopped_reason

UNREAD_BEATS = 2
NOTICED_S_MAX = 30.0
"""So long after its end at most until somebody must have noticed."""

_BEAT = "SELECT beat FROM restoreproof.heartbeat"
_ADVANCE = "SELECT pg_replication_slot_advance(%s, pg_current_wal_lsn())"
_CONFIRMED = "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = %s"


def _lose_offsets(ground: Ground, _: LoseOffsets) -> Proof:
    """The slot stays: the connector takes a snapshot beside it, by itself (FM-82)."""

    def strike() -> str:
        name, client = ground.stack.identity.connector, ground.stack.capture.client
        client.forget_offsets(name)
        return f"Connect's offsets of {name} are {client.offsets(name)}"

    return _while_stopped(ground, strike)


def _drop_slot(ground: Ground, _: DropSlot) -> Proof:
    def strike() -> str:
        slot = ground.stack.identity.slot
        postgres.drop_slot(ground.admin, slot)
        return f"the primary's slot {slot} is {postgres.one(ground.admin, _CONFIRMED, slot)}"

    return _while_stopped(ground, strike)


def _advance_slot(ground: Ground, _: AdvanceSlot) -> Proof:
    def strike() -> str:
        slot = ground.stack.identity.slot
        before = postgres.one(ground.admin, _CONFIRMED, slot)
        postgres.one(ground.admin, _ADVANCE, slot)
        return f"slot {slot} went from {before} to {postgres.one(ground.admin, _CONFIRMED, slot)}"

    return _while_stopped(ground, strike)


def _while_stopped(ground: Ground, strike: Callable[[], str]) -> Proof:
    """Stop the connector, strike once something was written that it has not read, and let it come back."""
    name, client = ground.stack.identity.connector, ground.stack.capture.client
    client.stop(name)
    wait_for("the connector is stopped", lambda: client.expect_stopped(name), limit_s=WELL_S_MAX)
    begun = _beat(ground)

    def unread() -> int:
        beats = _beat(ground) - begun
        if beats < UNREAD_BEATS:
            raise NotYet(f"{beats} heartbeats since")
        return beats

    beats = wait_for("heartbeats are written that nobody reads", unread, limit_s=WELL_S_MAX)
    words = strike()
    client.resume(name)
    return seen(f"{beats} heartbeats were written with the connector stopped, then {words}")


def _beat(ground: Ground) -> int:
    found = postgres.one(ground.admin, _BEAT)
    return int(str(found[0])) if found else 0


def _repair(ground: Ground, _: DropSlot | AdvanceSlot | LoseOffsets) -> Proof:
    noticed = wait_for(
        "the archiver stopped, or the connector's task failed",
        lambda: _noticed(ground),
        limit_s=NOTICED_S_MAX,
        transient=NOT_THERE,
    )
    stack = ground.stack
    if stack.is_running("archiver"):
        stack.kill("archiver")
    asyncio.run(resnapshot(ground.config))
    stack.restart("archiver")
    stack.capture.wait_running()
    stack.capture.wait_streaming()
    stack.capture.wait_failover_slot()
    return seen(f"{noticed}; then a fresh snapshot was taken, and the archiver started; {archives(ground)}")


def _noticed(ground: Ground) -> str:
    """Return what stopped, and why."""
    stack = ground.stack
    if not stack.is_running("archiver"):
        told = stopped_reason(ground.config) or stack.service("archiver").log_tail().strip()
        return f"the archiver stopped: {told.splitlines()[:1]}"
    status = stack.capture.client.status(stack.identity.connector)
    if status.failure:
        return f"the connector's task failed: {status.failure.splitlines()[0][:200]}"
    raise NotYet(f"the archiver runs, {status}")


LOSE_OFFSETS = Performed(_lose_offsets, _repair)
DROP_SLOT = Performed(_drop_slot, _repair)
ADVANCE_SLOT = Performed(_advance_slot, _repair)
