"""Right of way for a script: of an operator and a writer that wait for each other, the writer is ended.

Postgres ends whoever finds the deadlock, and each waiter looks only once, after its deadlock timeout. A
script of one huge transaction would fall victim again and again, and with it the drill. So while a script's
statement runs, the circles that it stands in are looked for from outside, and broken at the writer. Nobody
else is touched: a writer that merely waits goes on waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from harness.drive.ports import ConnectionLost
from harness.stack.world.connection import Connection

LOOK_S = 0.1

_BREAK = """
WITH RECURSIVE ahead (pid) AS (
    SELECT unnest(pg_blocking_pids(a.pid)) FROM pg_stat_activity AS a
    WHERE a.pid = %s::integer AND a.wait_event_type = 'Lock'
    UNION SELECT unnest(pg_blocking_pids(ahead.pid)) FROM ahead
)
SELECT pg_cancel_backend(pid) FROM ahead WHERE %s::integer = ANY (pg_blocking_pids(pid))
"""


class RightOfWay:
    """Breaks circles from a connection of its own: ``watcher``, a superuser's, opened when needed."""

    def __init__(self, watcher: Connection) -> None:
        self._watcher = watcher

    @asynccontextmanager
    async def given_to(self, pid: int) -> AsyncIterator[None]:
        """Let the backend ``pid`` win every deadlock while the context lasts."""
        watching = asyncio.create_task(self._watch(str(pid)))
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait([watching])

    async def close(self) -> None:
        """Close the connection."""
        await self._watcher.close()

    async def _watch(self, pid: str) -> None:
        try:
            while True:
                await asyncio.sleep(LOOK_S)  # noqa: TID251 - real locks on a real server
                await self._watcher.reset()
                await self._watcher.run(_BREAK, (pid, pid))
        except ConnectionLost:
            return  # the script's own connection tells of it
