"""What the local host stands on, without any service: waiting, ports, folders, processes, steps."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from harness.model.errors import BadInput, HarnessFailed, TimedOut, UnknownName
from harness.stack import ending, folder, processes
from harness.stack.debezium_client import ConnectorStatus, TaskStatus
from harness.stack.links import LINKS
from harness.stack.portblock import PortBlock, first_in_use, reserve
from harness.stack.together import Step, StepSeen, chosen, run_together, silent
from harness.stack.wait import NotYet, wait_for, wait_until

SIZE = 4
STACK = "feedc0de"


@pytest.fixture
def block() -> Iterator[PortBlock]:
    """A reserved block of ports."""
    reserved = reserve(SIZE)
    yield reserved
    reserved.release()


@pytest.fixture
def member(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that carries the marker of a stack."""
    command = [sys.executable, "-c", "import signal; signal.pause()"]
    with subprocess.Popen(command, cwd=tmp_path, env={processes.MARKER: STACK}) as process:
        wait_until("it carries the marker", lambda: processes.of_stack(STACK, tmp_path) != [], limit_s=5)
        yield process
        process.kill()


def test_waiting_returns_what_the_probe_found() -> None:
    """A probe that holds at its third look gives its value."""
    looks = iter([NotYet("once"), ConnectionRefusedError(), 42])

    def probe() -> object:
        seen = next(looks)
        if isinstance(seen, Exception):
            raise seen
        return seen

    assert wait_for("it is there", probe, limit_s=5, poll_s=0.001, transient=(OSError,)) == 42


def test_a_wait_past_its_limit_says_fact_time_and_last_thing_seen() -> None:
    """Whoever reads the error needs nothing else to go on."""

    def probe() -> None:
        raise NotYet("3 of 4 nodes")

    with pytest.raises(TimedOut, match=r"waited 0\.0 s for: four nodes; last seen: 3 of 4 nodes"):
        wait_for("four nodes", probe, limit_s=0.0)


def test_other_errors_end_a_wait_at_once() -> None:
    """Only what the caller calls transient is waited through."""

    def probe() -> None:
        raise PermissionError("no")

    with pytest.raises(PermissionError):
        wait_for("anything", probe, limit_s=60, transient=(ConnectionError,))


def test_a_reserved_block_is_nobody_elses(block: PortBlock) -> None:
    """A second stack that wants exactly these ports is refused, before anything listens on them."""
    assert first_in_use(block.first, block.size) is None
    with pytest.raises(BadInput, match=f"port {block.first} is in use"):
        reserve(SIZE, first=block.first)


def test_a_released_block_can_be_had_again(block: PortBlock) -> None:
    """The reservation ends with its owner and leaves nothing."""
    block.release()
    again = reserve(SIZE, first=block.first)
    again.release()
    assert again.first == block.first


def test_every_link_of_the_house_has_a_proxy() -> None:
    """The links that a fault can cut, as the design names them, are all there."""
    named = {
        *("standby-primary", "connect-primary", "clients-primary", "restorer-primary"),
        *("connect-kafka", "archiver-kafka", "archiver-minio", "restorer-minio"),
    }
    assert named <= {link.name for link in LINKS}


def test_only_marked_processes_belong_to_a_stack(member: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """Working in a stack's folder does not make a process its own: a user's shell must survive."""
    command = [sys.executable, "-c", "import signal; signal.pause()"]
    with subprocess.Popen(command, cwd=tmp_path, env={}) as shell:
        found = processes.of_stack(STACK, tmp_path)
        processes.end_stack(STACK, tmp_path)
        survived = shell.poll() is None
        shell.kill()
    assert found == [member.pid]
    assert survived
    assert member.wait(timeout=5) == -signal.SIGKILL


def test_a_recycled_pid_is_told_from_its_former_owner(member: subprocess.Popen[bytes]) -> None:
    """A process is named by pid and start; a dead one has no start."""
    started = processes.start_ticks(member.pid)
    member.kill()
    member.wait(timeout=5)
    assert started is not None
    assert processes.start_ticks(member.pid) is None


def test_the_stack_of_a_dead_owner_is_swept(member: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """Its processes are killed and its folder removed, whatever is in it."""
    place = folder.claim(tmp_path, STACK)
    (place / "data" / "something").write_text("left behind")
    _owned_by_another(place, started_ticks=1)
    assert folder.sweep(tmp_path) == [STACK]
    assert member.wait(timeout=5) == -signal.SIGKILL
    assert not place.exists()


def test_the_stack_of_a_living_owner_is_left_alone(member: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """This process owns the folder and lives."""
    place = folder.claim(tmp_path, STACK)
    assert folder.sweep(tmp_path) == []
    assert place.is_dir()
    assert member.poll() is None


def test_an_owner_of_another_boot_is_dead(tmp_path: Path) -> None:
    """Pid and start time of this process mean nothing in another boot's record."""
    place = folder.claim(tmp_path, STACK)
    _owned_by_another(place, boot_id="another boot")
    assert folder.sweep(tmp_path) == [STACK]


def test_an_owner_in_another_pid_namespace_is_left_alone(tmp_path: Path) -> None:
    """Whether a pid of another container lives can't be known from here."""
    place = folder.claim(tmp_path, STACK)
    _owned_by_another(place, pid_namespace="pid:[1]", started_ticks=1)
    assert folder.sweep(tmp_path) == []


def test_too_little_disk_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says how much there is, how much is needed, and the cure."""
    monkeypatch.setattr(folder, "FREE_BYTES_MIN", 2**60)
    with pytest.raises(BadInput, match="MiB free, a stack needs"):
        folder.claim(tmp_path, STACK)
    assert list(tmp_path.iterdir()) == []


def test_steps_wait_for_those_before_them() -> None:
    """A step begins only once the steps that it names are done."""
    done: list[str] = []
    steps = [
        Step(name="slow", run=lambda: done.append("slow")),
        Step(name="after", run=lambda: done.append("after"), after=("slow",)),
    ]
    run_together(steps, progress=silent, abandon=lambda: None)
    assert done == ["slow", "after"]


def test_chosen_steps_wait_only_for_each_other() -> None:
    """A part of a stack starts without the rest; a name that is no step is refused."""
    steps = [
        Step(name=name, run=lambda: None, after=after)
        for name, after in [("proxy", ()), ("primary", ()), ("standby", ("primary", "proxy"))]
    ]
    assert [(s.name, s.after) for s in chosen(steps, {"primary", "standby"})] == [
        ("primary", ()),
        ("standby", ("primary",)),
    ]
    with pytest.raises(UnknownName, match="standbye"):
        chosen(steps, {"standbye"})


def test_a_failed_step_abandons_the_others_and_is_raised() -> None:
    """The first cause is what the caller sees, once the others were made to end."""
    abandoned = threading.Event()
    seen: list[StepSeen] = []

    def fail() -> None:
        raise HarnessFailed("the broker did not start")

    steps = [
        Step(name="broker", run=fail),
        Step(name="worker", run=lambda: None, after=("broker",)),
        Step(name="other", run=lambda: wait_until("abandoned", abandoned.is_set, limit_s=5)),
    ]
    with pytest.raises(HarnessFailed, match="the broker did not start"):
        run_together(steps, progress=seen.append, abandon=abandoned.set)
    assert ("broker", "failed") in {(s.name, s.state) for s in seen}
    assert "worker" not in {s.name for s in seen}


def test_a_running_connector_with_a_failed_task_is_not_running() -> None:
    """REST answers 200 and RUNNING for it, so the task decides."""
    failed = TaskStatus(id=0, state="FAILED", trace="org.postgresql.util.PSQLException")
    status = ConnectorStatus(state="RUNNING", tasks=(failed,))
    assert not status.is_running
    assert status.failure == "org.postgresql.util.PSQLException"
    assert str(status) == "connector RUNNING, task 0 FAILED"


def test_sigterm_is_what_ctrl_c_is() -> None:
    """Asked to end by a signal, Python would skip every clean-up."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL), signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        ending.exit_on_signals()
        with pytest.raises(ending.Terminated, match="SIGTERM"):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGHUP, before[1])
    assert issubclass(ending.Terminated, KeyboardInterrupt)


def _owned_by_another(place: Path, **changes: object) -> None:
    record = place / "owner.json"
    owner = msgspec.json.decode(record.read_bytes(), type=folder.Owner)
    record.write_bytes(msgspec.json.encode(msgspec.structs.replace(owner, **changes)))
