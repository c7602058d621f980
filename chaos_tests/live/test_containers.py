"""The containers host: labels, faults, ports and logs of real containers, and that nothing stays behind."""

from __future__ import annotations

import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from docker.client import DockerClient

from harness.model.errors import HarnessFailed, ServiceDied
from harness.stack import owner, owner_labels, rest
from harness.stack.containers import sweep
from harness.stack.containers.arguments import container_name
from harness.stack.options import Limits, StackOptions
from harness.stack.portblock import LOOPBACK
from harness.stack.service import Command
from harness.stack.services import postgres
from harness.stack.stack import Stack
from harness.stack.wait import wait_until

pytestmark = [pytest.mark.live, pytest.mark.containers]

OWNER = """
import sys
from harness.stack.options import StackOptions
from harness.stack.stack import Stack
from harness.stack.wait import hold
with Stack.start(StackOptions(host="containers"), only=["minio"]) as stack:
    sys.stdout.write(f"{stack.identity.id}\\n")
    sys.stdout.flush()
    hold()
"""
ANSWER_S_MAX = 1.0


@pytest.fixture(scope="module")
def engine() -> Iterator[DockerClient]:
    """The engine itself, to look at what the host made of it."""
    client = DockerClient.from_env()
    yield client
    client.close()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A part of a stack with limits and logs of its own: Postgres pair, object server, proxies."""
    options = StackOptions(
        host="containers", logs=tmp_path_factory.mktemp("logs"), limits=Limits(memory_mb=512, cpus=1.5)
    )
    parts = ("proxy-postgres", "proxy-data", "minio", "primary", "standby")
    with Stack.start(options, only=parts) as stack:
        yield stack


@contextmanager
def owner_of_a_stack() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process that owns a small stack in containers, and that stack's id."""
    with subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def container_of(engine: DockerClient, stack: Stack, service: str) -> Any:
    """The engine's record of a service's container."""
    return engine.containers.get(container_name(stack.identity.id, stack.service(service).spec.name))


def of_this_process(engine: DockerClient) -> set[str]:
    """The ids of all containers whose owner is this process."""
    wanted = {"label": f"{owner_labels.OWNER}={owner.this_process()}"}
    return {found.id for found in engine.containers.list(all=True, filters=wanted, ignore_removed=True)}


def is_healthy(stack: Stack) -> bool:
    """Whether the object server answers at its own published port."""
    try:
        url = f"{stack.endpoints.s3_direct}/minio/health/live"
        return rest.get(url, timeout_s=ANSWER_S_MAX).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def is_healthy_by_link(stack: Stack) -> bool:
    """Whether the object server answers those who come by the archiver's link."""
    try:
        url = f"{stack.endpoints.s3_archiver}/minio/health/live"
        return rest.get(url, timeout_s=ANSWER_S_MAX).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def test_everything_of_a_stack_names_its_stack_and_its_owner(pair: Stack, engine: DockerClient) -> None:
    """Containers, network and volumes: what had no label could never be swept."""
    made = sweep.of_stack(engine, pair.identity.id)
    wanted = owner_labels.of_stack(pair.identity.id)
    assert (len(made.containers), len(made.networks), len(made.volumes)) == (5, 1, 5)
    for container in made.containers:
        assert wanted.items() <= container.labels.items()
    for thing in (*made.networks, *made.volumes):
        assert wanted.items() <= thing.attrs["Labels"].items()
    assert of_this_process(engine) >= {container.id for container in made.containers}


def test_ports_are_published_on_loopback_under_their_own_numbers(pair: Stack, engine: DockerClient) -> None:
    """Nobody outside this machine reaches a service, and one number is enough wherever it is spoken of."""
    bound = container_of(engine, pair, "proxy-data").attrs["NetworkSettings"]["Ports"]
    assert pair.port("archiver-minio") in {int(inside.removesuffix("/tcp")) for inside in bound}
    for inside, outside in bound.items():
        assert outside == [{"HostIp": LOOPBACK, "HostPort": inside.removesuffix("/tcp")}]


def test_limits_hold_for_each_container(pair: Stack, engine: DockerClient) -> None:
    """What the options say is what the engine enforces."""
    asked = container_of(engine, pair, "minio").attrs["HostConfig"]
    assert (asked["Memory"], asked["NanoCpus"]) == (512 << 20, 1_500_000_000)


def test_evidence_names_engine_and_images(pair: Stack, engine: DockerClient) -> None:
    """A verdict says what ran: ids of images, and versions measured in them."""
    found = msgspec.convert(pair.evidence(), dict[str, Any])
    row = postgres.one(pair.endpoints.admin_dsn, "SHOW server_version")
    assert row is not None
    assert found["host"] == "containers"
    assert found["engine"] == engine.version()["Version"]
    assert str(row[0]).startswith(found["versions"]["postgres"])
    assert found["images"]["postgres"]["id"] == container_of(engine, pair, "primary").attrs["Image"]


def test_memory_of_each_service_is_measured(pair: Stack) -> None:
    """Page cache is nobody's: what is left is more than nothing and less than the limit."""
    for name in ("minio", "primary", "standby", "proxy-data"):
        assert 1 << 20 < pair.service(name).memory_bytes() < 512 << 20


@pytest.mark.parametrize("name", ["proxy-data", "minio", "standby", "primary"])
def test_a_killed_service_starts_again_in_its_container_and_ports(
    pair: Stack, engine: DockerClient, name: str
) -> None:
    """No process is left after a kill; then all is as it was, so that clients see no address change."""
    service = pair.service(name)
    before = container_of(engine, pair, name)
    pids = service.pids()
    pair.kill(name)
    assert pids
    assert service.pids() == []
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    pair.restart(name)
    after = container_of(engine, pair, name)
    assert after.id == before.id
    assert after.attrs["NetworkSettings"]["Ports"] == before.attrs["NetworkSettings"]["Ports"]


def test_a_struck_service_goes_down_by_itself(pair: Stack) -> None:
    """A strike does not wait; what it sent arrives all the same."""
    pair.service("minio").strike()
    wait_until("it is gone", lambda: not pair.is_running("minio"), limit_s=10)
    pair.kill("minio")
    pair.restart("minio")
    assert is_healthy(pair)


def test_data_outlive_a_kill(pair: Stack) -> None:
    """What was committed before the crash is there after it."""
    postgres.run_sql(pair.endpoints.admin_dsn, "CREATE TABLE kept AS SELECT 42 AS number")
    pair.kill("primary")
    pair.restart("primary")
    found = postgres.one(pair.endpoints.admin_dsn, "SELECT number FROM kept")
    assert found == (42,)


def test_a_paused_service_answers_nobody_until_it_goes_on(pair: Stack) -> None:
    """Its processes stay, frozen; connections are taken and get no answer."""
    pids = pair.service("minio").pids()
    pair.pause("minio")
    silent = not is_healthy(pair)
    running = pair.is_running("minio")
    pair.resume("minio")
    assert (silent, running) == (True, True)
    assert pair.service("minio").pids() == pids
    wait_until("it answers again", lambda: is_healthy(pair), limit_s=10)


def test_a_partitioned_service_is_reached_by_nobody_and_comes_back_under_its_name(pair: Stack) -> None:
    """The proxy finds it by name, the harness by its port; cut off, neither does, though it runs on."""
    pids = pair.service("minio").pids()
    assert is_healthy(pair)
    assert is_healthy_by_link(pair)
    pair.partition("minio")
    cut_off = (is_healthy(pair), is_healthy_by_link(pair), pair.service("minio").pids() == pids)
    pair.reconnect("minio")
    assert cut_off == (False, False, True)
    wait_until("it is reached by its port", lambda: is_healthy(pair), limit_s=10)
    wait_until("it is reached by its name", lambda: is_healthy_by_link(pair), limit_s=10)


def test_a_partitioned_standby_holds_commits_until_it_is_back(pair: Stack) -> None:
    """A cut network is no crash: the primary waits for it, and it streams on by itself."""
    waiting = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    pair.partition("standby")
    with ThreadPoolExecutor(1) as pool:
        commit = pool.submit(postgres.run_sql, pair.endpoints.app_dsn, "CREATE TABLE held ()")
        try:
            wait_until(
                "the commit waits",
                lambda: postgres.one(pair.endpoints.admin_dsn, waiting) == (True,),
                limit_s=10,
            )
        finally:
            pair.reconnect("standby")
        commit.result(timeout=90)
    found = postgres.one(pair.endpoints.admin_dsn, "SELECT count(*) FROM pg_class WHERE relname = 'held'")
    assert found == (1,)


def test_logs_are_whole_over_kill_and_restart(pair: Stack, engine: DockerClient) -> None:
    """What the container said is in the stack's folder, each line once."""
    pair.kill("primary")
    pair.restart("primary")
    pair.kill("primary")
    said = container_of(engine, pair, "primary").logs()
    kept = (pair.logs_dir / "postgres-1.log").read_bytes()
    pair.restart("primary")
    assert b"database system was interrupted" in said
    assert kept == said


def test_a_start_that_fails_says_who_what_and_the_last_words(pair: Stack) -> None:
    """The log is there after a failed start, the error ends with it, and a right description cures it."""
    service = pair.service("minio")
    right = service.spec
    pair.kill("minio")
    service.describe(
        msgspec.structs.replace(right, run=Command(program="minio", arguments=("server", "--adress", "x")))
    )
    with pytest.raises(ServiceDied, match=r"minio ended with 1 .*cluster is healthy.*\n.*adress") as died:
        service.start()
    service.describe(right)
    service.start()
    assert "minio.log" in died.value.cure
    assert b"adress" in (pair.logs_dir / "minio.log").read_bytes()
    assert is_healthy(pair)


def test_a_taken_port_is_told_from_other_failures(pair: Stack) -> None:
    """Somebody else took a port while its service was down: the cure says so."""
    pair.kill("minio")
    taken = socket.create_server((LOOPBACK, pair.port("minio")))
    with taken, pytest.raises(HarnessFailed, match="start again, or give another first port"):
        pair.restart("minio")
    pair.restart("minio")
    assert is_healthy(pair)


def test_the_postgres_image_can_be_replaced_by_another_build(engine: DockerClient) -> None:
    """Users run their own Postgres: the evidence says that it isn't ours, and it is what runs."""
    repository, tag = "restoreproof-test/postgres", secrets.token_hex(4)
    with Stack.start(StackOptions(host="containers"), only=["primary"]) as ours:
        image = container_of(engine, ours, "primary").image
    bare = engine.containers.create(image.id)
    other = bare.commit(repository=repository, tag=tag, changes='LABEL build="another"')
    bare.remove()
    try:
        options = StackOptions(host="containers", images={"postgres": f"{repository}:{tag}"})
        with Stack.start(options, only=["primary"]) as stack:
            runs = container_of(engine, stack, "primary").image
            evidence = msgspec.convert(stack.evidence(), dict[str, Any])
    finally:
        engine.images.remove(other.id)
    assert runs.id == other.id != image.id
    assert runs.labels["build"] == "another"
    assert evidence["images"]["postgres"]["own"] is False


def test_sigkill_of_an_owner_leaves_nothing_after_the_next_start(pair: Stack, engine: DockerClient) -> None:
    """A live neighbour's stack is untouched, the dead one's containers, network and volumes are gone."""
    neighbour = {c.id for c in sweep.of_stack(engine, pair.identity.id).containers}
    with owner_of_a_stack() as (process, dead):
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=10)
        left = len(sweep.of_stack(engine, dead))
        with Stack.start(StackOptions(host="containers"), only=["proxy-data"]):
            remaining = len(sweep.of_stack(engine, dead))
    assert (left, remaining) == (3, 0)
    assert {c.id for c in sweep.of_stack(engine, pair.identity.id).containers} == neighbour
    assert all(c.status == "running" for c in sweep.of_stack(engine, pair.identity.id).containers)
    assert is_healthy(pair)


def test_sigterm_of_an_owner_leaves_nothing_at_all(engine: DockerClient) -> None:
    """Nobody has to start again for that."""
    with owner_of_a_stack() as (process, stack_id):
        process.terminate()
        process.wait(timeout=60)
    assert len(sweep.of_stack(engine, stack_id)) == 0


def test_a_stack_whose_start_fails_leaves_nothing(engine: DockerClient, tmp_path: Path) -> None:
    """The engine kills Java for want of memory: the error names the service, its log is kept.

    With more it may go on for minutes, neither dead nor ready: its heap counts only where it was touched.
    """
    options = StackOptions(host="containers", logs=tmp_path, limits=Limits(memory_mb=24))
    before = of_this_process(engine)
    with pytest.raises(ServiceDied, match="connect ended"):
        Stack.start(options, only=["connect"])
    assert of_this_process(engine) == before
    assert (tmp_path / "connect.log").exists()


def test_a_closed_stack_starts_nothing_more() -> None:
    """However late somebody asks."""
    stack = Stack.start(StackOptions(host="containers"), only=["minio"])
    minio = stack.service("minio")
    stack.close()
    with pytest.raises(HarnessFailed, match="the stack is closed"):
        minio.start()
