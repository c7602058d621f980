"""One connection to Postgres, with the errors that drives know and the outcomes that COMMIT can have.

What is seen of the connection, and when, decides: the table in ``outcomes`` says how. COMMIT is the hard
one: a cancelled wait for the standby looks like success (FM-15), but for a warning.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import psycopg
from psycopg import AsyncConnection, AsyncCursor
from psycopg.rows import dict_row

from harness.drive.ports import Ack, Conflicted, ConnectionLost, Refused
from harness.model.position import parse_lsn
from harness.model.values import RawRow
from harness.stack.world.outcomes import Phase, Sign, became
from harness.stack.world.text import OPTIONS, text_only

ANSWER_S_MAX = 120.0
"""How long one statement may take; a script may delete hundreds of tenants with one."""

CONNECT_S_MAX = 5
_TEXT_ONLY = text_only()

Parameters = Sequence[str | None] | None


_COMMIT = b"COMMIT; SELECT pg_current_wal_lsn() AS lsn"


class InDoubt(Exception):
    """Nobody can tell what became of a COMMIT that was sent; ``Connection.commit`` answers so."""


class Connection:
    """A connection that can be lost and opened again; ``name`` is shown in pg_stat_activity.

    ``settings``: server settings for this connection, beside those that make values text. ``prepares``:
    whether what is sent often gets a plan that is kept; one does not survive a type that is made anew.
    """

    def __init__(
        self, dsn: str, name: str, *, settings: Mapping[str, str] | None = None, prepares: bool = True
    ) -> None:
        self._dsn = dsn
        self._name = name
        more = [f" -c {setting}={value}" for setting, value in (settings or {}).items()]
        self._options = OPTIONS + "".join(more)
        self._prepares = prepares
        self._open: AsyncConnection[RawRow] | None = None
        self._doubts: list[str] = []

    @property
    def backend_pid(self) -> int:
        """The server's process for this connection, 0 while there is none."""
        return 0 if self._open is None or self._open.closed else self._open.info.backend_pid

    async def open(self) -> None:
        """Connect; raises ConnectionLost."""
        await self.close()
        try:
            self._open = await AsyncConnection.connect(
                self._dsn,
                autocommit=True,
                context=_TEXT_ONLY,
                row_factory=dict_row,
                connect_timeout=CONNECT_S_MAX,
                application_name=self._name,
                options=self._options,
            )
        except psycopg.Error as error:
            sign: Sign = "error" if error.sqlstate else "connection ended"
            raise _ended("idle", sign, error.sqlstate, str(error)) from error
        self._open.add_notice_handler(self._hear)
        if not self._prepares:
            self._open.prepare_threshold = None

    async def run(self, query: str, parameters: Parameters = None) -> AsyncCursor[RawRow]:
        """Run one statement; raises Refused or ConnectionLost."""
        async with self._answered() as connection:
            return await connection.execute(query.encode(), parameters)

    async def run_script(self, sql: str) -> AsyncCursor[RawRow]:
        """Run text of one or several statements as it stands; raises Refused or ConnectionLost."""
        async with self._answered() as connection:
            return await connection.execute(sql.encode(), prepare=False)

    async def run_together(self, queries: Sequence[tuple[str, Parameters]]) -> list[list[RawRow]]:
        """Run queries in one round trip and return the rows of each; raises as ``run``."""
        if len(queries) == 1:
            return [await (await self.run(*queries[0])).fetchall()]
        async with self._answered() as connection:
            async with connection.pipeline():
                cursors = [await connection.execute(q.encode(), values) for q, values in queries]
            return [await cursor.fetchall() if cursor.description else [] for cursor in cursors]

    async def copy(self, query: str, rows: Sequence[Sequence[str | None]]) -> None:
        """Bulk-load rows; raises as ``run``."""
        async with (
            self._answered() as connection,
            connection.cursor() as cursor,
            cursor.copy(query.encode()) as copying,
        ):
            for row in rows:
                await copying.write_row(row)

    async def commit(self) -> Ack:
        """Send COMMIT and, behind it in the same message, ask for a position past it. Never raises."""
        self._doubts.clear()
        try:
            async with self._answered("COMMIT sent") as connection:
                cursor = await connection.execute(_COMMIT, prepare=False)
        except (ConnectionLost, InDoubt) as doubt:
            return Ack(outcome="unknown", detail=str(doubt))
        except Refused as refused:
            conflicted = isinstance(refused, Conflicted)
            return Ack(outcome="refused", detail=str(refused), conflicted=conflicted)
        sign: Sign = "answered" if cursor.statusmessage == "COMMIT" else "answered otherwise"
        match became("COMMIT sent", "warned" if self._doubts else sign):
            case "unknown":
                return Ack(outcome="unknown", detail="; ".join(self._doubts))
            case "refused":
                return Ack(outcome="refused", detail=f"COMMIT was answered by {cursor.statusmessage}")
        cursor.nextset()
        return Ack(outcome="acked", lsn_upper=_lsn(await cursor.fetchone()))

    async def reset(self) -> None:
        """End whatever transaction there is, or connect anew; raises ConnectionLost."""
        if self._open is None or self._open.closed:
            await self.open()
        elif self._open.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            async with self._answered("idle") as connection:
                await connection.execute(b"ROLLBACK", prepare=False)

    async def break_off(self) -> None:
        """Cut the connection without a word, as the kernel does for a killed client."""
        if self._open is not None and not self._open.closed:
            with socket.socket(fileno=os.dup(self._open.fileno())) as wire:
                wire.shutdown(socket.SHUT_RDWR)
        await self.close()

    async def close(self) -> None:
        """Close the connection; may be called twice."""
        if self._open is not None:
            await self._open.close()
            self._open = None

    @asynccontextmanager
    async def _answered(self, phase: Phase = "statement") -> AsyncIterator[AsyncConnection[RawRow]]:
        """Hand out the connection, turning what goes wrong into Refused, ConnectionLost or InDoubt."""
        connection = self._open
        if connection is None or connection.closed:
            raise ConnectionLost("there is no connection")
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                yield connection
        except TimeoutError:
            await self.close()
            raise _ended(phase, "no answer", None, f"no answer within {ANSWER_S_MAX:.0f} s") from None
        except psycopg.Error as error:
            words = f"{error.sqlstate or 'no SQLSTATE'}: {error}".strip()
            dead = connection.pgconn.status == psycopg.pq.ConnStatus.BAD
            if error.sqlstate and not dead:
                raise _ended(phase, "error", error.sqlstate, words) from error
            if dead or isinstance(error, psycopg.OperationalError):
                await self.close()
                raise _ended(phase, "connection ended", error.sqlstate, words) from error
            raise  # neither the server's word nor the wire's: we asked wrongly

    def _hear(self, notice: psycopg.errors.Diagnostic) -> None:
        words = f"{notice.message_primary} {notice.message_detail or ''}".strip()
        if "synchronous replication" in words or "committed locally" in words:
            self._doubts.append(words)


def _ended(
    phase: Phase, sign: Sign, sqlstate: str | None, words: str
) -> Refused | ConnectionLost | InDoubt:
    """Return the error that says what became of the transaction."""
    match became(phase, sign, sqlstate):
        case "refused":
            return Refused(words)
        case "conflicted":
            return Conflicted(words)
        case "unknown":
            return InDoubt(words)
    return ConnectionLost(words)


def _lsn(row: RawRow | None) -> int:
    return parse_lsn((row or {}).get("lsn") or "")
