"""The simulated database server: transactions, commit order, and what a snapshot sees.

Rows are changed in place under row locks; a transaction keeps what it wrote, to undo it or, at COMMIT, to
append it to the WAL. Who reads a snapshot sees rows without what open transactions wrote. A committed
transaction stays invisible, and its locks held, until the standby is said to have it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from random import Random
from typing import Literal

import msgspec

from harness.drive.ports import ConnectionLost
from harness.model.history import Change
from harness.model.schema import Schema, Table
from harness.model.values import Key, RawRow
from harness.simulate.latency import Latency
from harness.simulate.locks import Locks
from harness.simulate.storage import Catalogue, Storage, cells_of
from harness.simulate.switches import Cancelled, Standby

Op = Literal["insert", "update", "delete", "truncate", "drop"]
"""``truncate``: a row that went with its whole table, of which the WAL tells once.

``drop``: one of which it tells nothing.
"""

View = dict[str, dict[Key, RawRow]]
"""Rows by table and key, as one snapshot sees them."""

FIRST_LSN = 0x150_0000
FIRST_XID = 740


class Written:
    """One row's change with full images, and the row's key before and after it (None: it was not there).

    ``told``: whether its table was published then.
    """

    __slots__ = ("after", "before", "key_after", "key_before", "op", "table", "told")

    def __init__(
        self,
        *,
        table: Table,
        op: Op,
        before: RawRow | None = None,
        after: RawRow | None = None,
    ) -> None:
        self.table = table
        self.op = op
        self.before = before
        self.after = after
        self.told = op != "drop"
        self.key_before = None if before is None else cells_of(before, table.key)
        self.key_after = None if after is None else cells_of(after, table.key)


class Ddl(msgspec.Struct, frozen=True, kw_only=True):
    """What event triggers tell of a command: tables ``dropped``, and those told ``anew`` with all rows."""

    tag: str
    dropped: tuple[str, ...] = ()
    anew: dict[str, tuple[RawRow, ...]] = {}


class Committed(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction in the WAL; ``lsn`` is its commit position, ``at_s`` when it was written there.

    ``catalogue``: the digest after it, when it did DDL; ``before_ddl``: the catalogue before it.
    """

    xid: int
    lsn: int
    at_s: float
    written: tuple[Written, ...]
    heartbeat: RawRow | None = None
    ddl: tuple[Ddl, ...] = ()
    catalogue: str = ""
    before_ddl: Catalogue | None = None


class Work:
    """An open transaction. ``patient``: in a deadlock the others give way.

    ``lsn``: its commit's, once that is written. ``stale``: rows that others have changed since it began, of
    a serializable one; None of any other, which does not mind.
    ``unchecked``: as with session_replication_role = replica, no trigger and no foreign key sees it.
    """

    def __init__(self, xid: int, *, patient: bool, serializable: bool = False) -> None:
        self.xid = xid
        self.stale: set[tuple[str, Key]] | None = set() if serializable else None
        self.unchecked = False
        self.lsn: int | None = None
        self.patient = patient
        self.written: list[Written] = []
        self.triggered: list[Change] = []
        self.ddl: list[Ddl] = []
        self.before_ddl: Catalogue | None = None

    def first_images(self) -> Iterator[tuple[str, Key, RawRow | None]]:
        """Iterate over what was there before this transaction: table, key, row; the first one counts."""
        for one in self.written:
            before, after = one.key_before, one.key_after
            if before is not None:
                yield one.table.name, before, one.before
            if after is not None and after != before:
                yield one.table.name, after, None

    def count(self, op: Op) -> dict[str, int]:
        """Return how many rows of each table this transaction updated or deleted."""
        counts: dict[str, int] = {}
        for one in self.written:
            if one.op == op:
                counts[one.table.name] = counts.get(one.table.name, 0) + 1
        return counts


class Server:
    """One database cluster from its birth to its end. ``storage`` is None until a schema is built.

    ``fork_lsn``: where its timeline forked off from the one before, None for the first.
    """

    def __init__(self, system_id: str, timeline: int = 1) -> None:
        self.system_id = system_id
        self.timeline = timeline
        self.alive = True
        self.standby = Standby()
        self.storage: Storage | None = None
        self.heartbeat: RawRow = {}
        self.locks = Locks()
        self.lsn = FIRST_LSN
        self.fork_lsn: int | None = None
        self.wal: list[Committed] = []
        self.wal_grew = asyncio.Event()
        self.catalogue: Catalogue | None = None
        self._next_xid = FIRST_XID
        self._open: dict[Work, None] = {}
        self._serializable: dict[Work, None] = {}

    def build(self, schema: Schema) -> Storage:
        """Build the tables of ``schema``, empty."""
        self.storage = Storage(schema)
        self.catalogue = self.storage.catalogue()
        return self.storage

    @property
    def built(self) -> Storage:
        """The tables; raises ConnectionLost when the server is gone or was never given a schema."""
        if not self.alive or self.storage is None:
            raise ConnectionLost("the server is gone" if not self.alive else "there is no schema")
        return self.storage

    def demand_alive(self) -> None:
        """Raise ConnectionLost when the server is gone."""
        if not self.alive:
            raise ConnectionLost("the server is gone")

    def begin(self, *, patient: bool = False, serializable: bool = False) -> Work:
        """Open a transaction, its xid given at once."""
        self.demand_alive()
        work = Work(self._next_xid, patient=patient, serializable=serializable)
        self._next_xid += 1
        self._open[work] = None
        if serializable:
            self._serializable[work] = None
        return work

    def is_open(self, work: Work) -> bool:
        """Whether others do not see yet what ``work`` wrote."""
        return work in self._open

    def apply(self, work: Work, one: Written) -> None:
        """Change a row in place on behalf of ``work``."""
        _redo(self.built, one)
        one.told = one.told and one.table.name not in self.built.unpublished
        work.written.append(one)
        self.lsn += 128

    def change(self, work: Work, ddl: Ddl) -> None:
        """Note a command of ``work``, whose first change of the catalogue comes right after this."""
        work.before_ddl = work.before_ddl or self.built.catalogue()
        work.ddl.append(ddl)

    def undo(self, work: Work) -> None:
        """Take back everything ``work`` did and forget it."""
        if self.storage is not None:
            for one in reversed(work.written):
                _revert(self.storage, one)
            if work.before_ddl is not None:
                self.storage.become(work.before_ddl)
        self._end(work)

    def write_commit(self, work: Work, now_s: float) -> None:
        """Write the commit record: from here on it is in the WAL, though others can't see it yet."""
        self.demand_alive()
        if work.ddl:
            self.catalogue = self.built.catalogue()
        self.append(
            work.xid, now_s, written=tuple(work.written), ddl=tuple(work.ddl), before_ddl=work.before_ddl
        )
        work.lsn = self.lsn

    async def acknowledged(self, work: Work, latency: Latency) -> None:
        """Wait until the standby has it, then show it; raises ConnectionLost, or Cancelled and shows it."""
        await latency.standby()
        try:
            await self.standby.flushed(work.lsn or 0)
        except Cancelled:
            self.show(work)
            raise
        except ConnectionLost:
            if self.is_open(work):  # a terminated session leaves what it had committed
                self.show(work)
            raise
        self.demand_alive()
        self.show(work)

    def show(self, work: Work) -> None:
        """Let others see what ``work`` committed; serializable ones that began before may not change it."""
        for other in self._serializable:
            if other is not work and other.stale is not None:
                other.stale.update((table, key) for table, key, _ in work.first_images())
        self._end(work)

    def append(
        self,
        xid: int,
        now_s: float,
        *,
        written: tuple[Written, ...] = (),
        heartbeat: RawRow | None = None,
        ddl: tuple[Ddl, ...] = (),
        before_ddl: Catalogue | None = None,
    ) -> None:
        """Append a transaction to the WAL; one that wrote nothing leaves nothing to be captured."""
        self.lsn += 48
        if any(one.told for one in written) or heartbeat or ddl:
            committed = Committed(
                xid=xid,
                lsn=self.lsn,
                at_s=now_s,
                written=written,
                heartbeat=heartbeat,
                ddl=ddl,
                catalogue=self.catalogue.digest() if ddl and self.catalogue else "",
                before_ddl=before_ddl,
            )
            self.wal.append(committed)
            self.wal_grew.set()
        self.lsn += 8

    def draw_xid(self) -> int:
        """Give an xid to a transaction that is written in one go."""
        self._next_xid += 1
        return self._next_xid - 1

    def snapshot(self, own: Work | None = None, *, decoded: bool = False) -> View:
        """Return all visible rows: the committed ones and those of ``own``. Rows are not to be changed.

        ``decoded``: as of the WAL's end, as a new slot gives it: what waits for the standby is there too.
        """
        view = {name: dict(store.rows) for name, store in self.built.tables.items()}
        seen: set[tuple[str, Key]] = set()
        for work in self._open:
            if work is own or (decoded and work.lsn is not None):
                continue
            for table, key, row in work.first_images():
                if (table, key) not in seen:
                    seen.add((table, key))
                    if row is None:
                        view[table].pop(key, None)
                    else:
                        view[table][key] = row
        return view

    def die(self) -> None:
        """End at once: nobody gets an answer any more."""
        self.alive = False
        self.locks.break_all()
        self.standby.lose_all()
        self.wal_grew.set()

    def reborn(self) -> Server:
        """Return the server as it starts again in place: what is in the WAL is there (FM-19)."""
        server = type(self)(self.system_id, self.timeline)
        for work in self._open:
            if work.lsn is None and self.storage is not None:
                for one in reversed(work.written):
                    _revert(self.storage, one)
                self.storage.become(work.before_ddl or self.storage.catalogue())
        self._open.clear()
        server.storage, server.heartbeat = self.storage, self.heartbeat
        server.catalogue = self.storage.catalogue() if self.storage else None
        server.wal, server.lsn = self.wal, self.lsn
        server._next_xid = self._next_xid
        server.standby.lsn = self.standby.lsn
        return server

    def promoted(self, chance: Random) -> Server:
        """Return the standby of this dead server as primary, with what it had of the WAL; the rest is lost.

        It surely had what anybody waited for; of what lay beyond, some. Positions and transaction ids go on
        from there, so that those of what is lost are given again (FM-25).
        """
        server = type(self)(self.system_id, self.timeline + 1)
        server.storage = self.storage
        server.wal = list(self.had(chance))
        self._forget_lost(self.wal[len(server.wal) :])
        server.catalogue = self.storage.catalogue() if self.storage else None
        end_lsn = server.wal[-1].lsn + 8 if server.wal else FIRST_LSN
        server.lsn = server.standby.lsn = server.fork_lsn = end_lsn
        server._next_xid = max((one.xid for one in server.wal), default=FIRST_XID) + 1
        beats = (one.heartbeat for one in reversed(server.wal) if one.heartbeat is not None)
        server.heartbeat = next(beats, {**self.heartbeat, "beat": "0"})
        return server

    def had(self, chance: Random) -> Sequence[Committed]:
        """Return what the standby had of the WAL when this server died."""
        waited_for = sum(one.lsn <= self.standby.lsn for one in self.wal)
        return self.wal[: waited_for + chance.randint(0, len(self.wal) - waited_for)]

    def _forget_lost(self, lost: Sequence[Committed]) -> None:
        """Take back what was open, and then what was committed here alone."""
        assert self.storage is not None  # it was captured
        for work in self._open:
            if work.lsn is None:
                for written in reversed(work.written):
                    _revert(self.storage, written)
                self.storage.become(work.before_ddl or self.storage.catalogue())
        self._open.clear()
        for one in reversed(lost):
            for written in reversed(one.written):
                _revert(self.storage, written)
            self.storage.become(one.before_ddl or self.storage.catalogue())

    def _end(self, work: Work) -> None:
        del self._open[work]
        self._serializable.pop(work, None)
        self.locks.release(work)


def _redo(storage: Storage, one: Written) -> None:
    store = storage.tables[one.table.name]
    if one.key_before is not None:
        store.remove(one.key_before)
    if one.after is not None:
        store.put(one.after)


def _revert(storage: Storage, one: Written) -> None:
    store = storage.tables[one.table.name]
    if one.key_after is not None:
        store.remove(one.key_after)
    if one.before is not None:
        store.put(one.before)
