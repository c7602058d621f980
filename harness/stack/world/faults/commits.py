"""Faults of the wait for the synchronous standby: nobody waits, or a wait is cancelled or terminated.

A wait lasts only while the standby stands still, so it is paused until some writer's COMMIT waits for it.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.drive.ports import Proof
from harness.model.faults import EmptySyncNames, Fault
from harness.stack.services import postgres
from harness.stack.wait import NotYet, wait_for
from harness.stack.world.faults.ground import Ground, Performed, in_sync, seen

WAITS_S_MAX = 20.0
_WAITS = """
SELECT pid, application_name FROM pg_stat_activity
WHERE wait_event = 'SyncRep' AND application_name LIKE 'writer %%' ORDER BY xact_start LIMIT 1
"""


def _empty(ground: Ground, _: EmptySyncNames) -> Proof:
    _alter(ground, "SET synchronous_standby_names = ''")
    return _shows(ground, "")


def _fill(ground: Ground, _: EmptySyncNames) -> Proof:
    _alter(ground, "RESET synchronous_standby_names")
    wait_for("the primary waits for its standby", lambda: _named(ground), limit_s=WAITS_S_MAX)
    return seen(in_sync(ground))


def _named(ground: Ground) -> None:
    if not _sync_names(ground):
        raise NotYet("synchronous_standby_names is empty")


def _alter(ground: Ground, change: str) -> None:
    with postgres.connect(ground.admin) as session:
        session.execute(f"ALTER SYSTEM {change}".encode())
        session.execute("SELECT pg_reload_conf()")


def _sync_names(ground: Ground) -> str:
    found = postgres.one(ground.admin, "SHOW synchronous_standby_names")
    return str(found[0]) if found else ""


def _shows(ground: Ground, wanted: str) -> Proof:
    def probe() -> None:
        if (names := _sync_names(ground)) != wanted:
            raise NotYet(f"it is {names!r}")

    wait_for(f"synchronous_standby_names is {wanted!r}", probe, limit_s=WAITS_S_MAX)
    return seen(f"synchronous_standby_names is {wanted!r}: commits wait for nobody")


def _end_a_commit(function: str) -> Callable[[Ground, Fault], Proof]:
    """Pause the standby, wait until a writer's COMMIT waits for it, and end that wait."""

    def strike(ground: Ground, _: Fault) -> Proof:
        ground.stack.pause("standby")

        def probe() -> tuple[object, ...]:
            found = postgres.one(ground.admin, _WAITS)
            if found is None:
                raise NotYet("none waits")
            return found

        pid, name = wait_for(
            "a writer's commit waits for the standby", probe, limit_s=WAITS_S_MAX, poll_s=0.02
        )
        done = postgres.one(ground.admin, f"SELECT {function}(%s)", pid)
        return Proof(seen=done == (True,), words=f"the COMMIT of {name} waited; {function} ended that")

    return strike


def _let_go(ground: Ground, _: Fault) -> Proof:
    ground.stack.resume("standby")
    return seen("the standby goes on")


EMPTY_SYNC_NAMES = Performed(_empty, _fill)
CANCEL_COMMIT = Performed(_end_a_commit("pg_cancel_backend"), _let_go)
TERMINATE_COMMIT = Performed(_end_a_commit("pg_terminate_backend"), _let_go)
