"""The second witness on the running stack (``drive.ports.Witness``): Barman, read as every database is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from harness.drive.ports import Rows
from harness.model.history import Cut
from harness.model.schema import Schema
from harness.stack.witness import BarmanWitness
from harness.stack.world.database import PostgresDatabase


class StackWitness:
    """Reads tenants of ``schema`` with the harness's own reader."""

    def __init__(self, barman: BarmanWitness, schema: Schema) -> None:
        self._barman = barman
        self._schema = schema

    async def begin(self) -> str:
        return await asyncio.to_thread(self._barman.begin)

    async def gather(self) -> None:
        await asyncio.to_thread(self._barman.gather)

    async def read(self, cut: Cut, tenants: Sequence[str]) -> dict[str, Rows]:
        dsn = await asyncio.to_thread(self._barman.recover, cut)
        database = PostgresDatabase(schema=self._schema, app_dsn=dsn, admin_dsn=dsn)
        try:
            return await database.read(tenants, "live")
        finally:
            await asyncio.to_thread(self._barman.forget_cluster)

    async def end(self) -> None:
        await asyncio.to_thread(self._barman.end)
