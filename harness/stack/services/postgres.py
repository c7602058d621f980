"""Postgres: a pair of nodes, a primary and its synchronous standby, set for durability first.

A commit is acknowledged once the standby has flushed it, and logical decoding is never ahead of the
standby (``synchronized_standby_slots``), so that an archive can't hold a transaction which a failover
undoes (FM-18, FM-20). Either node can have either role, and both have the same settings. They are
configured from text; ``trust`` is enough, see ``local.py``.
"""

from __future__ import annotations

import psycopg

from harness.model.errors import HarnessFailed
from harness.stack.identity import (
    APP,
    ARCHIVER,
    AT_FIRST,
    DATABASE,
    DEBEZIUM,
    RESTORER,
    STANDBY,
    SUPERUSER,
    Node,
)
from harness.stack.service import Address, Command, Fact, ServiceSpec, Site
from harness.stack.wait import NotYet

CONNECT_S_MAX = 3
NUDGE_PREFIX = "restoreproof.nudge"
"""Prefix of logical messages that only move the connector's slot on; the connector drops them."""
NOT_THERE = (psycopg.OperationalError,)
"""Errors of a server that is down, starting or shutting down: not yet, as far as a probe is concerned."""

_SETTINGS = """\
listen_addresses = '{host}'
port = {port}
hba_file = '{hba}'
unix_socket_directories = ''
max_connections = 400
shared_buffers = 64MB
fsync = on
full_page_writes = on
synchronous_commit = on
synchronous_standby_names = 'FIRST 1 ({standby})'
wal_level = logical
max_wal_senders = 20
max_replication_slots = 20
max_wal_size = 1GB
wal_keep_size = 128MB
wal_receiver_status_interval = 1s
wal_retrieve_retry_interval = 100ms
hot_standby = on
hot_standby_feedback = on
autovacuum = on
track_commit_timestamp = off
jit = off
datestyle = 'ISO, MDY'
intervalstyle = 'postgres'
timezone = 'UTC'
log_timezone = 'UTC'
bytea_output = 'hex'
lc_messages = 'C'
log_line_prefix = '%m [%p] %q%u '
log_checkpoints = off
log_min_messages = warning
primary_slot_name = '{standby}'
primary_conninfo = '{conninfo} application_name={standby}'
"""
"""What is said of the primary means nothing to the primary itself: the standby reads it."""

_ENVIRONMENT = {"PG_GRANDPARENT_PID": "1"}
"""In a container process 1 is never another Postgres, though a lock file of a crashed one may say so."""

_FAILOVER_SLOT_SETTINGS = """\
synchronized_standby_slots = '{standby}'
sync_replication_slots = off
"""
_FAILOVER_SLOTS_SINCE = 17

_WHO_MAY_CONNECT = """\
host all all all trust
host replication all all trust
"""
"""Anybody who gets here: that is loopback alone, or a network of the stack's own."""

_ROLES = f"""
CREATE ROLE {APP} LOGIN;
GRANT SET ON PARAMETER deadlock_timeout, session_replication_role TO {APP};
CREATE ROLE {DEBEZIUM} LOGIN REPLICATION BYPASSRLS;
GRANT pg_read_all_data TO {DEBEZIUM};
CREATE ROLE {ARCHIVER} LOGIN;
GRANT pg_monitor, pg_read_all_data TO {ARCHIVER};
ALTER ROLE {ARCHIVER} SET synchronous_commit = 'local';
CREATE ROLE {RESTORER} LOGIN SUPERUSER;
"""


def dsn(address: Address, user: str, database: str = DATABASE) -> str:
    """Return a libpq connection URL."""
    return f"postgresql://{user}@{address}/{database}"


def has_failover_slots(site: Site) -> bool:
    """Whether this Postgres can keep the connector's slot through a failover; those before 17 can't."""
    return site.postgres_major >= _FAILOVER_SLOTS_SINCE


def primary(site: Site, node: Node = AT_FIRST["primary"]) -> ServiceSpec:
    """Describe a node as the primary: ready when it answers and is not in recovery."""
    ready = Fact(
        words="the primary answers",
        probe=lambda: _expect_recovery(direct_dsn(site, node), False),
        transient=NOT_THERE,
    )
    return _node(site, node, ready, Command(program="initdb", arguments=_initdb(site, node)))


def standby(site: Site, node: Node = AT_FIRST["standby"], of: Node = AT_FIRST["primary"]) -> ServiceSpec:
    """Describe a node as the standby ``of`` another, by a base backup.

    Ready when the primary calls it streaming, and in sync if commits there are to wait for a standby.
    """
    ready = Fact(
        words="the standby is streaming and in sync",
        probe=lambda: _expect_in_sync(direct_dsn(site, node), direct_dsn(site, of)),
        transient=NOT_THERE,
    )
    return _node(site, node, ready, Command(program="pg_basebackup", arguments=_basebackup(site, node)))


def direct_dsn(site: Site, node: Node) -> str:
    """Return the superuser's way to a node itself, whatever its role, into the maintenance database."""
    return dsn(site.outside(node), SUPERUSER, "postgres")


def bootstrap(admin: str) -> None:
    """Make roles, the standby's slot and the application's database in a new, empty cluster.

    ``admin``: DSN of the superuser in the maintenance database. Commits locally, as there can be no
    standby yet.
    """
    with connect(admin) as session:
        session.execute("SET synchronous_commit = 'local'")
        for statement in filter(str.strip, _ROLES.split(";")):
            session.execute(statement.encode())
        session.execute("SELECT pg_create_physical_replication_slot(%s, true)", [STANDBY])
        session.execute(f"CREATE DATABASE {DATABASE} OWNER {APP}".encode())


def connect(link: str) -> psycopg.Connection:
    """Connect in autocommit mode, trying for at most ``CONNECT_S_MAX`` seconds."""
    return psycopg.connect(link, autocommit=True, connect_timeout=CONNECT_S_MAX)


def run_sql(admin: str, sql: str) -> None:
    """Run a script of several statements as one transaction."""
    with connect(admin) as session:
        session.execute(sql.encode())


def one(link: str, query: str, *arguments: object) -> tuple[object, ...] | None:
    """Return the first row of a query on a connection of its own, or None."""
    with connect(link) as session:
        row: tuple[object, ...] | None = session.execute(query.encode(), arguments).fetchone()
        return row


def set_slot_sync(standby_dsn: str, on: bool) -> None:
    """Switch the standby's slot-sync worker.

    An idle worker naps up to 30 s; switched on once the slot exists, it copies it at once.
    """
    with connect(standby_dsn) as session:
        session.execute(f"ALTER SYSTEM SET sync_replication_slots = {'on' if on else 'off'}".encode())
        session.execute("SELECT pg_reload_conf()")


def confirmed_lsn(admin: str, slot: str) -> str:
    """Return up to where the slot's consumer has confirmed; raises HarnessFailed without the slot."""
    query = "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = %s"
    found = one(admin, query, slot)
    if found is None:
        raise HarnessFailed(f"the primary has no slot {slot!r}")
    return str(found[0])


def expect_slot_synced(admin: str, standby_dsn: str, slot: str, lsn: str) -> None:
    """Probe: the failover slot would survive a promotion (FM-21, FM-22); nudges it forward.

    ``lsn``: what the primary's slot had confirmed, so that the copy of an earlier slot of the same name
    does not count.
    """
    found = one(
        standby_dsn,
        "SELECT synced, temporary, invalidation_reason, confirmed_flush_lsn >= %s::pg_lsn"
        " FROM pg_replication_slots WHERE slot_name = %s",
        lsn,
        slot,
    )
    if found != (True, False, None, True):
        one(
            admin,
            "SELECT pg_log_standby_snapshot(), pg_logical_emit_message(false, %s, '')",
            NUDGE_PREFIX,
        )
        raise NotYet(f"(synced, temporary, invalidation_reason, at {lsn}) is {found}")


def expect_slot_active(admin: str, slot: str, active: bool) -> None:
    """Probe: the logical slot exists and somebody streams from it, or nobody does."""
    found = one(admin, "SELECT active FROM pg_replication_slots WHERE slot_name = %s", slot)
    if found != (active,):
        raise NotYet(f"(active) of slot {slot} is {found}")


def drop_slot(admin: str, slot: str) -> None:
    """Drop a logical slot if it is there."""
    one(
        admin,
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s",
        slot,
    )


def has_publication(admin: str, publication: str) -> bool:
    """Whether the application's database has a publication of that name."""
    return one(admin, "SELECT 1 FROM pg_publication WHERE pubname = %s", publication) is not None


def _node(site: Site, node: Node, ready: Fact, prepare: Command) -> ServiceSpec:
    config = site.file(node, "postgresql.conf")
    arguments = ("-D", site.data(node), "-c", f"config_file={config}")
    return ServiceSpec(
        name=node,
        run=Command(program="postgres", arguments=arguments),
        ready=ready,
        ports=(node,),
        environment=_ENVIRONMENT,
        files={"postgresql.conf": _settings(site, node), "pg_hba.conf": _WHO_MAY_CONNECT},
        prepare=(prepare,),
        unprivileged=True,
    )


def _settings(site: Site, node: Node) -> str:
    address = site.listen(node)
    text = _SETTINGS + (_FAILOVER_SLOT_SETTINGS if has_failover_slots(site) else "")
    return text.format(
        host=address.host,
        port=address.port,
        hba=site.file(node, "pg_hba.conf"),
        standby=STANDBY,
        conninfo=_conninfo(site),
    )


def _initdb(site: Site, node: Node) -> tuple[str, ...]:
    return (
        *("-D", site.data(node), "-U", SUPERUSER, "-A", "trust", "-E", "UTF8"),
        *("--locale=C", "--data-checksums", "--no-sync", "--no-instructions"),
    )


def _basebackup(site: Site, node: Node) -> tuple[str, ...]:
    return (
        *("-D", site.data(node), "-d", f"{_conninfo(site)} application_name={STANDBY}"),
        *("-X", "stream", "-c", "fast", "-S", STANDBY, "-R", "--no-sync", "--no-password"),
    )


def rewind(site: Site, node: Node) -> Command:
    """Return what makes the data of a node that was primary those of a standby of the one that is now.

    It needs data checksums, and the WAL since the last checkpoint that both share (``wal_keep_size``).
    """
    config = site.file(node, "postgresql.conf")
    return Command(
        program="pg_rewind",
        arguments=(
            *("-D", site.data(node), "-R", "--no-sync", f"--config-file={config}"),
            f"--source-server={_conninfo(site)} application_name={STANDBY}",
        ),
    )


def _conninfo(site: Site) -> str:
    """Return the standby's way to the primary: by their link, whichever node is which."""
    address = site.inside("standby-primary")
    return f"host={address.host} port={address.port} user={SUPERUSER} dbname={DATABASE}"


def _expect_recovery(link: str, expected: bool) -> None:
    found = one(link, "SELECT pg_is_in_recovery()")
    if found != (expected,):
        raise NotYet(f"pg_is_in_recovery() is {found}")


def _expect_in_sync(standby_dsn: str, primary_dsn: str) -> None:
    _expect_recovery(standby_dsn, True)
    found = one(
        primary_dsn,
        "SELECT state, sync_state = 'sync' OR current_setting('synchronous_standby_names') = ''"
        " FROM pg_stat_replication WHERE application_name = %s",
        STANDBY,
    )
    if found != ("streaming", True):
        raise NotYet(f"(state, in sync) is {found}")
