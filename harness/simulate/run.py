"""One simulated drill from plan to verdict, in milliseconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import msgspec

from harness.drive.journal import FolderJournal, MemoryJournal
from harness.drive.observer import Listed
from harness.drive.runner import run_drill
from harness.judge import judge
from harness.model.history import AnyEntry, StoredRow
from harness.model.plan import Plan
from harness.model.schema import Schema
from harness.model.stages import AnyStage
from harness.model.verdict import DrillVerdict
from harness.simulate.loop import VirtualClock, run
from harness.simulate.world import Parts, build


class Simulated(msgspec.Struct, frozen=True, kw_only=True):
    """What a simulated drill leaves behind: what a run folder would hold."""

    history: tuple[AnyEntry, ...]
    restored: dict[str, list[StoredRow]]
    traced: tuple[Iterable[AnyStage], ...] = ()

    def stages(self) -> Iterator[AnyStage]:
        """Yield what the stages held; it is read only now."""
        return chain.from_iterable(self.traced)


def simulate(plan: Plan, schema: Schema, parts: Parts | None = None) -> Simulated:
    """Run ``plan`` in memory; raises HarnessFailed when it can't be run to its end."""

    async def main() -> Simulated:
        journal = (parts or Parts()).journal(VirtualClock())
        await run_drill(plan, schema, build(plan, schema, parts), journal)
        return _left_by(journal)

    return run(main())


def _left_by(journal: MemoryJournal) -> Simulated:
    return Simulated(
        history=tuple(journal.entries), restored=journal.restored, traced=tuple(journal.traced)
    )


def simulate_series(plans: Sequence[Plan], schema: Schema) -> list[Simulated]:
    """Run plans one after the other in one world, as a campaign does on a warm stack."""

    async def main() -> list[Simulated]:
        world, listed = build(plans[0], schema), Listed()
        left = []
        for plan in plans:
            journal = MemoryJournal(VirtualClock())
            await run_drill(plan, schema, world, journal, listed=listed)
            left.append(_left_by(journal))
        return left

    return run(main())


def simulate_into(folder: Path, plan: Plan, schema: Schema, parts: Parts | None = None) -> None:
    """Run ``plan`` in memory, and write what it leaves into a run folder."""

    async def main() -> None:
        with FolderJournal(folder, VirtualClock(), {"host": "simulated"}) as journal:
            await run_drill(plan, schema, build(plan, schema, parts), journal)

    run(main())


def drill(plan: Plan, schema: Schema, parts: Parts | None = None) -> DrillVerdict:
    """Run ``plan`` in memory, with ``parts`` of the backup system replaced, and judge it."""
    left = simulate(plan, schema, parts)
    return judge(plan, schema, left.history, left.restored, stages=left.stages)
