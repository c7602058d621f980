"""The second witness of a stack, without any service: when there is none, and what is described."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from chaos_tests.offline.test_stack_copies import NO_PROGRAMS
from harness.model.errors import BadInput, HarnessFailed
from harness.model.history import Cut
from harness.stack import hosts, local
from harness.stack.host import Host
from harness.stack.local import LocalHost
from harness.stack.options import StackOptions
from harness.stack.programs import barman, cache
from harness.stack.service import Address
from harness.stack.services import witness
from harness.stack.stack import Stack
from harness.stack.witness import BarmanWitness


@pytest.fixture
def host(tmp_path: Path) -> Iterator[LocalHost]:
    """A host with folders and ports, and nothing that runs."""
    (tmp_path / "data").mkdir()
    (tmp_path / "files").mkdir()
    names = ("harness-primary", witness.PORT)
    made = LocalHost(stack_id="c0b1ed", folder=tmp_path, port_names=names, programs=NO_PROGRAMS)
    yield made
    made._block.release()


def majors(host: LocalHost, theirs: int, ours: int) -> Host:
    """A host with one Postgres, beside which there is another."""
    beside = SimpleNamespace(postgres_major=ours, folder=host.folder)
    return cast("Host", SimpleNamespace(postgres_major=theirs, beside=beside, outside=host.outside))


def test_there_is_none_before_it_is_fetched_nor_for_another_postgres(
    host: LocalHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are said by name; a physical backup is of one major version."""
    monkeypatch.setattr(cache, "fault", lambda _: "not there")
    assert BarmanWitness(majors(host, 18, 18)).why_not.startswith("Barman is not among the programs")
    monkeypatch.setattr(cache, "fault", lambda _: "")
    assert BarmanWitness(majors(host, 18, 18)).why_not == ""
    words = "the stack's Postgres is 17, and that of the programs beside it 18"
    assert BarmanWitness(majors(host, 17, 18)).why_not == words


def test_a_stack_that_needs_one_and_can_have_none_is_refused_before_anything_starts(
    host: LocalHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the reason and a cure; it is closed again. One that needs none, or can have one, starts."""
    done: list[object] = []
    stack = SimpleNamespace(start_services=done.append, close=lambda: done.append("closed"))
    monkeypatch.setattr(cache, "fault", lambda _: "")
    monkeypatch.setattr(hosts, "make_ready", lambda *_: None)
    monkeypatch.setattr(Stack, "prepare", lambda *_: stack)
    stack.witness = BarmanWitness(majors(host, 17, 18))
    with pytest.raises(
        BadInput, match="no second witness can be heard here: the stack's Postgres is 17"
    ) as no:
        Stack.start(StackOptions(witness=True))
    assert "image of Postgres 18" in no.value.cure
    assert done == ["closed"]
    Stack.start(StackOptions(), only=["first"])
    stack.witness = BarmanWitness(majors(host, 18, 18))
    Stack.start(StackOptions(witness=True), only=["second"])
    assert done == ["closed", ["first"], ["second"]]


def test_one_that_was_never_begun_has_nothing(host: LocalHost) -> None:
    """It says so, and ends without a word."""
    never = BarmanWitness(host)
    never.end()
    for ask in (never.gather, lambda: never.recover(Cut(xid=7))):
        with pytest.raises(HarnessFailed, match="was never begun"):
            ask()


def test_barman_receives_by_a_slot_and_by_the_stacks_programs(host: LocalHost, tmp_path: Path) -> None:
    """As the harness's own user, in its own folder, out of the reach of the harness's packages."""
    spec = witness.receiver(host, Address(host="here", port=7), tmp_path / "bin", tmp_path / "log")
    config = spec.files["barman.conf"]
    for line in (
        f"barman_home = {host.data(witness.RECEIVER)}",
        f"path_prefix = {tmp_path / 'bin'}",
        f"slot_name = {witness.SLOT}",
        "streaming_conninfo = host=here port=7 user=postgres dbname=postgres",
    ):
        assert line in config.splitlines()
    assert spec.environment["PYTHONPATH"] == str(barman.part().folder)
    assert spec.run.arguments[-2:] == ("receive-wal", witness.SERVER)
    assert not spec.unprivileged


def test_the_scratch_cluster_stops_before_the_transaction_and_stays(host: LocalHost) -> None:
    """It never becomes a primary of its own, nor takes the backup's settings for its own."""
    spec = witness.cluster(host, 907)
    settings = spec.files["postgresql.conf"].splitlines()
    assert {
        "recovery_target_xid = '907'",
        "recovery_target_inclusive = off",
        "recovery_target_action = 'pause'",
        """restore_command = 'cp barman_wal/%f "%p"'""",
    } <= set(settings)
    assert spec.unprivileged


def test_data_that_was_filled_in_belongs_to_who_runs_on_it(
    host: LocalHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Postgres refuses a folder that others may enter, and as another user it could not read it."""
    owned: dict[str, int] = {}
    someone = SimpleNamespace(pw_uid=7, pw_gid=7)
    monkeypatch.setattr(local, "unprivileged_user", lambda: cast("pwd.struct_passwd", someone))
    monkeypatch.setattr(os, "chown", lambda path, uid, _: owned.update({Path(path).name: uid}))
    copy = tmp_path / "copy"
    (copy / "base").mkdir(parents=True)
    (copy / "base" / "1").write_text("rows")
    host.service(witness.cluster(host, 907)).fill(copy)
    data = Path(host.data(witness.CLUSTER))
    assert (data / "base" / "1").read_text() == "rows"
    assert data.stat().st_mode & 0o777 == 0o700
    assert {witness.CLUSTER, "base", "1"} <= {name for name, uid in owned.items() if uid == 7}
