"""Faults of whole services: killed and started in place, or stopped in their tracks."""

from __future__ import annotations

from pathlib import Path

from harness.drive.ports import Proof
from harness.model.faults import Kill, Pause
from harness.stack.wait import wait_until
from harness.stack.world.faults.ground import Ground, Performed, seen

STILL_S_MAX = 5.0
CGROUPS = Path("/sys/fs/cgroup")


def _kill(ground: Ground, fault: Kill) -> Proof:
    stack, service = ground.stack, fault.service
    before = stack.is_running(service)
    stack.kill(service)
    after = stack.is_running(service)
    words = f"{service} was {'' if before else 'not '}running, then {'still ' if after else 'gone'}"
    return Proof(seen=before and not after, words=words)


def _start(ground: Ground, fault: Kill) -> Proof:
    if not ground.stack.is_running(fault.service):
        ground.stack.restart(fault.service)
    return seen(f"{fault.service} runs")


def _pause(ground: Ground, fault: Pause) -> Proof:
    service = ground.stack.service(fault.service)
    service.pause()
    pids = service.pids()
    wait_until(
        f"every process of {fault.service} stands still",
        lambda: all(_stands_still(pid) for pid in pids),
        limit_s=STILL_S_MAX,
        poll_s=0.01,
    )
    return Proof(seen=bool(pids), words=f"{len(pids)} processes of {fault.service} stand still")


def _resume(ground: Ground, fault: Pause) -> Proof:
    service = ground.stack.service(fault.service)
    pids = service.pids()
    if service.is_running() and any(_stands_still(pid) for pid in pids):
        service.resume()
    still = [pid for pid in pids if _stands_still(pid)]
    return Proof(seen=not still, words=f"{len(pids)} processes of {fault.service} go on")


def _stands_still(pid: int) -> bool:
    """Whether a process is stopped by a signal, or frozen with its whole container; a dead one is not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state in "Tt" or _frozen(pid)
    except OSError:
        return False


def _frozen(pid: int) -> bool:
    """Whether its control group is: of version 2, or of version 1's freezer, which old engines use."""
    lines = (line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines())
    groups = {controllers: group for _, controllers, group in lines}
    unified = CGROUPS / groups.get("", "/").lstrip("/") / "cgroup.events"
    freezer = CGROUPS / "freezer" / groups.get("freezer", "/").lstrip("/") / "freezer.state"
    if unified.exists() and "frozen 1" in unified.read_text():
        return True
    return freezer.exists() and freezer.read_text().strip() == "FROZEN"


KILL = Performed(_kill, _start)
PAUSE = Performed(_pause, _resume)
