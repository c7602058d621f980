"""The second witness's services: Barman's receiver of WAL, and the scratch cluster that a backup becomes.

Barman works over streaming replication alone (``pg_basebackup`` and ``pg_receivewal``, the stack's own
ones): no ssh, no ``archive_command``. It runs as the harness's own user; the scratch cluster as the one of
every Postgres here. That cluster stops just before the commit of one transaction and stays there, to be
read.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Final

from harness.model.errors import HarnessFailed
from harness.stack.identity import SUPERUSER
from harness.stack.programs import barman
from harness.stack.service import Address, Command, Fact, ServiceSpec, Site
from harness.stack.services import postgres
from harness.stack.wait import NotYet

RECEIVER: Final = "witness"
CLUSTER: Final = "witness-cluster"
PORT: Final = "witness"
SLOT: Final = "witness"
SERVER: Final = "witness"
WAL_FOLDER: Final = "barman_wal"
"""In the scratch cluster's data: the WAL that it replays."""

STREAMING_S_MAX: Final = 20.0
RECOVERED_S_MAX: Final = 80.0

_BARMAN = """\
[barman]
barman_user = {user}
barman_home = {home}
log_file = {log}
log_level = WARNING

[{server}]
description = second witness
conninfo = {conninfo} dbname=postgres
streaming_conninfo = {conninfo} dbname=postgres
backup_method = postgres
streaming_archiver = on
slot_name = {slot}
create_slot = manual
immediate_checkpoint = true
path_prefix = {bin}
"""

_CLUSTER = """\
listen_addresses = '{host}'
port = {port}
hba_file = '{hba}'
unix_socket_directories = ''
max_connections = 400
max_wal_senders = 20
max_replication_slots = 20
wal_level = logical
shared_buffers = 64MB
fsync = off
jit = off
lc_messages = 'C'
log_timezone = 'UTC'
hot_standby = on
restore_command = 'cp {wal}/%f "%p"'
recovery_target_xid = '{xid}'
recovery_target_inclusive = off
recovery_target_timeline = 'latest'
recovery_target_action = 'pause'
"""
"""As many connections and senders as the primary has: replay would stand still for want of them."""


def receiver(site: Site, primary: Address, postgres_bin: Path, log: Path) -> ServiceSpec:
    """Describe Barman's receiver of the WAL of whoever answers at ``primary``; ready when it streams."""
    admin = postgres.dsn(primary, SUPERUSER, "postgres")
    config = _BARMAN.format(
        user=pwd.getpwuid(os.geteuid()).pw_name,
        home=site.data(RECEIVER),
        log=log,
        server=SERVER,
        slot=SLOT,
        conninfo=f"host={primary.host} port={primary.port} user={SUPERUSER}",
        bin=postgres_bin,
    )
    return ServiceSpec(
        name=RECEIVER,
        run=barman_command(site, "receive-wal"),
        ready=Fact(
            words="the second witness receives WAL",
            probe=lambda: postgres.expect_slot_active(admin, SLOT, True),
            transient=postgres.NOT_THERE,
            limit_s=STREAMING_S_MAX,
        ),
        environment={"PYTHONPATH": str(barman.part().folder), "PYTHONDONTWRITEBYTECODE": "1"},
        files={"barman.conf": config},
    )


def barman_command(site: Site, *what: str) -> Command:
    """Return Barman doing ``what`` with the one server that it knows."""
    config = site.file(RECEIVER, "barman.conf")
    return Command(program="python", arguments=(*barman.MAIN, "-c", config, *what, SERVER))


def cluster(site: Site, xid: int) -> ServiceSpec:
    """Describe the scratch cluster; ready when it stands still just before ``xid``'s commit."""
    address = site.listen(PORT)
    settings = _CLUSTER.format(
        host=address.host, port=address.port, hba=site.file(CLUSTER, "pg_hba.conf"), wal=WAL_FOLDER, xid=xid
    )
    config = site.file(CLUSTER, "postgresql.conf")
    return ServiceSpec(
        name=CLUSTER,
        run=Command(
            program="postgres", arguments=("-D", site.data(CLUSTER), "-c", f"config_file={config}")
        ),
        ready=Fact(
            words=f"the second witness stands just before transaction {xid}",
            probe=lambda: _expect_paused(admin_dsn(site)),
            transient=postgres.NOT_THERE,
            limit_s=RECOVERED_S_MAX,
        ),
        ports=(PORT,),
        files={"postgresql.conf": settings, "pg_hba.conf": "host all all all trust\n"},
        unprivileged=True,
    )


def admin_dsn(site: Site, database: str = "postgres") -> str:
    """Return the superuser's way into the scratch cluster."""
    return postgres.dsn(site.outside(PORT), SUPERUSER, database)


def make_slot(admin: str) -> None:
    """Make the slot that keeps WAL for the receiver, where there is none yet."""
    postgres.one(
        admin,
        "SELECT pg_create_physical_replication_slot(%s, true)"
        " WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = %s)",
        SLOT,
        SLOT,
    )


def switch_wal(admin: str) -> str:
    """Have the segment of now be closed, and another one begun; returns its name."""
    with postgres.connect(admin) as session:
        session.execute("CHECKPOINT")
        row = session.execute("SELECT pg_walfile_name(pg_current_wal_insert_lsn())").fetchone()
        session.execute("SELECT pg_switch_wal()")
        session.execute("CHECKPOINT")
    if row is None:
        raise HarnessFailed("the primary does not say which WAL it writes")
    return str(row[0])


def replayed_lsn(admin: str) -> str:
    """Return up to where the scratch cluster has replayed WAL."""
    found = postgres.one(admin, "SELECT pg_last_wal_replay_lsn()::text")
    return str(found[0]) if found else ""


def _expect_paused(admin: str) -> None:
    found = postgres.one(admin, "SELECT pg_get_wal_replay_pause_state()")
    if found != ("paused",):
        raise NotYet(f"replay is {found}")
