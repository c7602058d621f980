"""Which faults a host can't do, each with the reason; and whom nobody waits for after one."""

from __future__ import annotations

from typing import Any, cast

import pytest

from harness.generate.swarm import all_names, listed, made
from harness.model.faults import ClockJump, Fault, PauseConnector, Service
from harness.stack.host import HostName
from harness.stack.world.faults import disturber, unavailable
from harness.stack.world.faults import ground as ground_module
from harness.stack.world.faults.ground import Ground, Performed, seen


@pytest.mark.parametrize(
    ("service", "host", "why"),
    [
        ("primary", "local", ""),
        ("primary", "containers", "no libfaketime"),
        ("standby", "local", ""),
        ("archiver", "local", "may stand still"),
        ("kafka", "containers", "may stand still"),
        ("minio", "local", "static Go program"),
        ("minio", "containers", "static Go program"),
    ],
)
def test_whose_clock_can_jump(service: Service, host: HostName, why: str) -> None:
    """Postgres on plain processes only: a library between it and the kernel tells another time."""
    jump = ClockJump(service=service, phase="write", after_s=1.0, down_s=1.0)
    reason = unavailable(jump, host)
    assert why in reason
    assert bool(reason) is bool(why)


@pytest.mark.parametrize("host", ["local", "containers"])
def test_each_fault_can_be_done_or_is_listed_with_its_reason(host: HostName) -> None:
    """None is passed over in silence."""

    def unable(fault: Fault) -> str:
        return unavailable(fault, host)

    reasons = listed(unable)
    can = [name for name in all_names() if not unable(made(name, phase="write", after_s=0.0, down_s=0.0))]
    assert sorted([*reasons, *can]) == sorted(all_names())
    assert all(reasons.values())


@pytest.mark.parametrize("there", [True, False])
def test_what_is_destroyed_while_it_is_healed_is_not_waited_for(
    there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault was undone, which is what is told; with the cluster there, that all is well again too."""
    fault = PauseConnector(phase="write", after_s=1.0, down_s=1.0)
    undone = Performed(lambda *_: seen("paused"), lambda *_: seen("it goes on"))

    def captures(ground: Ground) -> str:
        ground.expect_cluster()
        return "it streams"

    monkeypatch.setitem(disturber.PERFORM, PauseConnector, undone)
    monkeypatch.setattr(ground_module, "_WELL", dict.fromkeys(("slot", "Connect"), captures))
    nothing = cast("Any", None)
    proof = disturber.Disturber(nothing, nothing, nothing, lambda: there).heal(fault, destroyed=False)
    assert proof.seen
    assert proof.words == ("it goes on; it streams" if there else "it goes on")
