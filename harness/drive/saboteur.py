"""Performs a delete script on its operators' sessions; journals what a transaction did before its COMMIT.

A transaction that the database refuses (a deadlock, a row that came in between) is tried again a few times,
as an operator would; nothing of a refused try stays. When the database is gone, the script ends. After a
failover each operator goes on with what is not committed, or sends nothing more, as the plan says. One
whose connection a fault took away waits for the database and tries again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

from harness.drive.bindings import RowName
from harness.drive.damage import Damage
from harness.drive.doubts import Doubt
from harness.drive.drill import Drill
from harness.drive.ports import ConnectionLost, OperatorSession, Refused
from harness.model.history import Done, NotSent, Outcome, Sent
from harness.model.plan import Effect, Script, ScriptTransaction
from harness.model.values import Key

TRIES: Final = 5


class Saboteur:
    """Performs one script. ``on_damage`` is called as the first damaging COMMIT is about to be sent."""

    def __init__(self, drill: Drill, script: Script, on_damage: Callable[[], None]) -> None:
        self._drill = drill
        self._script = script
        self._on_damage = on_damage
        self._begun: set[str] = set()
        self.damage = Damage(self._present, drill.where.doubts.removing)

    async def perform(self, during: Literal["script", "restore"] = "script") -> None:
        """Perform the script to its end, or to the end of the database; operators work side by side."""
        work: dict[int, list[ScriptTransaction]] = {}
        for transaction in self._script.transactions:
            if transaction.during == during:
                work.setdefault(transaction.operator, []).append(transaction)
        async with asyncio.TaskGroup() as operators:
            for transactions in work.values():
                operators.create_task(self._operate(transactions))

    async def _operate(self, transactions: Sequence[ScriptTransaction]) -> None:
        operator = _Operator(self._drill, await self._drill.patiently(self._drill.world.database.operator))
        left = list(transactions)
        try:
            while left:
                await self._drill.clock.sleep(left[0].pause_s)
                await self._perform(operator, left[0])
                del left[0]
        except ConnectionLost as lost:
            self._drill.note(f"the script ended with its connection: {lost}")
            if operator.lost_primary:
                self._leave(left)
        finally:
            await operator.session.close()

    def _leave(self, transactions: Sequence[ScriptTransaction]) -> None:
        """Say what its operator does not send any more, after a failover."""
        journal, reason = self._drill.journal, "the operator's session was lost in a failover"
        for transaction in transactions:
            if transaction.name not in self._begun and not transaction.killed:
                journal.write(NotSent(at_s=journal.now_s(), name=transaction.name, reason=reason))

    async def _perform(self, operator: _Operator, transaction: ScriptTransaction) -> None:
        """Perform one transaction; raises ConnectionLost when there can be no further one."""
        for tried in range(1, TRIES + 1):
            try:
                outcome = await self._try(operator.session, transaction)
            except Refused as refused:
                await operator.reset()
                if tried == TRIES:
                    self._done(transaction, "refused", detail=f"tried {TRIES} times: {refused}")
                    return
                self._drill.note(f"{transaction.name} is tried again, it was refused: {refused}")
            except ConnectionLost as lost:
                disturbed = self._drill.disturbed
                self._done(transaction, "refused", detail=f"connection lost before COMMIT: {lost}")
                if not await operator.reset() and not disturbed:
                    return
            else:
                broken_off = outcome == "unknown" or transaction.killed
                if not (broken_off and await self._find_out(operator, transaction)):
                    return

    async def _find_out(self, operator: _Operator, transaction: ScriptTransaction) -> bool:
        """Make the session usable again; return whether a failover undid the transaction."""
        await self._drill.successor.ready()
        undone = self._was_undone(transaction)
        await operator.reset()
        return undone

    def learn(self) -> None:
        """Take into account what became known after the script: what was undone hit nobody.

        Nor did what seemed to take rows that were gone.
        """
        for transaction in self._script.transactions:
            self._was_undone(transaction)
        self.damage.learn(self._drill.where.doubts.committed)

    def _was_undone(self, transaction: ScriptTransaction) -> bool:
        undone = self._drill.successor.settled.pop(transaction.name, None) == "refused"
        if undone:
            at_s = self._drill.journal.now_s()
            done = Done(at_s=at_s, name=transaction.name, actor="script", tenant=None, outcome="refused")
            self.damage.done(transaction, done)
        return undone

    async def _try(self, session: OperatorSession, transaction: ScriptTransaction) -> Outcome:
        begun_s = self._drill.journal.now_s()
        await session.begin()
        await session.run(transaction)
        if transaction.killed:
            await session.break_off()
            return self._done(transaction, "refused", detail="killed before COMMIT, as planned")
        sent = await self._ready(session, transaction, begun_s)
        self._begun.add(transaction.name)
        self._drill.journal.write(sent)
        self._drill.where.doubts.sent(self._doubt(transaction, sent))
        if self.damage.sent(transaction, sent):
            self._on_damage()
        ack = await session.commit()
        return self._done(transaction, ack.outcome, lsn_upper=ack.lsn_upper, detail=ack.detail)

    async def _ready(
        self, session: OperatorSession, transaction: ScriptTransaction, begun_s: float
    ) -> Sent:
        """Read inside the transaction what it did, and its id and position."""
        effects = (*transaction.intended, *transaction.actual)
        sight, marked = await session.look(sorted({effect.tenant for effect in effects}))
        ready = await session.ready()
        return Sent(
            at_s=self._drill.journal.now_s(),
            name=transaction.name,
            actor="script",
            tenant=None,
            cluster=self._drill.where.cluster,
            xid=ready.xid,
            begun_s=begun_s,
            lsn_lower=ready.lsn_lower,
            changes=(*marked, *ready.changes),
            sight=sight,
        )

    def _done(
        self,
        transaction: ScriptTransaction,
        outcome: Outcome,
        *,
        lsn_upper: int | None = None,
        detail: str = "",
    ) -> Outcome:
        done = Done(
            at_s=self._drill.journal.now_s(),
            name=transaction.name,
            actor="script",
            tenant=None,
            outcome=outcome,
            lsn_upper=lsn_upper,
            detail=detail,
        )
        self._drill.journal.write(done)
        self._drill.where.doubts.done(done)
        self.damage.done(transaction, done)
        return outcome

    def _doubt(self, transaction: ScriptTransaction, sent: Sent) -> Doubt:
        """Return what would show that it committed: rows that it took, cells that it blanked."""
        left = sent.sight.left if sent.sight is not None else {}
        return Doubt(
            sent=sent,
            gone={tenant: self._gone(tenant, rows) for tenant, rows in left.items()},
            blanked={e.tenant: self._blanked(e) for e in transaction.actual if e.mode == "blank"},
        )

    def _gone(self, tenant: str, left: Mapping[str, Sequence[Key]]) -> frozenset[RowName]:
        known = self._drill.bindings[tenant].names(left)
        return frozenset((table, key) for table, key in known if key not in left[table])

    def _blanked(self, effect: Effect) -> dict[RowName, tuple[str, ...]]:
        """Return the columns that are not NULL yet, by row."""
        rows = self._drill.bindings[effect.tenant].rows
        return {
            (table, key): columns
            for table in effect.tables
            for key, cells in rows(table).items()
            if effect.keys is None or key in effect.keys
            if (columns := tuple(c for c in effect.columns if cells.get(c) is not None))
        }

    def _present(self, effect: Effect) -> set[RowName]:
        return set(self._drill.bindings[effect.tenant].names(effect.tables))


class _Operator:
    """An operator's session, and the failovers that it has lived through."""

    def __init__(self, drill: Drill, session: OperatorSession) -> None:
        self.session = session
        self._drill = drill
        self._failovers = drill.successor.count

    @property
    def lost_primary(self) -> bool:
        """Whether the primary that the session led to is gone."""
        return self._drill.successor.count > self._failovers

    async def reset(self) -> bool:
        """Make the session usable again; return whether it leads to another primary than before.

        Raises ConnectionLost when no database is there, or when the operator sends nothing to another one.
        """
        await self._drill.successor.ready()
        lost_primary = self.lost_primary
        if lost_primary and not self._drill.plan.script_goes_on:
            raise ConnectionLost("its operator sends nothing to the promoted standby")
        await self._drill.patiently(self.session.reset)
        self._failovers = self._drill.successor.count
        return lost_primary
