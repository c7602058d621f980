"""Performs one planned transaction on a session, and journals it: before COMMIT is sent, and after.

Everything that is to be known of a transaction is written down before its COMMIT leaves, so that whatever
happens then, the history can tell what may be in the database.
"""

from __future__ import annotations

from typing import Literal

from harness.drive.bindings import Bindings, Dependents, Draft, Unbound, dependents_of
from harness.drive.doubts import Doubt, Doubts
from harness.drive.journal import Journal
from harness.drive.ports import Clock, Conflicted, ConnectionLost, Database, Ready, Refused, Session
from harness.drive.tally import ROLLED_BACK, Tally
from harness.model.history import Actor, Change, Done, Outcome, Sent, WriterSkipped
from harness.model.operations import Copy, CopyRow, Delete, Insert, Operation, Transaction, Update
from harness.model.schema import Schema, Table
from harness.model.values import Key, RawRow, key_of, row_key, to_image

Performed = Outcome | Literal["skipped", "lost", "conflicted"]
"""What became of a transaction: *skipped*: never tried; *lost*: the connection ended before COMMIT.

*conflicted*: it is serializable, was refused for a conflict with another one, and may be tried again.
"""


class Where:
    """What all performers of one drill share; ``cluster`` is the ordinal of the one that answers now."""

    def __init__(self, schema: Schema, journal: Journal, tally: Tally, clock: Clock) -> None:
        self.tables: dict[str, Table] = {table.name: table for table in schema.tables}
        self.dependents = dependents_of(schema)
        self.journal = journal
        self.tally = tally
        self.clock = clock
        self.doubts = Doubts(self.tables)
        self.cluster = 0


class Performer:
    """Performs transactions of one tenant (None: of nobody) as one actor."""

    def __init__(self, where: Where, actor: Actor, tenant: str | None, bindings: Bindings) -> None:
        self._where = where
        self._actor: Actor = actor
        self._tenant = tenant
        self._bindings = bindings

    async def perform(self, session: Session, transaction: Transaction) -> Performed:
        """Run ``transaction`` to its end and journal it; what became of it is no exception."""
        begun_s = self._where.journal.now_s()
        run = _Run(session, Draft(self._bindings), self._where.tables, self._where.dependents)
        try:
            await session.begin(serializable=transaction.serializable)
            for number, operation in enumerate(transaction.operations):
                if number and transaction.think_s:
                    await self._where.clock.sleep(transaction.think_s)
                await run.operate(operation)
            if transaction.hold_s:
                await self._where.clock.sleep(transaction.hold_s)
            if not transaction.commit:
                await session.rollback()
                return self._done(transaction, "refused", begun_s, detail=ROLLED_BACK)
            ready = await session.ready()
        except Unbound as unbound:
            await _give_up(session)
            return self._skip(transaction, str(unbound))
        except Refused as refused:
            await _give_up(session)
            conflicted = isinstance(refused, Conflicted)
            self._done(transaction, "refused", begun_s, detail=str(refused), conflicted=conflicted)
            return _refused(transaction, conflicted=conflicted)
        except ConnectionLost as lost:
            detail = f"connection lost before COMMIT: {lost}"
            self._done(transaction, "refused", begun_s, detail=detail, lost=True)
            return "lost"
        return await self._commit(session, transaction, run, ready, begun_s)

    async def recall(self, database: Database) -> None:
        """Look whether a COMMIT that got no answer took place, as an application does before it goes on.

        Raises NotRead.
        """
        if self._tenant is not None:
            self._where.doubts.recall(await database.read([self._tenant], "live"))

    async def _commit(
        self, session: Session, transaction: Transaction, run: _Run, ready: Ready, begun_s: float
    ) -> Performed:
        sent = self._sent(transaction, run, ready, begun_s)
        self._where.journal.write(sent)
        self._where.doubts.sent(Doubt(sent=sent, adopt=lambda: self._bindings.adopt(run.draft)))
        ack = await session.commit()
        self._done(
            transaction,
            ack.outcome,
            begun_s,
            lsn_upper=ack.lsn_upper,
            detail=ack.detail,
            conflicted=ack.conflicted,
        )
        if ack.outcome == "acked":
            self._bindings.adopt(run.draft)
        return _refused(transaction, conflicted=ack.conflicted) if ack.outcome == "refused" else ack.outcome

    def _sent(self, transaction: Transaction, run: _Run, ready: Ready, begun_s: float) -> Sent:
        return Sent(
            at_s=self._where.journal.now_s(),
            name=transaction.name,
            actor=self._actor,
            tenant=self._tenant,
            cluster=self._where.cluster,
            xid=ready.xid,
            begun_s=begun_s,
            lsn_lower=ready.lsn_lower,
            changes=(*run.changes, *ready.changes),
        )

    def _done(
        self,
        transaction: Transaction,
        outcome: Outcome,
        begun_s: float,
        *,
        lsn_upper: int | None = None,
        detail: str = "",
        lost: bool = False,
        conflicted: bool = False,
    ) -> Outcome:
        done = Done(
            at_s=self._where.journal.now_s(),
            name=transaction.name,
            actor=self._actor,
            tenant=self._tenant,
            outcome=outcome,
            lsn_upper=lsn_upper,
            detail=detail,
            begun_s=begun_s,
            lost=lost,
            conflicted=conflicted,
        )
        self._where.journal.write(done)
        self._where.doubts.done(done)
        self._where.tally.heard(done)
        return outcome

    def _skip(self, transaction: Transaction, reason: str) -> Literal["skipped"]:
        journal = self._where.journal
        tenant = self._tenant or ""
        journal.write(
            WriterSkipped(at_s=journal.now_s(), name=transaction.name, tenant=tenant, reason=reason)
        )
        return "skipped"


def _refused(transaction: Transaction, *, conflicted: bool) -> Performed:
    return "conflicted" if conflicted and transaction.serializable else "refused"


async def _give_up(session: Session) -> None:
    """Make the session usable again, if it can be; the next ``begin`` says so if not."""
    try:
        await session.reset()
    except ConnectionLost:
        return


class _Run:
    """One transaction while it runs: what it changed so far."""

    def __init__(
        self, session: Session, draft: Draft, tables: dict[str, Table], dependents: Dependents
    ) -> None:
        self._session = session
        self._tables = tables
        self._dependents = dependents
        self.draft = draft
        self.changes: list[Change] = []

    async def operate(self, operation: Operation) -> None:
        """Perform one operation; raises Unbound, Refused or ConnectionLost."""
        table = self._tables[operation.table]
        match operation:
            case Insert():
                row = await self._session.insert(table, self.draft.resolve(operation.values))
                self._made(table, operation.handle, row)
            case Copy():
                await self._copy(table, operation.rows)
            case Update():
                await self._update(table, operation)
            case Delete():
                await self._delete(table, operation)

    async def _copy(self, table: Table, rows: tuple[CopyRow, ...]) -> None:
        """Bulk-load; images come back in any order, and are matched by their keys."""
        if not rows:
            return
        values = [self.draft.resolve(row.values) for row in rows]
        columns = tuple(values[0])
        images = await self._session.copy(table, columns, [[v[c] for c in columns] for v in values])
        by_key = {key_of(image, table.key): image for image in images}
        for row, given in zip(rows, values, strict=True):
            key = tuple(given[column] or "" for column in table.key)
            if key not in by_key:
                raise Refused(f"the row {key} that COPY put into {table.name} is not there")
            self._made(table, row.handle, by_key[key])

    async def _update(self, table: Table, operation: Update) -> None:
        bound = self.draft.row(operation.handle)
        values = self.draft.resolve(operation.values)
        row = await self._session.update(table, dict(zip(table.key, bound.key, strict=True)), values)
        if row is not None:
            self.changes.append(_updated(table, bound.key, row))
            self.draft.became(operation.handle, table, row)

    async def _delete(self, table: Table, operation: Delete) -> None:
        bound = self.draft.row(operation.handle)
        self.draft.demand_childless(operation.handle, self._dependents)
        if await self._session.delete(table, dict(zip(table.key, bound.key, strict=True))):
            self.changes.append(Change(op="delete", key=row_key(table.name, bound.key)))
        self.draft.gone(operation.handle)

    def _made(self, table: Table, handle: str, row: RawRow) -> None:
        key = key_of(row, table.key)
        self.changes.append(Change(op="insert", key=row_key(table.name, key), row=to_image(row)))
        self.draft.made(handle, table, row)


def _updated(table: Table, was: Key, row: RawRow) -> Change:
    key = key_of(row, table.key)
    moved = None if key == was else row_key(table.name, was)
    return Change(op="update", key=row_key(table.name, key), was=moved, row=to_image(row))
