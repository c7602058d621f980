"""The stack on the chosen host: its readiness facts, its faults, and that nothing stays behind."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import get_args

import msgspec
import psycopg
import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from minio import Minio
from minio.error import S3Error
from urllib3.exceptions import HTTPError

from fixtures.comebacks import come_back_amid, come_back_between
from fixtures.stack import begin_capture, read_topic, traces, wait_arrived, write
from harness.model.errors import BadInput, UnknownName
from harness.stack import rest
from harness.stack.links import LinkName
from harness.stack.options import StackOptions
from harness.stack.portblock import first_in_use
from harness.stack.services import minio, postgres
from harness.stack.stack import PORT_NAMES, Stack
from harness.stack.wait import wait_until

pytestmark = pytest.mark.live

OWNER = """
import signal
import sys
from harness.stack.options import StackOptions
from harness.stack.stack import Stack
from harness.stack.wait import hold
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell runs behind it ignores it
with Stack.start(StackOptions(host=sys.argv[1])) as stack:
    sys.stdout.write(f"{stack.folder}\\n")
    sys.stdout.flush()
    hold()
"""
SERVICES = ("proxy-postgres", "proxy-data", "minio", "standby", "primary", "kafka", "connect")
MEMORY_BYTES_MAX = 1536 * 1024**2


def s3(stack: Stack, url: str) -> Minio:
    """A client of the object server by one of the stack's addresses, which doesn't try twice."""
    return minio.client(url.removeprefix("http://"), stack.identity)


def show(dsn: str, setting: str) -> object:
    """The value of a server setting."""
    row = postgres.one(dsn, f"SHOW {setting}")
    assert row is not None
    return row[0]


@contextmanager
def owner_of_a_stack(options: StackOptions) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another process that owns a running stack on the same host, and that stack's folder."""
    command = [sys.executable, "-c", OWNER, options.host]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        try:
            assert owner.stdout is not None
            yield owner, Path(owner.stdout.readline().strip())
        finally:
            owner.kill()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("fsync", "on"),
        ("wal_level", "logical"),
        ("synchronous_commit", "on"),
        ("synchronous_standby_names", "FIRST 1 (standby)"),
        ("synchronized_standby_slots", "standby"),
        ("timezone", "UTC"),
        ("bytea_output", "hex"),
    ],
)
def test_writers_get_a_durable_session(stack: Stack, setting: str, value: str) -> None:
    """What acknowledges a commit, and how values look, is as the guarantee needs it."""
    assert show(stack.endpoints.app_dsn, setting) == value


def test_the_archiver_never_waits_for_the_standby(stack: Stack) -> None:
    """Heartbeats are committed locally, so that a fault on the standby doesn't stop them."""
    assert show(stack.endpoints.archiver_dsn, "synchronous_commit") == "local"


def test_the_standby_streams_in_sync(stack: Stack) -> None:
    """The primary itself calls its standby streaming and synchronous."""
    query = (
        "SELECT application_name, state, sync_state FROM pg_stat_replication WHERE sync_state <> 'async'"
    )
    assert postgres.one(stack.endpoints.admin_dsn, query) == ("standby", "streaming", "sync")


def test_the_failover_slot_would_survive_a_promotion(stack: Stack) -> None:
    """The connector's slot lies on the standby, synced and not temporary."""
    query = "SELECT slot_name::text, synced, temporary, invalidation_reason FROM pg_replication_slots"
    assert postgres.one(stack.endpoints.standby_dsn, query) == (stack.endpoints.slot, True, False, None)


def test_connector_and_task_are_running(stack: Stack) -> None:
    """A running connector with a failed task would not do."""
    assert stack.capture.client.status(stack.endpoints.connector).is_running


def test_a_connector_setting_with_a_typo_is_refused(stack: Stack) -> None:
    """Connect would ignore the unknown key and take the default."""
    with pytest.raises(UnknownName, match=r"offset\.mismatch\.stategy"):
        stack.capture.client.register("typo", {"offset.mismatch.stategy": "trust_offset"})


def test_the_bucket_locks_what_is_put_without_a_retention(stack: Stack) -> None:
    """The version of a plain object can't be removed, not even by the root user."""
    client = s3(stack, stack.endpoints.s3_direct)
    stored = client.put_object(stack.endpoints.bucket, "plain", data=io.BytesIO(b"kept"), length=4)
    with pytest.raises(S3Error, match="WORM protected"):
        client.remove_object(stack.endpoints.bucket, "plain", version_id=stored.version_id)


def test_the_topic_keeps_everything_in_one_partition(stack: Stack) -> None:
    """Retention, compaction or a second partition would lose or reorder history."""
    admin = AdminClient({"bootstrap.servers": stack.endpoints.kafka_direct})
    topic = stack.endpoints.topic
    wanted = ConfigResource(ConfigResource.Type.TOPIC, topic)
    config = admin.describe_configs([wanted])[wanted].result(timeout=10)
    found = {k: config[k].value for k in ("cleanup.policy", "retention.ms", "max.message.bytes")}
    assert found == {"cleanup.policy": "delete", "retention.ms": "-1", "max.message.bytes": "33554432"}
    assert len(admin.list_topics(topic, timeout=10).topics[topic].partitions) == 1


def test_rows_from_before_capture_come_as_a_snapshot(stack: Stack) -> None:
    """The row that was there first is in the topic as a read, not as an insert."""
    rows = [r for r in read_topic(stack) if r.get("op") == "r"]
    assert [r["after"] for r in rows] == [{"id": 0, "word": "there before capture"}]


def test_a_transaction_comes_as_begin_row_end(stack: Stack) -> None:
    """The archiver's link delivers a whole transaction in order."""
    records = wait_arrived(stack, write(stack))
    wait_until("END is there", lambda: read_topic(stack)[-1].get("ts_ms") is not None, limit_s=10)
    kinds = [str(r.get("status") or r["op"]) for r in read_topic(stack) if "status" in r or "op" in r]
    assert len(records) > 0
    assert kinds[-3:] == ["BEGIN", "c", "END"]


def test_a_connector_that_comes_back_amid_an_interleaved_transaction_sends_all_of_it(stack: Stack) -> None:
    """A row that begins where another transaction ended is not taken for the last one sent."""
    written, arrived = come_back_amid(stack)
    assert arrived == written


def test_a_connector_that_comes_back_between_delete_and_insert_of_a_changed_key_sends_both(
    stack: Stack,
) -> None:
    """Both lie at one position: whoever goes on behind it loses the row."""
    written, arrived = come_back_between(stack)
    assert arrived == written


def test_memory_stays_within_its_bound(stack: Stack) -> None:
    """The sum of proportional shares of all services is under 1.5 GiB, and each one is measured."""
    memory = stack.memory_bytes()
    assert sorted(memory) == sorted(SERVICES)
    assert all(memory.values())
    assert sum(memory.values()) < MEMORY_BYTES_MAX


def reaches(stack: Stack, link: LinkName) -> bool:
    """Whether a client of that link gets through to its server."""
    client, _, server = link.partition("-")
    names = stack.endpoints
    try:
        if server == "minio":
            url = {"archiver": names.s3_archiver, "restorer": names.s3_restorer}[client]
            return bool(s3(stack, url).bucket_exists(names.bucket))
        if server == "kafka":
            broker = f"127.0.0.1:{stack.port(link)}"
            admin = AdminClient({"bootstrap.servers": broker, "log_level": 0})
            return bool(admin.list_topics(timeout=5).brokers)
        postgres.one(f"postgresql://postgres@127.0.0.1:{stack.port(link)}/app", "SELECT 1")
    except (HTTPError, KafkaException, psycopg.OperationalError):
        return False
    return True


@pytest.mark.parametrize("link", get_args(LinkName))
def test_a_link_can_be_cut_alone_and_healed(stack: Stack, link: LinkName) -> None:
    """Nobody gets through a cut link, everybody else does, and healing brings it back."""
    stack.cut(link)
    for other in get_args(LinkName):
        if other != link:
            wait_until(f"{other} lets through", partial(reaches, stack, other), limit_s=15)
    assert not reaches(stack, link)
    stack.heal(link)
    wait_until(f"{link} is healed", lambda: reaches(stack, link), limit_s=10)


def test_bytes_to_the_restorer_are_counted_outside(stack: Stack) -> None:
    """The proxy counts what the object server sent over the restorer's link, and nothing else."""
    body = b"x" * 300_000
    names = stack.endpoints
    s3(stack, names.s3_direct).put_object(names.bucket, "big", data=io.BytesIO(body), length=len(body))
    before = stack.proxy_bytes("restorer-minio")
    answer = s3(stack, names.s3_restorer).get_object(names.bucket, "big")
    answer.read()
    answer.close()
    answer.release_conn()
    sent = stack.proxy_bytes("restorer-minio") - before
    assert len(body) < sent < len(body) + 10_000


@pytest.mark.parametrize("name", SERVICES)
def test_a_killed_service_comes_back_and_the_pipeline_goes_on(stack: Stack, name: str) -> None:
    """SIGKILL leaves no process of it; started again, new rows arrive."""
    stack.kill(name)
    assert stack.service(name).pids() == []
    assert not stack.is_running(name)
    stack.restart(name)
    wait_arrived(stack, write(stack))


def test_a_link_stays_cut_when_the_proxies_come_back(stack: Stack) -> None:
    """A crash of the proxies heals nothing by accident."""
    stack.cut("restorer-minio")
    stack.kill("proxy-data")
    stack.restart("proxy-data")
    still_cut = not reaches(stack, "restorer-minio")
    stack.heal("restorer-minio")
    assert still_cut


def test_a_paused_standby_holds_commits_back(stack: Stack) -> None:
    """A commit is acknowledged only once the standby has it: it waits while that is paused."""
    stack.pause("standby")
    with ThreadPoolExecutor(1) as pool:
        try:
            commit = pool.submit(write, stack)
            wait_until("the commit waits for the standby", lambda: _waits(stack), limit_s=10)
            acknowledged = commit.done()
        finally:
            stack.resume("standby")
        assert not acknowledged
        wait_arrived(stack, commit.result(timeout=30))


def test_an_unknown_service_is_named_with_the_known_ones(stack: Stack) -> None:
    """A typo in a plan is one clear error."""
    with pytest.raises(UnknownName, match="unknown service 'kafak'"):
        stack.kill("kafak")


def test_capture_can_start_anew(stack: Stack) -> None:
    """Removed with offsets and slot, the connector takes a new snapshot at its next start."""
    before = len([r for r in read_topic(stack) if r.get("op") == "r"])
    stack.stop_capture()
    lsn = postgres.one(stack.endpoints.admin_dsn, "SELECT pg_current_wal_lsn()::text")
    stack.start_capture()
    assert len([r for r in read_topic(stack) if r.get("op") == "r"]) > before
    assert lsn is not None
    postgres.expect_slot_synced(
        stack.endpoints.admin_dsn, stack.endpoints.standby_dsn, stack.endpoints.slot, str(lsn[0])
    )


def test_a_fresh_cluster_stands_behind_the_same_addresses(stack: Stack) -> None:
    """After a destruction everything but the bucket is new: system id, broker, topic, tables."""
    names = stack.endpoints
    s3(stack, names.s3_direct).put_object(names.bucket, "survivor", data=io.BytesIO(b"1"), length=1)
    before = (_system_id(stack), _kafka_cluster(stack))
    assert stack.strike_all_but_archive() == ("connect", "kafka", "standby", "primary")
    stack.destroy_all_but_archive()
    assert not reaches(stack, "clients-primary")
    assert s3(stack, names.s3_restorer).stat_object(names.bucket, "survivor").size == 1
    stack.fresh_cluster()
    assert _system_id(stack) != before[0]
    assert _kafka_cluster(stack) != before[1]
    assert postgres.one(names.admin_dsn, "SELECT to_regclass('item')") == (None,)
    assert read_topic(stack) == []
    begin_capture(stack)
    wait_arrived(stack, write(stack))


def test_two_stacks_live_side_by_side_and_a_killed_owner_is_swept(
    stack: Stack, restoreproof_options: StackOptions
) -> None:
    """A second stack shares nothing with the first; the next start sweeps what its SIGKILLed owner left."""
    with owner_of_a_stack(restoreproof_options) as (owner, place):
        assert place != stack.folder
        owner.kill()
        owner.wait(timeout=10)
        assert len(traces(restoreproof_options, place)) > len(SERVICES)
        Stack.start(restoreproof_options, only=("minio",)).close()
    assert traces(restoreproof_options, place) == []
    wait_arrived(stack, write(stack))


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_owner_ends_its_stack(
    restoreproof_options: StackOptions, signum: signal.Signals
) -> None:
    """Asked to end, the harness takes every process, container and file of its stack with it."""
    with owner_of_a_stack(restoreproof_options) as (owner, place):
        assert place.is_dir()
        owner.send_signal(signum)
        owner.wait(timeout=30)
    assert traces(restoreproof_options, place) == []


def test_a_closed_stack_leaves_no_process_port_or_file(restoreproof_options: StackOptions) -> None:
    """A stack on ports of our choice is gone from all of them once closed; a busy port was refused."""
    with Stack.start(restoreproof_options) as first:
        base = first.port(PORT_NAMES[0])
        with pytest.raises(BadInput, match=f"port {base} is in use"):
            Stack.start(msgspec.structs.replace(restoreproof_options, first_port=base))
        assert first_in_use(base, len(PORT_NAMES)) is not None
        place = first.folder
    assert traces(restoreproof_options, place) == []
    assert first_in_use(base, len(PORT_NAMES)) is None


def _waits(stack: Stack) -> bool:
    query = "SELECT 1 FROM pg_stat_activity WHERE usename = 'app' AND wait_event = 'SyncRep'"
    return postgres.one(stack.endpoints.admin_dsn, query) is not None


def _system_id(stack: Stack) -> object:
    return postgres.one(stack.endpoints.admin_dsn, "SELECT system_identifier FROM pg_control_system()")


def _kafka_cluster(stack: Stack) -> object:
    return rest.get(f"{stack.endpoints.connect_url}/").json()["kafka_cluster_id"]
