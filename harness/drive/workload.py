"""All writers of all tenants: the initial load, the writing, who stops and who goes on, and the probes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from harness.drive.crew import Crew
from harness.drive.drill import Drill
from harness.drive.performer import Performer
from harness.drive.ports import Session
from harness.drive.writer import Gate, Writer
from harness.model.errors import HarnessFailed
from harness.model.history import WriterEnded
from harness.model.operations import Transaction
from harness.model.plan import TenantPlan

SESSIONS_AT_ONCE: Final = 8
"""How many sessions load, or connect, at the same time."""


async def load(drill: Drill) -> None:
    """Load shared rows, then all tenants side by side; raises HarnessFailed for a part not acknowledged."""
    session = await drill.world.database.session("load")
    try:
        await _load(session, drill.performer("shared", None), drill.plan.shared)
    finally:
        await session.close()
    left = list(reversed(drill.plan.tenants))
    async with Crew() as crew:
        loaders = min(SESSIONS_AT_ONCE, len(left))
        await asyncio.gather(*(crew.go(_load_tenants(drill, left), f"load {n}") for n in range(loaders)))


async def _load_tenants(drill: Drill, left: list[TenantPlan]) -> None:
    session = await drill.world.database.session("load")
    try:
        while left:
            tenant = left.pop()
            await _load(session, drill.performer("load", tenant.tenant), tenant.initial)
    finally:
        await session.close()


async def _load(session: Session, performer: Performer, transactions: Iterable[Transaction]) -> None:
    for transaction in transactions:
        performed = await performer.perform(session, transaction)
        if performed != "acked" and transaction.commit:
            raise HarnessFailed(
                f"{transaction.name} of the initial load was {performed}",
                cure="read its outcome in history.jsonl: schema.toml or the plan does not fit the database",
            )


class Workload:
    """The writers of one drill. They start with ``start``, and stop and go on tenant by tenant."""

    def __init__(self, drill: Drill) -> None:
        self._drill = drill
        self._gates = {tenant.tenant: Gate() for tenant in drill.plan.tenants}
        self._writers: list[Writer] = []
        self._tasks: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._quiet: list[Writer] = []
        self._probes = {tenant.tenant: iter(tenant.probes) for tenant in drill.plan.tenants}

    async def start(self, crew: Crew) -> None:
        """Connect all writers, then let them write together."""
        mine = [(tenant, n) for tenant in self._drill.plan.tenants for n in range(len(tenant.writers))]
        made = [(tenant, n, self._writer(tenant, n)) for tenant, n in mine]
        await _connect(self._drill, [writer for _, _, writer in made])
        for tenant, n, writer in made:
            self._tasks[tenant.tenant, n] = crew.go(self._run(tenant.tenant, n, writer), writer.name)
        self.go_on(tenant.tenant for tenant in self._drill.plan.tenants)

    def _writer(self, tenant: TenantPlan, number: int) -> Writer:
        writer = Writer(
            f"writer {tenant.tenant}.{number}",
            tenant.writers[number],
            self._drill.performer("writer", tenant.tenant),
            self._gates[tenant.tenant],
            held_from=tenant.write_counts[number] if tenant.quiet else None,
            lost_s_max=self._drill.plan.limits.settle_s,
        )
        self._writers.append(writer)
        if tenant.quiet:
            self._quiet.append(writer)
        return writer

    async def _run(self, tenant: str, number: int, writer: Writer) -> None:
        await writer.run(self._drill.world.database, self._drill.clock)
        self._ended(tenant, number, ran_dry=True)

    def _ended(self, tenant: str, writer: int, *, ran_dry: bool) -> None:
        journal = self._drill.journal
        journal.write(WriterEnded(at_s=journal.now_s(), tenant=tenant, writer=writer, ran_dry=ran_dry))

    def end_quiet(self) -> None:
        """Let quiet tenants write again: the incident is over."""
        for writer in self._quiet:
            writer.let_go()

    async def stop(self, tenants: Iterable[str]) -> None:
        """Stop these tenants' writers; return when what they had begun is finished."""
        gates = [self._gates[tenant] for tenant in tenants]
        for gate in gates:
            gate.close()
        for gate in gates:
            await self._drill.within(
                self._drill.plan.limits.settle_s, "running transactions of stopped writers end", gate.idle()
            )

    def go_on(self, tenants: Iterable[str]) -> None:
        """Let these tenants' writers go on with their next transaction."""
        for tenant in tenants:
            self._gates[tenant].open()

    async def stop_all(self) -> None:
        """Stop all writers, of a primary that is gone: they have to connect to what comes in its place."""
        await self.stop(self._gates)
        for writer in self._writers:
            writer.lose()

    def go_on_all(self) -> None:
        """Let all writers go on, each once it is connected again."""
        self.go_on(self._gates)

    async def end(self) -> None:
        """Stop all writers for good, after their running transactions."""
        await self.stop(self._gates)
        for (tenant, number), task in self._tasks.items():
            if not task.done():
                task.cancel()
                self._ended(tenant, number, ran_dry=False)
        if self._tasks:
            await asyncio.wait(self._tasks.values())

    async def take(self) -> None:
        """Let tenants take what the script left free."""
        for tenant in self._drill.plan.tenants:
            for transaction in tenant.takes:
                session = await self._drill.world.database.session(f"taker {tenant.tenant}")
                try:
                    performer = self._drill.performer("writer", tenant.tenant)
                    await performer.perform(session, transaction)
                finally:
                    await session.close()

    async def probe(self, tenant: str) -> None:
        """Perform the next of a tenant's probes, if it has one left."""
        probe = next(self._probes[tenant], None)
        if probe is None:
            return
        session = await self._drill.world.database.session(f"probe {tenant}")
        try:
            await self._drill.performer("probe", tenant).perform(session, probe)
        finally:
            await session.close()


async def _connect(drill: Drill, writers: Sequence[Writer]) -> None:
    """Open the sessions of all writers, a few at a time."""
    left = list(reversed(writers))

    async def some() -> None:
        while left:
            await left.pop().connect(drill.world.database)

    await asyncio.gather(*(some() for _ in range(SESSIONS_AT_ONCE)))
