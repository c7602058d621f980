"""Sessions on the simulated database: the writers' port, and what every kind of session shares.

A session leads to the server that answered at the clients' address when it was opened, or reset. Each call
costs a round trip on the virtual clock, and a server that died meanwhile is a lost connection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.drive.ports import Ack, Conflicted, ConnectionLost, Ready, Refused
from harness.model.history import Change
from harness.model.schema import Table
from harness.model.values import RawRow, key_of, row_key
from harness.simulate.latency import Latency
from harness.simulate.server import Server, Work
from harness.simulate.statements import Statements
from harness.simulate.switches import Cancelled, Cut, Wire


class Address:
    """Where clients find the database; ``server`` is None while nobody listens.

    ``wire``: the way there, None for one that is never disturbed.
    """

    def __init__(self, latency: Latency, *, wire: Wire | None = None) -> None:
        self.latency = latency
        self.wire = wire
        self._servers: list[Server | None] = [None]

    def by(self, wire: Wire) -> Address:
        """Return the same address as clients behind ``wire`` see it."""
        seen = Address(self.latency, wire=wire)
        seen._servers = self._servers
        return seen

    @property
    def server(self) -> Server | None:
        """The server that listens here."""
        return self._servers[0]

    @server.setter
    def server(self, server: Server | None) -> None:
        self._servers[0] = server

    async def ask(self) -> None:
        """Send a statement; raises ConnectionLost when it does not arrive."""
        await self.latency.statement()
        if self.wire is not None:
            try:
                await self.wire.ask()
            except Cut as cut:
                raise ConnectionLost(str(cut)) from None

    async def answer(self) -> None:
        """Hear the answer to one; raises ConnectionLost when it does not arrive."""
        if self.wire is not None:
            try:
                await self.wire.answer()
            except Cut as cut:
                raise ConnectionLost(str(cut)) from None

    def reach(self) -> Server:
        """Return the server that answers; raises ConnectionLost."""
        if self.server is None or not self.server.alive:
            raise ConnectionLost("nobody listens at the database's address")
        return self.server


class Connection:
    """One connection with at most one open transaction. ``patient``: others give way in a deadlock."""

    def __init__(self, address: Address, *, patient: bool = False) -> None:
        self._address = address
        self._patient = patient
        self._link = address.server
        self._server: Server | None = None
        self._work: Work | None = None

    async def begin(self) -> None:
        """Open a transaction on the server to which the connection leads, if it still answers."""
        await self._begin()

    async def _begin(self, *, serializable: bool = False) -> None:
        await self._address.ask()
        if self._work is not None:
            raise Refused("there is already a transaction in progress")
        self._server = self._address.reach()
        if self._server is not self._link:
            raise ConnectionLost("the server that it led to is gone")
        self._work = self._server.begin(patient=self._patient, serializable=serializable)

    async def ready(self) -> Ready:
        """Return xid, a lower bound of the commit's position, and what triggers wrote."""
        await self._address.ask()
        server, work = self._current()
        return Ready(xid=work.xid, lsn_lower=server.lsn, changes=tuple(work.triggered))

    async def commit(self) -> Ack:
        """Send COMMIT: settle what was deferred, write the record, wait for the standby, answer."""
        latency = self._address.latency
        try:
            server, work = self._current()  # it may have died since the last statement
            await self._address.ask()
            await Statements(server).settle(work)
            server.write_commit(work, latency.clock.now_s())
            self._work = None
            await server.acknowledged(work, latency)
            await latency.statement()
            await self._address.answer()
            server.demand_alive()
        except Cancelled as cancelled:
            return Ack(outcome="unknown", detail=str(cancelled))
        except Refused as refused:
            self._forget()
            conflicted = isinstance(refused, Conflicted)
            return Ack(outcome="refused", detail=str(refused), conflicted=conflicted)
        except ConnectionLost as lost:
            self._forget()
            return Ack(outcome="unknown", detail=str(lost))
        return Ack(outcome="acked", lsn_upper=server.lsn)

    async def rollback(self) -> None:
        """Give the transaction up."""
        await self._address.ask()
        self._current()
        self._forget()

    async def reset(self) -> None:
        """Roll back or reconnect; raises ConnectionLost when nobody listens."""
        self._forget()
        await self._address.ask()
        self._link = self._address.reach()

    async def close(self) -> None:
        """End the session; what was open is rolled back."""
        self._forget()

    def _current(self) -> tuple[Server, Work]:
        if self._server is None or self._work is None:
            raise Refused("there is no transaction in progress")
        self._server.demand_alive()
        return self._server, self._work

    def _forget(self) -> None:
        if self._server is not None and self._work is not None and self._server.is_open(self._work):
            self._server.undo(self._work)
        self._work = None


class SimulatedSession(Connection):
    """A writer's session (``drive.ports.Session``)."""

    async def begin(self, *, serializable: bool = False) -> None:
        """Open a transaction as any connection does."""
        await self._begin(serializable=serializable)

    async def insert(self, table: Table, values: Mapping[str, str | None]) -> RawRow:
        """Insert one row and return its image."""
        statements, work = await self._statement()
        try:
            return await statements.insert(work, table, values)
        except Refused:
            self._forget()
            raise

    async def copy(
        self, table: Table, columns: Sequence[str], rows: Sequence[Sequence[str | None]]
    ) -> list[RawRow]:
        """Bulk-load rows and return their images."""
        statements, work = await self._statement()
        try:
            return [
                await statements.insert(work, table, dict(zip(columns, row, strict=True)), forced=True)
                for row in rows
            ]
        except Refused:
            self._forget()
            raise

    async def update(
        self, table: Table, key: Mapping[str, str], values: Mapping[str, str | None]
    ) -> RawRow | None:
        """Update one row and return its new image, None when it is not there."""
        statements, work = await self._statement()
        try:
            return await statements.update(work, table, tuple(key[c] for c in table.key), values)
        except Refused:
            self._forget()
            raise

    async def delete(self, table: Table, key: Mapping[str, str]) -> bool:
        """Delete one row; False when it is not there. What goes by cascade is told by ``ready``."""
        statements, work = await self._statement()
        try:
            gone = await statements.delete(work, [(table, tuple(key[c] for c in table.key))])
        except Refused:
            self._forget()
            raise
        work.triggered += [
            Change(op="delete", key=row_key(child.name, key_of(row, child.key))) for child, row in gone[1:]
        ]
        return bool(gone)

    async def _statement(self) -> tuple[Statements, Work]:
        await self._address.ask()
        server, work = self._current()
        return Statements(server), work
