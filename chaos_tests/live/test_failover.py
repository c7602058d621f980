"""The primary crashes under load and its standby takes over: nothing acknowledged is lost anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from fixtures.failover import TENANTS, Crash, Crashes
from fixtures.stack import read_topic
from harness.model.errors import BadInput, HarnessFailed
from harness.stack.options import StackOptions
from harness.stack.services import postgres
from harness.stack.stack import Stack
from harness.stack.wait import NotYet, wait_for
from harness.subject.reference.capture import HEARTBEAT

pytestmark = pytest.mark.live


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """A stack whose primary crashed once, and what that did."""

    stack: Stack
    crash: Crash
    snapshots: int


@pytest.fixture(scope="module")
def crashed(restoreproof_options: StackOptions, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A stack after one crash in the middle of everybody's COMMIT, the old primary back as standby."""
    logs: Path = tmp_path_factory.mktemp("logs")
    with (
        Stack.start(msgspec.structs.replace(restoreproof_options, logs=logs)) as stack,
        asyncio.Runner() as loop,
    ):
        crashes = Crashes(stack)
        loop.run(crashes.prepare())
        before = _snapshots(stack)
        yield Pair(stack=stack, crash=loop.run(crashes.crash(held=True)), snapshots=before)


def test_nothing_acknowledged_is_lost_by_a_crash_and_nothing_archived_is_a_ghost(crashed: Pair) -> None:
    """Live rows and archive hold every acked write, and the archive nothing else (FM-18, FM-20)."""
    assert crashed.crash.problems == {}
    assert crashed.crash.unknown >= len(TENANTS), "the crash was in the middle of everybody's COMMIT"


def test_the_new_primary_is_on_a_new_timeline_behind_the_same_addresses(crashed: Pair) -> None:
    """Applications and the harness reach it where the old one was; the standby is the old one now."""
    names = crashed.stack.endpoints
    assert crashed.crash.timeline == 2
    for dsn in (names.app_dsn, names.admin_dsn, names.archiver_dsn, names.restorer_dsn):
        assert postgres.one(dsn, "SELECT pg_is_in_recovery()") == (False,)
    assert postgres.one(names.standby_dsn, "SELECT pg_is_in_recovery()") == (True,)
    assert crashed.stack.service("primary").spec.name == "postgres-2"


def test_the_heartbeat_tells_where_the_new_timeline_forked_off(crashed: Pair) -> None:
    """It is what Postgres itself wrote down at the promotion, the last line of a history file (FM-25)."""
    admin = crashed.stack.endpoints.admin_dsn
    (told,) = postgres.one(admin, f"SELECT forked_at FROM {HEARTBEAT}") or ("",)
    (history,) = postgres.one(admin, "SELECT pg_read_file('pg_wal/00000002.history')") or ("",)
    assert str(told) in str(history).splitlines()[-1].split("\t")
    assert str(told)


def test_commits_wait_for_the_old_primary_once_it_is_the_standby(crashed: Pair) -> None:
    """It came back in sync, and decoding waits for it as well."""
    admin = crashed.stack.endpoints.admin_dsn
    assert postgres.one(
        admin, "SELECT state, sync_state FROM pg_stat_replication WHERE sync_state = 'sync'"
    )
    assert postgres.one(admin, "SHOW synchronous_standby_names") == ("FIRST 1 (standby)",)
    assert postgres.one(admin, "SHOW synchronized_standby_slots") == ("standby",)


def test_the_connector_went_on_from_its_slot_without_a_snapshot(crashed: Pair) -> None:
    """The slot that was synced is the one in use; no row came as a snapshot's again (FM-21, FM-53)."""
    names = crashed.stack.endpoints
    query = "SELECT slot_name::text, active, failover FROM pg_replication_slots WHERE slot_type = 'logical'"
    assert postgres.one(names.admin_dsn, query) == (names.slot, True, True)
    assert _snapshots(crashed.stack) == crashed.snapshots


def test_the_slot_would_survive_the_next_failover(crashed: Pair) -> None:
    """It lies on the new standby, synced, with no orphan of the same name in its way (FM-23)."""
    query = "SELECT slot_name::text, synced, temporary FROM pg_replication_slots"
    names = crashed.stack.endpoints
    assert postgres.one(names.standby_dsn, query) == (names.slot, True, False)
    crashed.stack.capture.require_failover_slot()


def test_a_standby_whose_slot_would_be_lost_is_not_promoted(crashed: Pair) -> None:
    """The error comes before anything is killed (FM-22)."""
    standby = crashed.stack.service("standby")
    standby.kill()
    standby.destroy()
    standby.start()
    with pytest.raises(HarnessFailed, match="the standby's copy is missing"):
        crashed.stack.promote_standby()
    assert crashed.stack.is_running("primary")
    crashed.stack.capture.wait_failover_slot()


def test_without_a_running_standby_nothing_is_promoted(crashed: Pair) -> None:
    """A standby that was killed can't take over, and the primary is left alone."""
    crashed.stack.kill("standby")
    with pytest.raises(BadInput, match="no running standby"):
        crashed.stack.promote_standby()
    assert crashed.stack.is_running("primary")
    crashed.stack.restart("standby")


def test_roles_change_back_with_the_old_primary_left_alive_and_rewound(crashed: Pair) -> None:
    """Nobody reaches the old one, its own WAL is undone, and rows go on arriving (FM-24, FM-26)."""
    stack, names = crashed.stack, crashed.stack.endpoints
    promoted = stack.promote_standby("alive")
    lives_on = stack.is_running("standby")
    stack.rejoin("rewind")
    postgres.run_sql(names.app_dsn, f"INSERT INTO helpdesk.ledger VALUES ({TENANTS[0]}, 'after')")
    assert lives_on
    assert promoted.timeline == 3
    assert stack.service("primary").spec.name == "postgres-1"
    assert wait_for("the row is in the topic", lambda: _archived_op(stack, "after"), limit_s=60.0)
    assert _snapshots(stack) == crashed.snapshots


def test_nodes_with_exchanged_roles_are_killed_restarted_and_replaced_as_before(crashed: Pair) -> None:
    """A fault on the primary hits whoever is it; a fresh cluster can follow a failover without rejoin."""
    stack, names = crashed.stack, crashed.stack.endpoints
    stack.promote_standby("fenced")
    node = stack.service("primary").spec.name
    stack.kill("primary")
    assert not stack.is_running("primary")
    stack.restart("primary")
    assert postgres.one(names.app_dsn, "SELECT count(*) > 0 FROM helpdesk.ledger") == (True,)
    stack.strike_all_but_archive()
    stack.destroy_all_but_archive()
    stack.fresh_cluster()
    assert stack.service("primary").spec.name == node
    assert postgres.one(names.app_dsn, "SELECT to_regclass('helpdesk.ledger')") == (None,)
    query = "SELECT state, sync_state FROM pg_stat_replication WHERE application_name = 'standby'"
    assert postgres.one(names.admin_dsn, query) == ("streaming", "sync")


def _archived_op(stack: Stack, op: str) -> bool:
    rows = [row for record in read_topic(stack) if isinstance(row := record.get("after"), dict)]
    if not any(row.get("op") == op for row in rows):
        raise NotYet(f"{len(rows)} rows without it")
    return True


def _snapshots(stack: Stack) -> int:
    return sum(record.get("op") == "r" for record in read_topic(stack))
