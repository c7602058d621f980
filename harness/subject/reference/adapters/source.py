"""The captured database beside the feed: heartbeat, catalogue digest, and the schema as DDL."""

from __future__ import annotations

import asyncio
import logging
import re

import msgspec
import psycopg

from harness.model.errors import ArchiverStopped
from harness.subject.reference.adapters.kept import KeptConnection
from harness.subject.reference.adapters.whereabouts import PostgresWhereabouts
from harness.subject.reference.capture import HEARTBEAT, IDENTITY_SQL, PUBLICATION
from harness.subject.reference.health import Beaten
from harness.subject.reference.ports import SchemaDump, Whereabouts

CONNECT_S_MAX = 3
ANSWER_S_MAX = 30.0
GLANCE_S_MAX = 3.0
_LEFT_OUT = re.compile(r"^(\\(un)?restrict \w+|SET transaction_timeout = 0;)$\n", re.MULTILINE)
"""Of a dump: commands to psql with random words in them, and a setting that Postgres 15 and 16 don't know.

The rest is the same for the same schema, and is understood by the version that it came from.
"""

_PRINTED = """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
_LAG = """\
(SELECT max(pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)) FROM pg_replication_slots
    WHERE slot_type = 'logical' AND database = current_database())"""
"""WAL that no capture has confirmed yet, of the slot that is furthest behind."""

_BEAT = f"""\
UPDATE {HEARTBEAT} SET beat = beat + 1, at = clock_timestamp(), system_id = now.system_id,
    timeline = now.timeline, forked_at = restoreproof.forked_at(),
    catalogue = restoreproof.catalogue_digest()
    FROM ({IDENTITY_SQL}) AS now WHERE id = 1 RETURNING beat,
    {_PRINTED.format("at")}"""

_SLOT_LAG = f"SELECT {_LAG}"
_DIGEST = "SELECT restoreproof.catalogue_digest()"

_GLANCE = f"SELECT {_PRINTED.format('clock_timestamp()')}, {_PRINTED.format('at')}, {_LAG} FROM {HEARTBEAT}"

_AWAY = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,
)
"""The database is not there, or is a standby for now."""

_log = logging.getLogger(__name__)


class PostgresSource:
    """Reaches the database by ``dsn``; its role commits locally, so a stuck standby can't stop it."""

    def __init__(self, *, dsn: str, pg_dump: str) -> None:
        self._dsn = dsn
        self._pg_dump = pg_dump
        self._kept = KeptConnection(dsn, name="restoreproof archiver", connect_s_max=CONNECT_S_MAX)
        self._whereabouts = PostgresWhereabouts(dsn)

    async def where(self) -> Whereabouts | None:
        """Return who answers, None when nobody does."""
        return await self._whereabouts.ask()

    async def dump_schema(self) -> SchemaDump | None:
        """Return the DDL of the database: declared schemas, ours, and the publication.

        The digest is empty when the catalogue changed while it was dumped: then another dump is due.
        """
        before = await self._digest()
        ddl = None if before is None else await self._dump()
        after = None if ddl is None else await self._digest()
        if ddl is None or after is None:
            return None
        return SchemaDump(ddl=ddl, catalogue=after if after == before else "")

    async def _digest(self) -> str | None:
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                session = await psycopg.AsyncConnection.connect(
                    self._dsn, autocommit=True, connect_timeout=CONNECT_S_MAX
                )
                async with session:
                    row = await (await session.execute(_DIGEST.encode())).fetchone()
        except (*_AWAY, TimeoutError):
            return None
        except psycopg.Error as error:
            raise ArchiverStopped(
                f"the catalogue's digest can't be read: {error}", cure="prepare the capture: capture_sql"
            ) from error
        return str(row[0]) if row else None

    async def _dump(self) -> str | None:
        dump = await asyncio.create_subprocess_exec(
            self._pg_dump,
            *("--schema-only", "--no-security-labels", f"--dbname={self._dsn}"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                ddl, complaint = await dump.communicate()
        except TimeoutError:
            dump.kill()
            return None
        if dump.returncode == 0:
            return _LEFT_OUT.sub("", ddl.decode())
        if b"connection" in complaint:
            return None
        raise ArchiverStopped(f"pg_dump failed: {complaint.decode().strip()}")

    async def beat(self) -> Beaten | None:
        """Write the heartbeat with the catalogue's digest, and look at slots; None when nobody answers."""
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                return await self._beat(await self._kept.connected())
        except (*_AWAY, TimeoutError) as error:
            _log.info("no heartbeat: %s", error)
            await self.close()
            return None
        except psycopg.Error as error:
            raise ArchiverStopped(
                f"the heartbeat can't be written: {error}",
                cure="prepare the capture: capture_sql makes its table and grants",
            ) from error

    async def close(self) -> None:
        """Close the connections there are."""
        await self._whereabouts.close()
        await self._kept.close()

    async def _beat(self, session: psycopg.AsyncConnection) -> Beaten:
        beat = await (await session.execute(_BEAT.encode())).fetchone()
        if beat is None:
            raise ArchiverStopped(
                f"{HEARTBEAT} has no row",
                cure=f"prepare the capture: capture_sql makes it, and publication {PUBLICATION}",
            )
        (lag,) = await (await session.execute(_SLOT_LAG.encode())).fetchone() or (None,)
        return Beaten(beat=beat[0], at=beat[1], slot_lag_bytes=None if lag is None else int(lag))


class Glance(msgspec.Struct, frozen=True, kw_only=True):
    """One look at the captured database: its clock, when a heartbeat was last written, and the slots."""

    now: str
    beat_at: str
    slot_lag_bytes: int | None


async def look_at(dsn: str) -> Glance | None:
    """Look once, and soon; None when the database is away or was never prepared."""
    try:
        async with asyncio.timeout(GLANCE_S_MAX), await psycopg.AsyncConnection.connect(dsn) as session:
            row = await (await session.execute(_GLANCE.encode())).fetchone()
    except (psycopg.Error, TimeoutError) as error:
        _log.info("no look at the database: %s", error)
        return None
    if row is None:
        return None
    return Glance(now=row[0], beat_at=row[1], slot_lag_bytes=None if row[2] is None else int(row[2]))
