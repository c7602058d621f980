"""A simulated database as a place to restore into: one tenant's rows swapped in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

import msgspec

from harness.drive.ports import ConnectionLost, Refused
from harness.model.errors import RestoreRefused
from harness.model.schema import ByPath, Schema, Table
from harness.model.values import RawRow, key_of
from harness.simulate.life import Life
from harness.simulate.locks import Hold
from harness.simulate.ownership import rows_by_tenant
from harness.simulate.server import Ddl, Server, View, Work, Written
from harness.simulate.sessions import Address
from harness.simulate.storage import Catalogue, Storage, cells_of
from harness.simulate.switches import Cancelled
from harness.subject.reference.ports import SchemaMissing, Swap, Swapped, Taken, TargetUnavailable

T = TypeVar("T")
_Rows = Mapping[str, Sequence[RawRow]]


class SimulatedTarget:
    """The database behind ``address`` (``reference.ports.Target``). Triggers do not fire here.

    ``life``: of the process that restores; what is open when it ends is undone.
    """

    def __init__(self, address: Address, life: Life | None = None) -> None:
        self._address = address
        self._life = life or Life()
        self._unsaid: list[Swapped] = []
        self._left: set[asyncio.Task[None]] = set()

    def take_unsaid(self) -> list[Swapped]:
        """Return what was committed since the last call, and had nobody left who would have said so."""
        unsaid, self._unsaid = self._unsaid, []
        return unsaid

    async def build_schema(self, ddl: str, high: Mapping[str, int]) -> None:
        """Build what is missing of ``ddl`` (a catalogue as JSON): tables, publication, leaves."""
        server, wanted = await self._reach(), msgspec.json.decode(ddl, type=Catalogue)
        storage = server.storage
        if storage is None:
            server.build(wanted.schema).become(wanted)
            return
        lacking = (storage.gone - {*wanted.gone}, storage.lost - {*wanted.lost})
        published = storage.unpublished - {*wanted.unpublished}
        if any((*lacking, published)):
            await self._rebuild(server, storage, wanted, high)

    async def _rebuild(
        self, server: Server, storage: Storage, wanted: Catalogue, high: Mapping[str, int]
    ) -> None:
        try:
            work = server.begin(patient=True)
            server.change(work, Ddl(tag="REBUILD"))
            storage.rebuild(self.rebuilt(storage.catalogue(), wanted))
            _raise_sequences(storage, high)
            server.write_commit(work, self._address.latency.clock.now_s())
            await server.acknowledged(work, self._address.latency)
        except (ConnectionLost, Cancelled) as lost:
            raise TargetUnavailable(str(lost)) from None
        except asyncio.CancelledError:
            self._leave(server, work)
            raise

    def rebuilt(self, now: Catalogue, wanted: Catalogue) -> Catalogue:
        """Return what is there and what is wanted together."""
        return msgspec.structs.replace(
            now,
            gone=_in_both(now.gone, wanted.gone),
            unpublished=_in_both(now.unpublished, wanted.unpublished),
            lost=_in_both(now.lost, wanted.lost),
        )

    async def columns(self) -> Mapping[str, Collection[str]]:
        """Return the columns of the tables that are there."""
        storage = (await self._reach()).storage
        tables = storage.schema.tables if storage else ()
        gone = storage.gone if storage else set()
        return {t.name: [c.name for c in t.columns] for t in tables if t.name not in gone}

    async def catalogue_digest(self) -> str:
        """Return the digest of what is built, empty for nothing."""
        catalogue = (await self._reach()).catalogue
        return catalogue.digest() if catalogue else ""

    async def swap(self, swap: Swap) -> Swapped:
        """Put the tenant's rows in the place of those that are there."""
        await self._address.latency.staging()
        server = await self._reach()
        if server.storage is None or server.storage.gone:
            raise SchemaMissing("the simulated database lacks tables")
        work = server.begin(patient=True)
        try:
            swapped = await _swap(server, work, swap)
            await self._life.going()
            server.write_commit(work, self._address.latency.clock.now_s())
        except Refused as refused:
            server.undo(work)
            raise RestoreRefused(str(refused)) from None
        except ConnectionLost as lost:
            raise TargetUnavailable(str(lost)) from None
        except asyncio.CancelledError:
            if server.is_open(work):
                server.undo(work)
            raise
        await self._commit(server, work, swapped)
        return swapped

    async def _commit(self, server: Server, work: Work, swapped: Swapped) -> None:
        try:
            await server.acknowledged(work, self._address.latency)
            await self._address.answer()
        except (ConnectionLost, Cancelled) as lost:
            unavailable = TargetUnavailable(str(lost))
            unavailable.swapped = swapped
            raise unavailable from None
        except asyncio.CancelledError:
            self._unsaid.append(swapped)
            self._leave(server, work)
            raise

    def _leave(self, server: Server, work: Work) -> None:
        """Have the server go on by itself with a transaction whose COMMIT it has got."""
        if server.is_open(work):
            left = asyncio.get_running_loop().create_task(self._acknowledged(server, work))
            self._left.add(left)
            left.add_done_callback(self._left.discard)

    async def _acknowledged(self, server: Server, work: Work) -> None:
        with suppress(ConnectionLost, Cancelled):
            await server.acknowledged(work, self._address.latency)

    async def _reach(self) -> Server:
        try:
            await self._address.ask()
            return self._address.reach()
        except ConnectionLost as lost:
            raise TargetUnavailable(str(lost)) from None


async def _locked(server: Server, work: Work, swap: Swap) -> dict[str, list[RawRow]]:
    """Return the rows to be replaced, all locked: looked at anew when somebody changed one meanwhile."""
    while True:
        present = _present(server, work, swap)
        await _lock(server, work, server.built, present)
        if _present(server, work, swap) == present:
            return present


def _present(server: Server, work: Work, swap: Swap) -> dict[str, list[RawRow]]:
    schema, view = server.built.schema, server.snapshot(own=work)
    present = rows_by_tenant(schema, view, [swap.tenant])[swap.tenant]
    for name, rows in _with_others(schema, view, swap.taken, present).items():
        present[name] += rows
    return present


async def _swap(server: Server, work: Work, swap: Swap) -> Swapped:
    storage = server.built
    await _lock(server, work, storage, swap.rows)
    present = await _locked(server, work, swap)
    for table in reversed(storage.schema.owned):
        for row in present[table.name]:
            server.apply(work, Written(table=table, op="delete", before=row))
    shared_added = _add_shared(server, work, swap.shared)
    for table in storage.schema.owned:
        for row in swap.rows.get(table.name, ()):
            _demand_free(storage, table, row)
            server.apply(work, Written(table=table, op="insert", after=dict(row)))
    _demand_whole(storage, swap.rows, present)
    _raise_sequences(storage, swap.high)
    return Swapped(
        rows=sum(map(len, swap.rows.values())),
        set_aside=tuple(_differing(present, swap.rows)) if swap.set_aside else (),
        shared_added=shared_added,
    )


def _raise_sequences(storage: Storage, high: Mapping[str, int]) -> None:
    for name, value in high.items():
        storage.sequences[name] = max(storage.sequences[name], value + 1)


def _with_others(
    schema: Schema, view: View, taken: Sequence[Taken], present: _Rows
) -> dict[str, list[RawRow]]:
    """Return rows that others have though they were taken from the tenant, and all below them."""
    found: dict[str, list[RawRow]] = {table.name: [] for table in schema.owned}
    for table in schema.owned:
        wanted = [(one.columns, set(one.cells)) for one in taken if one.table == table.name]
        if isinstance(table.tenancy, ByPath):
            step = table.foreign_key(table.tenancy.columns)
            parents = (cells_of(row, step.parent_columns) for row in found[step.parent])
            wanted.append((step.columns, {cells for cells in parents if cells is not None}))
        mine = {key_of(row, table.key) for row in present[table.name]}
        found[table.name] = [
            row
            for key, row in sorted(view[table.name].items())
            if key not in mine and any(cells_of(row, columns) in cells for columns, cells in wanted)
        ]
    return found


async def _lock(server: Server, work: Work, storage: Storage, rows: _Rows) -> None:
    for name, of in rows.items():
        for row in of:
            for columns in storage.tables[name].uniques:
                if (cells := cells_of(row, columns)) is not None:
                    await server.locks.take(work, (name, columns, cells), Hold.OWN)


def _add_shared(server: Server, work: Work, shared: _Rows) -> dict[str, int]:
    added: dict[str, int] = {}
    for table in server.built.schema.shared:
        for row in shared.get(table.name, ()):
            if key_of(row, table.key) not in server.built.tables[table.name].rows:
                server.apply(work, Written(table=table, op="insert", after=dict(row)))
                added[table.name] = added.get(table.name, 0) + 1
    return added


def _demand_free(storage: Storage, table: Table, row: RawRow) -> None:
    store = storage.tables[table.name]
    for columns in store.uniques:
        cells = cells_of(row, columns)
        holder = None if cells is None else store.holder(columns, cells)
        if holder is not None:
            key = key_of(row, table.key)
            raise Refused(f"{table.name}: {key} and the present {holder} both have {columns} = {cells}")


def _demand_whole(storage: Storage, rows: _Rows, removed: _Rows) -> None:
    """Check each foreign key of what came, and that nothing refers to what went."""
    for name, of in rows.items():
        table = storage.schema.table(name)
        for row in of:
            for deferrable in (False, True):
                if missing := storage.missing_parent(table, row, deferrable=deferrable):
                    raise Refused(f"{name} {key_of(row, table.key)} refers to no {missing.parent}")
    for name, of in removed.items():
        table = storage.schema.table(name)
        for row in of:
            for child, foreign_key, key in storage.children(table, row):
                cells = cells_of(row, foreign_key.parent_columns)
                if cells is not None and storage.parent_key(foreign_key, cells) is None:
                    raise Refused(f"{child.name} {key} still refers to {name} {cells}")


def _in_both(some: tuple[T, ...], others: tuple[T, ...]) -> tuple[T, ...]:
    return tuple(one for one in some if one in others)


def _differing(present: _Rows, wanted: _Rows) -> list[tuple[str, RawRow]]:
    found = []
    for name, rows in present.items():
        kept = {tuple(row.items()) for row in wanted.get(name, ())}
        found += [(name, row) for row in rows if tuple(row.items()) not in kept]
    return found
