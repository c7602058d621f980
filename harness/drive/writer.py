"""One writer of one tenant: performs its transactions at their pace, on a session of its own.

A ``Gate`` stands before each transaction: closing it lets the running ones finish and holds the next ones,
so that a tenant can stop writing while it is restored, and go on where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Final

from harness.drive.performer import Performed, Performer
from harness.drive.ports import Clock, ConnectionLost, Database, NotRead, Session
from harness.model.errors import TimedOut
from harness.model.operations import Transaction

BACK_OFF_S: Final = 0.05
BACK_OFF_S_MAX: Final = 1.0
CONFLICTS_MAX: Final = 5
"""So often a transaction that conflicts with others is tried: of two that meet, one always gets through."""


class Gate:
    """Holds back a tenant's writers while it is closed. Enter it (``async with``) for each transaction."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._running = 0

    def open(self) -> None:
        """Let transactions through."""
        self._open.set()

    def close(self) -> None:
        """Hold back the next transactions."""
        self._open.clear()

    async def idle(self) -> None:
        """Return once no transaction runs."""
        await self._idle.wait()

    async def __aenter__(self) -> None:
        await self._open.wait()
        self._running += 1
        self._idle.clear()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._running -= 1
        if not self._running:
            self._idle.set()


class Writer:
    """Performs ``transactions`` in order; those from ``held_from`` on wait until ``let_go`` is called.

    ``lost_s_max``: how long it tries to get a lost connection back, while its gate is open.
    """

    def __init__(
        self,
        name: str,
        transactions: Sequence[Transaction],
        performer: Performer,
        gate: Gate,
        *,
        held_from: int | None,
        lost_s_max: float,
    ) -> None:
        self.name = name
        self._transactions = transactions
        self._performer = performer
        self._gate = gate
        self._held_from = held_from
        self._let_go = asyncio.Event()
        self._lost_s_max = lost_s_max
        self._session: Session | None = None
        self._usable = False
        self._in_doubt = False

    def let_go(self) -> None:
        """Let it go on with what it held back."""
        self._let_go.set()

    async def run(self, database: Database, clock: Clock) -> None:
        """Perform everything; raises TimedOut when a lost connection does not come back."""
        try:
            began_s = clock.now_s()
            for number, transaction in enumerate(self._transactions):
                if number == self._held_from:
                    await self._let_go.wait()
                await clock.sleep(began_s + transaction.pause_s - clock.now_s())
                began_s = await self._perform(database, clock, transaction)
        finally:
            await self.close()

    async def connect(self, database: Database) -> bool:
        """Open or reopen the session; False when the database does not answer, or has a script go first.

        After a COMMIT that got no answer it looks which rows are there: much may be planned with them.
        """
        try:
            if self._session is None:
                self._session = await database.session(self.name)
            else:
                await self._session.reset()
            if self._in_doubt:
                await self._performer.recall(database)
        except (ConnectionLost, NotRead):
            return False
        self._usable, self._in_doubt = True, False
        return True

    def lose(self) -> None:
        """Take the connection for lost: what it led to is gone."""
        self._usable = False

    async def close(self) -> None:
        """Close the session, if there is one."""
        session, self._session, self._usable = self._session, None, False
        if session is not None:
            await session.close()

    async def _perform(self, database: Database, clock: Clock, transaction: Transaction) -> float:
        """Perform one transaction once there is a connection; return when it began.

        One whose connection was lost before COMMIT left nothing, and is tried again; so is a serializable
        one that conflicted with another.
        """
        wait_s, spent_s, conflicts = BACK_OFF_S, 0.0, 0
        while True:
            async with self._gate:
                if self._usable or await self.connect(database):
                    began_s = clock.now_s()
                    performed = await self._try(transaction)
                    self._note(performed)
                    conflicts += performed == "conflicted"
                    if performed not in {"lost", "conflicted"} or conflicts == CONFLICTS_MAX:
                        return began_s
            if spent_s > self._lost_s_max:
                raise TimedOut(f"{self.name} is connected again", spent_s, "connection lost")
            await clock.sleep(wait_s)
            spent_s += wait_s
            wait_s = min(2 * wait_s, BACK_OFF_S_MAX)

    async def _try(self, transaction: Transaction) -> Performed:
        assert self._session is not None  # usable means that there is one
        return await self._performer.perform(self._session, transaction)

    def _note(self, performed: Performed) -> None:
        if performed in {"lost", "unknown"}:
            self._usable = False
        if performed == "unknown":
            self._in_doubt = True
