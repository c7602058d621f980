"""Asks the captured database who it is, on a connection of its own: no slow heartbeat stands in the way."""

from __future__ import annotations

import asyncio
import logging

import psycopg

from harness.subject.reference.adapters.kept import KeptConnection
from harness.subject.reference.capture import IDENTITY_SQL
from harness.subject.reference.ports import Whereabouts

CONNECT_S_MAX = 2
ANSWER_S_MAX = 1.5
"""Soon enough that a link which comes back is not held against it for long."""

_log = logging.getLogger(__name__)


class PostgresWhereabouts:
    """Reaches the database by ``dsn``."""

    def __init__(self, dsn: str) -> None:
        self._kept = KeptConnection(
            dsn, name="restoreproof archiver, who is there", connect_s_max=CONNECT_S_MAX
        )

    async def ask(self) -> Whereabouts | None:
        """Return who answers; None when nobody does, or a standby."""
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                session = await self._kept.connected()
                row = await (await session.execute(IDENTITY_SQL.encode())).fetchone()
        except (psycopg.Error, TimeoutError) as error:
            _log.info("nobody says who the database is: %s", error)
            await self.close()
            return None
        return None if row is None else Whereabouts(system_id=row[0], timeline=row[1])

    async def close(self) -> None:
        """Close the connection, if there is one."""
        await self._kept.close()
