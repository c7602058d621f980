"""Connections to Postgres that speak text only: every value as its type's output function prints it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from psycopg import AsyncConnection, AsyncCursor
from psycopg.adapt import AdaptersMap
from psycopg.rows import dict_row
from psycopg.types.none import NoneDumper
from psycopg.types.string import StrDumperUnknown, TextLoader

from harness.model.values import RawRow
from harness.subject.reference.adapters.statements import Query

CONNECT_S_MAX = 5
_OPTIONS = (
    "-c DateStyle=ISO -c IntervalStyle=postgres -c TimeZone=UTC -c bytea_output=hex"
    " -c extra_float_digits=1 -c client_min_messages=warning"
)
"""Under these settings a value has one text only."""


def _text_only() -> AdaptersMap:
    # The harness reads with a map of its own: what judges shares no code with what is judged.
    adapters = AdaptersMap()
    adapters.register_loader(0, TextLoader)  # what a type without a loader of its own falls back to
    adapters.register_dumper(str, StrDumperUnknown)
    adapters.register_dumper(type(None), NoneDumper)
    return adapters


Session = AsyncConnection[RawRow]


@asynccontextmanager
async def open_session(dsn: str) -> AsyncIterator[Session]:
    """Connect, hand the connection out, and close it."""
    session = await AsyncConnection.connect(
        dsn,
        autocommit=True,
        context=_text_only(),
        row_factory=dict_row,
        connect_timeout=CONNECT_S_MAX,
        application_name="restoreproof restorer",
        options=_OPTIONS,
    )
    async with session:
        yield session


async def run(session: Session, query: Query) -> AsyncCursor[RawRow]:
    """Run one statement."""
    return await session.execute(query.sql.encode(), query.parameters)


async def run_together(session: Session, queries: Sequence[Query]) -> list[list[RawRow]]:
    """Run queries in one round trip; return the rows of each."""
    async with session.pipeline():
        cursors = [await run(session, query) for query in queries]
    return [await cursor.fetchall() if cursor.description else [] for cursor in cursors]
