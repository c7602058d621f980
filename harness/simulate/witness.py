"""The simulated second witness: a snapshot, and the WAL since, replayed to just before a transaction."""

from __future__ import annotations

from collections.abc import Sequence

from harness.drive.ports import Rows
from harness.model.errors import HarnessFailed
from harness.model.history import Cut
from harness.model.schema import Schema
from harness.model.values import key_of
from harness.simulate.ownership import rows_by_tenant
from harness.simulate.server import Committed, View
from harness.simulate.sessions import Address


class SimulatedWitness:
    """Of the server at ``live`` (``drive.ports.Witness``)."""

    def __init__(self, schema: Schema, live: Address) -> None:
        self._schema = schema
        self._live = live
        self._base: View = {}
        self._first = 0
        self._wal: Sequence[Committed] = ()

    async def begin(self) -> str:
        """Take a snapshot."""
        await self._live.latency.statement()
        server = self._live.reach()
        self._base, self._first = server.snapshot(), len(server.wal)
        return f"a snapshot at position {server.lsn}, and the WAL since"

    async def gather(self) -> None:
        """Take all of the WAL, which goes on in a server that was promoted."""
        await self._live.latency.statement()
        self._wal = self._live.reach().wal[self._first :]

    async def read(self, cut: Cut, tenants: Sequence[str]) -> dict[str, Rows]:
        """Replay up to the transaction; raises HarnessFailed when the WAL does not come to it."""
        await self._live.latency.statement()
        view = {table: dict(rows) for table, rows in self._base.items()}
        for one in self._wal:
            if one.xid == cut.xid and cut.lsn_lower <= one.lsn <= cut.lsn_upper:
                return rows_by_tenant(self._schema, view, tenants)
            self._replay(view, one)
        raise HarnessFailed(f"recovery ended before it came to transaction {cut.xid}")

    async def end(self) -> None:
        """Forget it all."""
        self._base, self._wal = {}, ()

    def _replay(self, view: View, one: Committed) -> None:
        for written in one.written:
            rows = view.setdefault(written.table.name, {})
            if written.key_before is not None:
                rows.pop(written.key_before, None)
            if written.key_after is not None and written.after is not None:
                rows[written.key_after] = written.after
        keys = {table.name: table.key for table in self._schema.tables}
        for ddl in one.ddl:
            for name, anew in ddl.anew.items():
                view[name] = {key_of(row, keys[name]): row for row in anew}
