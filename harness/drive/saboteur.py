"""Performs a delete script on its operators' sessions; journals what a transaction did before its COMMIT.

A transaction that the database refuses (a deadlock, a row that came in between) is tried again a few times,
as an operator would; nothing of a refused try stays. When the database is gone, the script ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from harness.drive.bindings import RowName
from harness.drive.damage import Damage
from harness.drive.drill import Drill
from harness.drive.ports import ConnectionLost, OperatorSession, Refused
from harness.model.history import Done, Outcome, Sent
from harness.model.plan import Effect, Script, ScriptTransaction

TRIES: Final = 5


class Saboteur:
    """Performs one script. ``on_damage`` is called as the first damaging COMMIT is about to be sent."""

    def __init__(self, drill: Drill, script: Script, on_damage: Callable[[], None]) -> None:
        self._drill = drill
        self._script = script
        self._on_damage = on_damage
        self.damage = Damage(self._present)

    async def perform(self) -> None:
        """Perform the script to its end, or to the end of the database; operators work side by side."""
        work: dict[int, list[ScriptTransaction]] = {}
        for transaction in self._script.transactions:
            work.setdefault(transaction.operator, []).append(transaction)
        async with asyncio.TaskGroup() as operators:
            for transactions in work.values():
                operators.create_task(self._operate(transactions))

    async def _operate(self, transactions: Sequence[ScriptTransaction]) -> None:
        session = await self._drill.world.database.operator()
        try:
            for transaction in transactions:
                await self._drill.clock.sleep(transaction.pause_s)
                await self._perform(session, transaction)
        except ConnectionLost as lost:
            self._drill.note(f"the script ended with its connection: {lost}")
        finally:
            await session.close()

    async def _perform(self, session: OperatorSession, transaction: ScriptTransaction) -> None:
        """Perform one transaction; raises ConnectionLost when there can be no further one."""
        for tried in range(1, TRIES + 1):
            try:
                outcome = await self._try(session, transaction)
            except Refused as refused:
                await session.reset()
                if tried == TRIES:
                    self._done(transaction, "refused", detail=f"tried {TRIES} times: {refused}")
                    return
                self._drill.note(f"{transaction.name} is tried again, it was refused: {refused}")
            except ConnectionLost as lost:
                self._done(transaction, "refused", detail=f"connection lost before COMMIT: {lost}")
                await session.reset()
                return
            else:
                if outcome == "unknown" or transaction.killed:
                    await session.reset()
                return

    async def _try(self, session: OperatorSession, transaction: ScriptTransaction) -> Outcome:
        begun_s = self._drill.journal.now_s()
        await session.begin()
        await session.run(transaction)
        if transaction.killed:
            await session.break_off()
            return self._done(transaction, "refused", detail="killed before COMMIT, as planned")
        sent = await self._ready(session, transaction, begun_s)
        self._drill.journal.write(sent)
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
        self.damage.done(transaction, done)
        return outcome

    def _present(self, effect: Effect) -> set[RowName]:
        return set(self._drill.bindings[effect.tenant].names(effect.tables))
