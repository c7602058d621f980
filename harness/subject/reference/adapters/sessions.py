"""Connections to Postgres that speak text only: every value as its type's output function prints it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import psycopg
from psycopg import AsyncConnection, AsyncCursor
from psycopg.adapt import AdaptersMap
from psycopg.rows import dict_row
from psycopg.types.none import NoneDumper
from psycopg.types.string import StrDumperUnknown, TextLoader

from harness.model.values import RawRow
from harness.subject.reference.adapters.statements import Query

CONNECT_S_MAX = 5
IDLE_MAX = 4
_OPTIONS = (
    "-c DateStyle=ISO -c IntervalStyle=postgres -c TimeZone=UTC -c bytea_output=hex"
    " -c extra_float_digits=1 -c client_min_messages=warning"
)
"""Under these settings a value has one text only."""


def _text_only() -> AdaptersMap:
    adapters = AdaptersMap()
    adapters.register_loader(0, TextLoader)  # what a type without a loader of its own falls back to
    adapters.register_dumper(str, StrDumperUnknown)
    adapters.register_dumper(type(None), NoneDumper)
    return adapters


Session = AsyncConnection[RawRow]


class Sessions:
    """Hands out connections to one database, and keeps a few for the next time."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._idle: list[Session] = []

    @asynccontextmanager
    async def one(self) -> AsyncIterator[Session]:
        """Hand out a connection that answers; it is kept unless something went wrong on it."""
        session = await self._live()
        try:
            yield session
        except BaseException:
            await session.close()
            raise
        if len(self._idle) < IDLE_MAX:
            self._idle.append(session)
        else:
            await session.close()

    async def close(self) -> None:
        """Close what is kept."""
        while self._idle:
            await self._idle.pop().close()

    async def _live(self) -> Session:
        while self._idle:
            session = self._idle.pop()
            try:
                await session.execute("SELECT 1")
            except psycopg.OperationalError:  # another cluster stands there by now
                await session.close()
            else:
                return session
        return await AsyncConnection.connect(
            self.dsn,
            autocommit=True,
            context=_text_only(),
            row_factory=dict_row,
            connect_timeout=CONNECT_S_MAX,
            application_name="restoreproof restorer",
            options=_OPTIONS,
        )


async def run(session: Session, query: Query) -> AsyncCursor[RawRow]:
    """Run one statement."""
    return await session.execute(query.sql.encode(), query.parameters)


async def run_together(session: Session, queries: Sequence[Query]) -> list[list[RawRow]]:
    """Run queries in one round trip; return the rows of each."""
    async with session.pipeline():
        cursors = [await run(session, query) for query in queries]
    return [await cursor.fetchall() if cursor.description else [] for cursor in cursors]
