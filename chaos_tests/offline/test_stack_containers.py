"""What the containers host makes of a description, and whom its sweep would remove; needs no engine."""

from __future__ import annotations

import io
import tarfile
import threading
from pathlib import Path

import msgspec
import pytest

from harness.model.errors import BadInput, HarnessFailed
from harness.stack import local, owner, owner_labels
from harness.stack.capture import Capture
from harness.stack.containers import archives, arguments
from harness.stack.containers.arguments import Settings
from harness.stack.containers.gate import Gate
from harness.stack.containers.service import memory_of
from harness.stack.copies import COPY_PORTS
from harness.stack.identity import new_identity
from harness.stack.options import Limits
from harness.stack.service import Address, Command, Fact, ServiceSpec
from harness.stack.services import connect, kafka, minio, postgres, toxiproxy
from harness.stack.services.witness import PORT as WITNESS_PORT
from harness.stack.stack import PORT_NAMES

PORTS = {name: 20000 + i for i, name in enumerate(PORT_NAMES) if name != WITNESS_PORT}
"""All but that of the second witness's cluster, which runs beside the containers."""
SETTINGS = Settings(
    stack_id="feedc0de",
    ports=PORTS,
    class_paths={"broker": "/opt/a.jar", "connect": "/opt/a.jar:/opt/b.jar"},
    java_options={"broker": ("-XX:AOTCache=/opt/broker.aot",)},
)
USER = archives.User(uid=70, gid=71)


class Inside:
    """The names of a containers host, without the host."""

    def __init__(self, postgres_major: int = 17) -> None:
        self.postgres_major = postgres_major

    def listen(self, port: str) -> Address:
        """What a service binds."""
        return Address(host=arguments.EVERYWHERE, port=PORTS[port])

    def inside(self, port: str) -> Address:
        """How others reach it."""
        return Address(host=port, port=PORTS[port])

    def outside(self, port: str) -> Address:
        """How the harness reaches it."""
        return Address(host="127.0.0.1", port=PORTS[port])

    def data(self, service: str) -> str:
        """Its data folder."""
        return arguments.data(service)

    def file(self, service: str, name: str) -> str:
        """One of its files."""
        return arguments.file(service, name)


def described(site: Inside) -> list[ServiceSpec]:
    """The descriptions of all services of a stack, those on copies of its bucket too, on that site."""
    return [
        toxiproxy.toxiproxy(site, "proxy-postgres"),
        toxiproxy.toxiproxy(site, "proxy-data"),
        minio.minio(site, new_identity()),
        postgres.primary(site),
        postgres.standby(site),
        kafka.kafka(site),
        connect.connect(site),
        *(minio.minio(site, new_identity(), name=name) for name in COPY_PORTS),
    ]


def test_every_service_has_a_container_and_every_port_one_owner() -> None:
    """The same descriptions that run as processes: all map, and publish each port of the stack once."""
    made = [arguments.launch(spec, SETTINGS) for spec in described(Inside())]
    published = [number for launch in made for _, number in launch.ports.values()]
    assert sorted(published) == sorted(PORTS.values())
    assert {launch.image for launch in made} == {"postgres", "java", "minio", "toxiproxy"}


def test_each_port_is_a_name_in_the_network_of_who_serves_it() -> None:
    """So that an address inside needs no table of who serves what."""
    names = [n for spec in described(Inside()) for n in arguments.launch(spec, SETTINGS).aliases]
    assert len(names) == len(set(names))
    assert set(PORTS) <= set(names)


def test_ports_have_the_same_number_inside_and_on_loopback() -> None:
    """Nothing is published to other machines."""
    spec = minio.minio(Inside(), new_identity())
    number = PORTS["minio"]
    assert arguments.launch(spec, SETTINGS).ports == {f"{number}/tcp": ("127.0.0.1", number)}


def test_a_java_service_runs_by_its_class_path_and_options() -> None:
    """Options of the virtual machine come before the class path, the description's own after it."""
    command = Command(program="broker", arguments=("kafka.Kafka", "f"))
    program, *rest = arguments.argv(command, SETTINGS)
    assert program == "java"
    assert rest[0] == "-XX:AOTCache=/opt/broker.aot"
    assert rest[-4:] == ["-cp", "/opt/a.jar", "kafka.Kafka", "f"]


def test_who_refuses_to_be_root_is_the_image_s_postgres() -> None:
    """All others own their volumes as root, whatever user an image names."""
    users = {s.name: arguments.launch(s, SETTINGS).keywords["user"] for s in described(Inside())}
    assert users.pop("postgres-1") == users.pop("postgres-2") == "postgres"
    assert set(users.values()) == {"0:0"}


def test_a_container_for_one_command_publishes_nothing_and_has_no_name() -> None:
    """It would collide with the service's own, and answer in its place."""
    spec = postgres.primary(Inside())
    made = arguments.one_shot(spec, Command(program="initdb", arguments=("-D", "x")), SETTINGS)
    assert (made.ports, made.aliases) == ({}, ())
    assert (made.keywords["entrypoint"], made.arguments) == (["initdb"], ("-D", "x"))


def test_limits_are_said_in_the_engine_s_units() -> None:
    """Without swap beside it, and processors in billionths; no limit says nothing."""
    spec = minio.minio(Inside(), new_identity())
    limited = msgspec.structs.replace(SETTINGS, limits=Limits(memory_mb=64, cpus=0.5))
    keywords = arguments.launch(spec, limited).keywords
    assert {k: keywords[k] for k in ("mem_limit", "memswap_limit", "nano_cpus")} == {
        "mem_limit": "64m",
        "memswap_limit": "64m",
        "nano_cpus": 500_000_000,
    }
    assert not {"mem_limit", "memswap_limit", "nano_cpus"} & set(arguments.launch(spec, SETTINGS).keywords)


def test_a_program_of_the_harness_runs_in_no_container() -> None:
    """The archiver is a process beside it."""
    spec = ServiceSpec(
        name="archiver",
        run=Command(program="python", arguments=()),
        ready=Fact(words="", probe=lambda: None),
    )
    with pytest.raises(BadInput, match="python runs in no container"):
        arguments.launch(spec, SETTINGS)


@pytest.mark.parametrize(("major", "knows"), [(15, False), (16, False), (17, True), (18, True)])
def test_settings_fit_the_version_of_postgres(major: int, knows: bool) -> None:
    """An older server would refuse to start over a setting that it does not know."""
    site = Inside(major)
    text = postgres.primary(site).files["postgresql.conf"]
    wanted = ("synchronized_standby_slots", "sync_replication_slots")
    assert [name in text for name in wanted] == [knows, knows]
    assert postgres.has_failover_slots(site) is knows
    config = connect.connector_config(site, new_identity())
    assert config["slot.failover"] == str(knows).lower()


def test_a_version_that_can_not_be_read_is_no_version(tmp_path: Path) -> None:
    """It is measured and never guessed."""
    program = tmp_path / "postgres"
    program.write_text("#!/bin/sh\necho something else\n")
    program.chmod(0o755)
    with pytest.raises(BadInput, match="something else"):
        local.postgres_major(program)


def test_archives_give_files_and_their_folders_to_a_user() -> None:
    """A volume is born root's, and Postgres refuses a data folder that others may read."""
    packed = archives.packed("/data/kafka", {"log/meta": b"x"}, USER)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        found = {m.name: (m.uid, m.gid, m.mode) for m in archive}
    assert found == {
        "data/kafka": (70, 71, 0o700),
        "data/kafka/log": (70, 71, 0o700),
        "data/kafka/log/meta": (70, 71, 0o600),
    }
    assert archives.content_of(packed) == b"x"


def test_who_may_read_a_file_may_enter_its_folder() -> None:
    """Configuration that is written anew for a service which isn't root must stay readable."""
    packed = archives.packed("/etc/x", {"a": b""}, archives.ROOT, mode=0o644)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert [m.mode for m in archive] == [0o755, 0o644]


def test_the_user_is_the_image_s_own() -> None:
    """Debian's images say 999, Alpine's 70: a volume keeps numbers."""
    passwd = "root:x:0:0:root:/root:/bin/sh\npostgres:x:70:71::/var/lib/postgresql:/bin/sh\n"
    assert archives.user_in(passwd, "postgres") == USER
    assert archives.user_in(passwd, "post") is None


@pytest.mark.parametrize(
    "stats",
    [
        {"usage": 900, "stats": {"total_cache": 700, "total_shmem": 100}},
        {"usage": 900, "stats": {"file": 700, "shmem": 100}},
    ],
)
def test_page_cache_is_no_memory_of_a_service(stats: dict[str, object]) -> None:
    """In either version of control groups; memory that its processes share is counted, once."""
    assert memory_of(stats) == 300


def test_this_process_is_no_dead_owner() -> None:
    """What a stack of ours is labelled with reads back as an owner that lives."""
    found = owner_labels.of_stack("feedc0de")
    assert found[owner_labels.STACK] == "feedc0de"
    assert owner.read(found[owner_labels.OWNER]) == owner.this_process()
    assert not owner_labels.is_left_behind(found, same_machine=True)


def test_an_owner_that_was_recycled_or_rebooted_is_dead() -> None:
    """Its pid may live again, as somebody else."""
    me = owner.this_process()
    for gone in (
        msgspec.structs.replace(me, started_ticks=1),
        msgspec.structs.replace(me, boot_id="another"),
    ):
        assert owner_labels.is_left_behind({owner_labels.OWNER: str(gone)}, same_machine=True)


def test_owners_that_can_not_be_judged_are_left_alone() -> None:
    """Another pid namespace, another machine of the same engine, a label that is no owner's, or none."""
    me = owner.this_process()
    elsewhere = msgspec.structs.replace(me, pid_namespace="pid:[1]", started_ticks=1)
    other_machine = msgspec.structs.replace(me, boot_id="another")
    assert not owner_labels.is_left_behind({owner_labels.OWNER: str(elsewhere)}, same_machine=True)
    assert not owner_labels.is_left_behind({owner_labels.OWNER: str(other_machine)}, same_machine=False)
    assert not owner_labels.is_left_behind({owner_labels.OWNER: "a/b/c/d"}, same_machine=True)
    assert not owner_labels.is_left_behind({}, same_machine=True)


def test_a_shut_gate_lets_nobody_in_and_knows_who_still_is() -> None:
    """Whoever closes a stack waits for those who were making something."""
    gate, inside, go = Gate(), threading.Event(), threading.Event()

    def make() -> None:
        with gate.passing("kafka"):
            inside.set()
            go.wait(5)

    maker = threading.Thread(target=make)
    maker.start()
    assert inside.wait(5)
    gate.shut()
    busy = gate.is_empty()
    with pytest.raises(HarnessFailed, match="minio can't be started"), gate.passing("minio"):
        pass
    go.set()
    maker.join(5)
    assert (busy, gate.is_empty()) == (False, True)


def test_a_failover_is_refused_where_the_slot_would_be_lost(tmp_path: Path) -> None:
    """Before Postgres 17: declared in the evidence, and never ignored."""
    capture = Capture(Inside(16), new_identity(), tmp_path / "connect.log")
    with pytest.raises(BadInput, match="Postgres 16 loses the connector's slot in a failover"):
        capture.require_failover_slot()
