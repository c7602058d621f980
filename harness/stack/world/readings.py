"""Connections on which the harness works for itself, apart from writers and operators.

Each reading is one REPEATABLE READ transaction. Opening a connection costs as much as most of what is read,
and a fresh one has to learn the catalogue first; so while many readings follow each other, connections are
kept from one to the next. One that was lost meanwhile (a database dropped, a cluster gone) is opened anew.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

from harness.drive.ports import ConnectionLost, NotRead, Refused
from harness.stack.world.connection import Connection

_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class Readings:
    """Hands out transactions to read in. ``dsns``: by place, how a superuser reaches it."""

    def __init__(self, dsns: Mapping[str, str]) -> None:
        self._dsns = dsns
        self._idle: dict[str, list[Connection]] = {place: [] for place in dsns}
        self._keepers = 0

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Keep connections from one reading to the next while the context lasts."""
        self._keepers += 1
        try:
            yield
        finally:
            self._keepers -= 1
            if not self._keepers:
                for idle in self._idle.values():
                    while idle:
                        await idle.pop().close()

    @asynccontextmanager
    async def snapshot(self, place: str) -> AsyncIterator[Connection]:
        """Hand out a connection in a fresh transaction that only reads; raises NotRead."""
        idle, kept = self._idle[place], False
        connection = idle.pop() if idle else _connection(self._dsns[place], f"read {place}")
        with _told(f"read {place}"):
            try:
                await _begin(connection)
                yield connection
                await connection.reset()
                if self._keepers:
                    idle.append(connection)
                    kept = True
            finally:
                if not kept:
                    await connection.close()


@asynccontextmanager
async def connected(dsn: str, to_do: str) -> AsyncIterator[Connection]:
    """Open a connection for one piece of work of the harness's own; raises NotRead."""
    connection = _connection(dsn, to_do)
    with _told(to_do):
        try:
            await connection.open()
            yield connection
        finally:
            await connection.close()


async def _begin(connection: Connection) -> None:
    """Begin on a kept connection, or on a new one in its place."""
    if connection.backend_pid:
        try:
            await connection.run(_BEGIN)
        except (Refused, ConnectionLost):
            await connection.close()
        else:
            return
    await connection.open()
    await connection.run(_BEGIN)


def _connection(dsn: str, to_do: str) -> Connection:
    return Connection(dsn, f"restoreproof {to_do}", prepares=False)


@contextmanager
def _told(to_do: str) -> Iterator[None]:
    """Tell of what the database refuses, or that it is lost, as a failure of the harness."""
    try:
        yield
    except Refused as refused:
        raise NotRead(f"the database refused to {to_do}: {refused}") from refused
    except ConnectionLost as lost:
        raise NotRead(f"the database was lost, or not there, to {to_do}: {lost}") from lost
