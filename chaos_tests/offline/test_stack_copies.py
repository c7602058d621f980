"""Copies of a service's data folder, without any service: what is taken, and what is left alone."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.model.errors import BadInput
from harness.stack import processes
from harness.stack.copies import COPY_PORTS, BucketCopies
from harness.stack.host import Service
from harness.stack.identity import new_identity
from harness.stack.local import LocalHost, LocalService
from harness.stack.programs import Programs
from harness.stack.service import Command, Fact, ServiceSpec
from harness.stack.wait import wait_until

STACK = "c0b1ed"
SPEC = ServiceSpec(
    name="minio",
    run=Command(program="python", arguments=()),
    ready=Fact(words="it is ready", probe=lambda: None),
)


NO_PROGRAMS = Programs(
    postgres_bin=Path("postgres"),
    java=Path("java"),
    broker_jars=(),
    connect_jars=(),
    minio=Path("minio"),
    toxiproxy=Path("toxiproxy"),
    faketime=Path("faketime"),
    aot_dir=Path("aot"),
    versions={},
)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[LocalHost]:
    """A host with folders and ports, and nothing that runs."""
    (tmp_path / "data").mkdir()
    (tmp_path / "files").mkdir()
    made = LocalHost(
        stack_id=STACK,
        folder=tmp_path,
        port_names=("minio", *COPY_PORTS),
        programs=NO_PROGRAMS,
    )
    yield made
    made._block.release()


@pytest.fixture
def server(host: LocalHost) -> Iterator[tuple[LocalService, subprocess.Popen[bytes]]]:
    """A process that works in the data folder of the object server, and a file there."""
    service = host.service(SPEC)
    host.make_folders(SPEC)
    data = Path(host.data("minio"))
    (data / "bucket").mkdir()
    (data / "bucket" / "object").write_bytes(b"archived")
    command = [sys.executable, "-c", "import signal; signal.pause()"]
    with subprocess.Popen(command, cwd=data, env={processes.MARKER: STACK}) as process:
        wait_until("it works there", lambda: service.pids() == [process.pid], limit_s=5)
        yield service, process
        process.kill()


def test_a_copy_holds_what_was_there_and_the_server_goes_on(
    server: tuple[LocalService, subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    """What is written afterwards is not in it."""
    service, process = server
    service.copy_data(tmp_path / "copy")
    (tmp_path / "data/minio/bucket/object").write_bytes(b"changed")
    assert (tmp_path / "copy/bucket/object").read_bytes() == b"archived"
    wait_until("it goes on", lambda: not processes.is_stopped(process.pid), limit_s=5)


def test_a_server_that_a_fault_has_paused_stays_so(
    server: tuple[LocalService, subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    """A copy heals nothing."""
    service, process = server
    process.send_signal(signal.SIGSTOP)
    wait_until("it stands still", lambda: processes.is_stopped(process.pid), limit_s=5)
    service.copy_data(tmp_path / "copy")
    assert processes.is_stopped(process.pid)
    assert not processes.is_stopped(2**22 + 1)


def test_a_copy_becomes_the_data_of_another_server(
    server: tuple[LocalService, subprocess.Popen[bytes]], host: LocalHost, tmp_path: Path
) -> None:
    """It is moved, and may be taken anew under its number."""
    copies = BucketCopies(host, new_identity(), {"minio": server[0]})
    assert copies.possible
    for body in (b"archived", b"and more"):
        (tmp_path / "data/minio/bucket/object").write_bytes(body)
        copies.take(0)
    other = host.service(ServiceSpec(name=COPY_PORTS[0], run=SPEC.run, ready=SPEC.ready))
    other.fill(tmp_path / "copies/0")
    assert (tmp_path / "data" / COPY_PORTS[0] / "bucket/object").read_bytes() == b"and more"
    copies.end()
    assert not (tmp_path / "copies").exists()


def test_more_copies_than_ports_are_refused(host: LocalHost) -> None:
    """And so is copying where the host can't."""

    class Plain:
        """A service that can't be copied."""

    services: dict[str, Service] = {"minio": Plain()}  # type: ignore[dict-item]  # that is the point
    copies = BucketCopies(host, new_identity(), services)
    assert not copies.possible
    with pytest.raises(BadInput, match="not Copyable"):
        copies.take(0)
    with pytest.raises(BadInput, match="4 copies can't be served"):
        copies.serve(range(4))
