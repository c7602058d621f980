"""Clock jumps: Postgres crashes and comes back with its wall clock off, by libfaketime.

That it bites is what Postgres itself says the time is. Programs whose threads wait for a time of day are
left alone: libfaketime sets that off as well, and they stand still (a broker so never came up).
"""

from __future__ import annotations

import time
from typing import Final

from harness.drive.ports import Proof
from harness.model.errors import HarnessFailed
from harness.model.faults import ClockJump, Service
from harness.stack.host import HostName
from harness.stack.service import Clocked
from harness.stack.services import postgres
from harness.stack.wait import NotYet, wait_for
from harness.stack.world.faults.ground import WELL_S_MAX, Ground, Performed, seen

NEAR_S: Final = 5.0
"""So far may a clock seem off that is right: its answer is some time old when it is read."""

_WAITS = "its threads wait for a time of day, which libfaketime sets off too: it may stand still"
_WHY_NOT: Final[dict[Service, str]] = {
    "minio": "MinIO is a static Go program, which libfaketime does nothing to",
    **dict.fromkeys(("kafka", "connect", "archiver"), _WAITS),
}
_TOLD = "SELECT extract(epoch FROM clock_timestamp())::float8"


def unavailable(fault: ClockJump, host: HostName) -> str:
    """Return why a host can't have a service's clock jump, or an empty text."""
    if host == "containers" and fault.service not in _WHY_NOT:
        return "the images of containers hold no libfaketime"
    return _WHY_NOT.get(fault.service, "")


def _jump(ground: Ground, fault: ClockJump) -> Proof:
    was_s = _off_s(ground, fault.service)
    _restart_with(ground, fault.service, fault.jump_s)
    off_s = _wait_for_clock(ground, fault.service, fault.jump_s)
    return seen(f"the clock of {fault.service} was {was_s:+.0f} s off, and is {off_s:+.0f} s off")


def _right(ground: Ground, fault: ClockJump) -> Proof:
    _restart_with(ground, fault.service, 0.0)
    return seen(f"the clock of {fault.service} is {_wait_for_clock(ground, fault.service, 0.0):+.0f} s off")


def _restart_with(ground: Ground, service: Service, offset_s: float) -> None:
    clocked = ground.stack.service(service)
    if not isinstance(clocked, Clocked):
        raise HarnessFailed(f"the clock of {service} can't be set on this host")
    ground.stack.kill(service)
    clocked.set_clock(offset_s)
    ground.stack.restart(service)


def _wait_for_clock(ground: Ground, service: Service, offset_s: float) -> float:
    """Wait until a service tells such a time; return by how much it is off. Raises TimedOut."""

    def probe() -> float:
        off_s = _off_s(ground, service)
        if abs(off_s - offset_s) > NEAR_S:
            raise NotYet(f"{off_s:+.1f} s")
        return off_s

    return wait_for(
        f"the clock of {service} is {offset_s:+.0f} s off",
        probe,
        limit_s=WELL_S_MAX,
        transient=postgres.NOT_THERE,
    )


def _off_s(ground: Ground, service: Service) -> float:
    row = postgres.one(ground.admin if service == "primary" else ground.stack.endpoints.standby_dsn, _TOLD)
    return float(str(row[0] if row else None)) - time.time()


CLOCK_JUMP = Performed(_jump, _right)
