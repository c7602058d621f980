"""The SQL of a failover: a standby made primary, first alone, later with a standby of its own.

A promoted standby has the settings of a primary that has a standby. Left as they are, its commits and its
decoding would wait for ever for one that isn't there; so it is told to stand alone first (ALTER SYSTEM,
which hides what the configuration file says), and that is taken back once a new standby streams.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.stack.identity import STANDBY
from harness.stack.services.postgres import connect, one
from harness.stack.wait import NotYet

PROMOTED_S_MAX = 60
_OF_A_PAIR = ("synchronous_standby_names", "synchronized_standby_slots")
"""Settings by which a primary waits for its standby: with commits, and with logical decoding."""

_TIMELINE = "('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int"


def stand_alone(standby_dsn: str) -> None:
    """Have a standby wait for no standby once it is primary, and copy no slots any more."""
    _alter_system(standby_dsn, {**dict.fromkeys(_OF_A_PAIR, "''"), "sync_replication_slots": None})


def follow_settings_file(standby_dsn: str) -> None:
    """Have a standby find its primary by its settings file, and by nothing that a tool wrote beside it.

    What pg_rewind writes before Postgres 18 lacks the database that slots are copied through.
    """
    _alter_system(standby_dsn, {"primary_conninfo": None, "primary_slot_name": None})


def lean_on_standby(primary_dsn: str) -> None:
    """Have commits and decoding of a primary wait for its standby again, as its settings file says."""
    _alter_system(primary_dsn, dict.fromkeys(_OF_A_PAIR))


def promote(standby_dsn: str) -> None:
    """Promote a standby; returns when it is told so, or after ``PROMOTED_S_MAX`` seconds."""
    one(standby_dsn, "SELECT pg_promote(true, %s)", PROMOTED_S_MAX)


def timeline_on_disk(dsn: str) -> int:
    """Return the timeline of the last checkpoint of a node, whatever its role."""
    found = one(dsn, "SELECT timeline_id FROM pg_control_checkpoint()")
    assert found is not None  # a function that always returns a row
    return int(str(found[0]))


def expect_promoted(dsn: str, after: int) -> int:
    """Probe: the node is primary, on a timeline later than ``after``; returns that timeline."""
    found = one(dsn, f"SELECT CASE WHEN NOT pg_is_in_recovery() THEN {_TIMELINE} END")
    assert found is not None  # a SELECT without FROM has a row
    if found[0] is None or int(str(found[0])) <= after:
        raise NotYet(f"its timeline is {found[0]}, None for a standby")
    return int(str(found[0]))


def keep_wal_for_standby(primary_dsn: str) -> None:
    """Make the physical slot from which a standby streams, anew."""
    with connect(primary_dsn) as session:
        session.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s",
            [STANDBY],
        )
        session.execute("SELECT pg_create_physical_replication_slot(%s, true)", [STANDBY])


def _alter_system(dsn: str, changes: Mapping[str, str | None]) -> None:
    """Give settings new values, or with None those of the file; older versions lack some of them."""
    with connect(dsn) as session:
        known = session.execute("SELECT name FROM pg_settings WHERE name = ANY(%s)", [list(changes)])
        for (name,) in known.fetchall():
            value = changes[name]
            change = f"RESET {name}" if value is None else f"SET {name} = {value}"
            session.execute(f"ALTER SYSTEM {change}".encode())
        session.execute("SELECT pg_reload_conf()")
