"""The drill's port to the simulated database: sessions, snapshots, digests, sequences, scratch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from itertools import count

from harness.drive.ports import Cluster, ConnectionLost, Looked, NotRead, Rows
from harness.model.history import Place
from harness.model.schema import Schema
from harness.model.values import key_of
from harness.simulate.operator import SimulatedOperator
from harness.simulate.ownership import rows_by_tenant
from harness.simulate.server import Server
from harness.simulate.sessions import Address, SimulatedSession
from harness.simulate.statements import Statements


class SimulatedDatabase:
    """A live database behind its address, and a scratch one beside it (``drive.ports.Database``).

    ``clients``: the live one as writers and operators reach it.
    """

    def __init__(
        self, schema: Schema, live: Address, scratch: Address, *, clients: Address | None = None
    ) -> None:
        self._schema = schema
        self._clients = clients or live
        self._places: dict[Place, Address] = {"live": live, "scratch": scratch}
        self._scratch_count = count(1)

    async def cluster(self) -> Cluster:
        """Return who answers at the clients' address."""
        server = await self._reach("live")
        return Cluster(system_id=server.system_id, timeline=server.timeline)

    async def session(self, name: str) -> SimulatedSession:  # noqa: ARG002 - the port names sessions
        """Open a writer's session."""
        await self._connect()
        return SimulatedSession(self._clients)

    async def operator(self) -> SimulatedOperator:
        """Open an operator's session."""
        await self._connect()
        return SimulatedOperator(self._clients)

    def readings(self) -> AbstractAsyncContextManager[None]:
        """Return a context that does nothing: there are no connections to keep."""
        return nullcontext()

    async def read(self, tenants: Sequence[str], place: Place) -> dict[str, Rows]:
        """Read all rows of these tenants in one snapshot."""
        server = await self._reach(place)
        if server.storage is None:
            return {tenant: {t.name: [] for t in self._schema.owned} for tenant in tenants}
        return rows_by_tenant(self._schema, server.snapshot(), tenants)

    async def read_unowned(self, place: Place) -> Rows:
        """Read shared and infrastructure tables in one snapshot."""
        server = await self._reach(place)
        view = server.snapshot() if server.storage is not None else {}
        tables = (*self._schema.shared, *self._schema.infrastructure)
        return {t.name: [row for _, row in sorted(view.get(t.name, {}).items())] for t in tables}

    async def catalogue_digest(self, place: Place) -> str:
        """Digest the catalogue: nothing, or the schema."""
        server = await self._reach(place)
        return catalogue_digest(server)

    async def next_values(self, place: Place) -> dict[str, int]:
        """Return the next value of each sequence behind an owned table."""
        server = await self._reach(place)
        gone = server.storage.gone if server.storage else set()
        owned = {table.name for table in self._schema.owned} - gone
        sequences = server.storage.sequences if server.storage else {}
        return {name: value for name, value in sequences.items() if name.rpartition(".")[0] in owned}

    async def look(self, tenant: str, place: Place) -> Looked:
        """Read it all, each with the latency of a statement."""
        return Looked(
            rows=(await self.read([tenant], place))[tenant],
            catalogue_digest=await self.catalogue_digest(place),
            next_values=await self.next_values(place) if place == "live" else {},
        )

    async def clear(self) -> None:
        """Delete all rows in one captured transaction, children before parents."""
        server = await self._reach("live")
        work = server.begin(patient=True)
        rows = [
            (table, key_of(row, table.key))
            for table in reversed(self._schema.tables)
            for row in server.built.tables[table.name].rows.values()
        ]
        await Statements(server, triggers=False).delete(work, rows)
        server.write_commit(work, self._places["live"].latency.clock.now_s())
        server.show(work)

    async def reset_scratch(self) -> None:
        """Make the scratch database new and empty: no schema in it."""
        scratch = self._places["scratch"]
        await scratch.latency.statement()
        scratch.server = Server(f"scratch-{next(self._scratch_count)}")

    async def _connect(self) -> None:
        await self._clients.ask()
        self._clients.reach()

    async def _reach(self, place: Place) -> Server:
        await self._places[place].latency.statement()
        try:
            return self._places[place].reach()
        except ConnectionLost as lost:
            raise NotRead(f"the database was not there to be read: {lost}") from lost


def catalogue_digest(server: Server) -> str:
    """Return a digest of what was built on ``server``."""
    return "nothing" if server.catalogue is None else server.catalogue.digest()
