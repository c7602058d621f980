"""The case: everything that checks look at, derived once from plan, schema, history and rows read back.

For each restore it holds the incident, the steps that may be in its state, those that must not, and the
solution. For each tenant it holds the same for its live rows at the end, where every committed step is
demanded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from harness.judge.copies import CopyJudged, judge_copies
from harness.judge.incidents import Incident, barred_steps, incident_of
from harness.judge.lines import Line, Stretch, draw
from harness.judge.losses import Loss, Needs, exposure_of, loss_of
from harness.judge.settling import settle
from harness.judge.states import RowKey, Solution, Step, solve
from harness.judge.takings import Taking, takings
from harness.judge.timeline import Restore, Timeline, Transaction, index
from harness.model.folder import SHARED_FILE
from harness.model.history import CopyRestored, Entry, ReadBack, StoredRow
from harness.model.plan import Plan
from harness.model.schema import Schema, Table
from harness.model.values import Row, key_of

Restored = Mapping[str, Sequence[StoredRow]]
"""Rows read back, by the file of the run folder that holds them."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of one reading by key; ``repeated`` keys came twice, ``foreign`` rows are of no owned table."""

    rows: dict[RowKey, Row]
    repeated: tuple[RowKey, ...] = ()
    foreign: tuple[StoredRow, ...] = ()


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One restore with all that follows from the history about it.

    ``barred``: steps that must not be in its state. ``found`` and ``solution`` are None when it brought
    nothing back that could be read. ``loss`` is None likewise; ``exposure`` when no needs were named.
    """

    restore: Restore
    tenant: str
    stretch: Stretch
    incident: Incident
    steps: list[Step]
    barred: list[Step]
    found: Found | None
    solution: Solution | None
    loss: Loss | None
    exposure: Loss | None


class Living(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's live rows at the end, or ``why_not``: the reason why they can't be judged."""

    tenant: str
    stretch: Stretch
    found: Found | None = None
    solution: Solution | None = None
    why_not: str = ""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """All that checks look at."""

    plan: Plan
    schema: Schema
    timeline: Timeline
    lines: dict[str, Line]
    restores: tuple[Judged, ...]
    taken: Mapping[int, tuple[Taking, ...]]
    living: tuple[Living, ...]
    unowned: tuple[StoredRow, ...] | None
    owners: Mapping[RowKey, str]
    refused: Mapping[str, list[Transaction]]
    copies: tuple[CopyJudged, ...] = ()

    def restores_of(self, tenant: str) -> list[Judged]:
        """Return the tenant's restores, in order."""
        return [judged for judged in self.restores if judged.tenant == tenant]

    def damaged(self, tenant: str) -> bool:
        """Whether anything damaged the tenant."""
        return any(True for _ in self.lines[tenant].damage)

    def rightly_deleted(self, tenant: str) -> bool:
        """Whether the tenant was removed as intended, and not damaged."""
        stretches = self.lines[tenant].stretches
        whole = any(step.whole for stretch in stretches for step in stretch.steps)
        return whole and not self.damaged(tenant)

    def gave(self, tenant: str) -> set[str]:
        """Return to whom the script was to give rows of ``tenant``."""
        return {to for giver, to in self._gifts() if giver == tenant}

    def given_by(self, tenant: str) -> set[str]:
        """Return whose rows the script was to give to ``tenant``."""
        return {giver for giver, to in self._gifts() if to == tenant}

    def purges_beside(self, judged: Judged) -> set[str]:
        """Return the purges that removed something while the tenant was restored in place."""
        planned = {
            tx.name
            for script in self.plan.scripts
            for tx in script.transactions
            if any(e.mode == "purge" and e.tenant == judged.tenant for e in tx.actual)
        }
        if not planned or not judged.restore.in_place:
            return set()
        return {
            tx.name
            for tx in self.timeline.transactions
            if tx.name in planned
            and tx.begun_s < judged.restore.done_s
            and judged.restore.began_s < tx.ended_s
            and tx.sight is not None
            and any(tx.sight.deleted.values())
        }

    def _gifts(self) -> Iterator[tuple[str, str]]:
        for script in self.plan.scripts:
            for tx in script.transactions:
                yield from ((effect.tenant, effect.to) for effect in tx.actual if effect.to is not None)

    def table(self, name: str) -> Table | None:
        """Return the table of that name, None when the schema has none."""
        return next((table for table in self.schema.tables if table.name == name), None)


def open_case(plan: Plan, schema: Schema, history: Iterable[Entry], restored: Restored) -> Case:
    """Derive everything that checks look at."""
    timeline = settle(index(history), {table.name: table for table in schema.owned})
    readings = _readings(timeline, schema, restored)
    rows = {reading: found.rows for reading, found in readings.items()}
    lines = draw(plan, schema, timeline, rows)
    needs = Needs(timeline)
    restores = tuple(
        _judge(restore, lines, timeline, readings, needs)
        for restore in timeline.restores
        if restore.asked.tenant in lines
    )
    taken = _taken(schema, lines, restores)
    refused = {judged.tenant for judged in restores if taken.get(judged.restore.number)}
    return Case(
        plan=plan,
        schema=schema,
        timeline=timeline,
        lines=lines,
        restores=restores,
        taken=taken,
        living=tuple(
            _living(line, timeline, readings, rightly_refused=line.tenant in refused)
            for line in lines.values()
        ),
        unowned=_unowned(timeline, restored),
        owners=_owners(lines),
        refused=_refused(timeline),
        copies=judge_copies(timeline, lines, _copied(timeline, schema, restored)),
    )


Readings = dict[tuple[int, str], Found]


def _readings(timeline: Timeline, schema: Schema, restored: Restored) -> Readings:
    """Return what was found in each reading whose rows are there, by restore and tenant."""
    tables = {table.name: table for table in schema.owned}
    by_restore: dict[str, dict[int, list[StoredRow]]] = {}
    for file, rows in restored.items():
        numbered = by_restore.setdefault(file, {})
        for row in rows:
            numbered.setdefault(row.restore, []).append(row)
    return {
        (entry.restore, entry.tenant): _found(by_restore[entry.file].get(entry.restore, ()), tables)
        for entry in timeline.of(ReadBack)
        if entry.file in by_restore
    }


def _copied(timeline: Timeline, schema: Schema, restored: Restored) -> dict[str, dict[RowKey, Row]]:
    """Return the rows that came from copies of the bucket, by the file that holds them."""
    tables = {table.name: table for table in schema.owned}
    files = [entry.file for entry in timeline.of(CopyRestored)]
    return {file: _found(restored[file], tables).rows for file in files if file in restored}


def _found(rows: Iterable[StoredRow], tables: Mapping[str, Table]) -> Found:
    found: dict[RowKey, Row] = {}
    repeated, foreign = [], []
    for stored in rows:
        if stored.table not in tables:
            foreign.append(stored)
            continue
        row = (stored.table, key_of(stored.row, tables[stored.table].key))
        if row in found:
            repeated.append(row)
        found[row] = stored.row
    return Found(rows=found, repeated=tuple(repeated), foreign=tuple(foreign))


def _unowned(timeline: Timeline, restored: Restored) -> tuple[StoredRow, ...] | None:
    """Return the rows of nobody, None when the history breaks off before the final reading."""
    read = any(entry.restore == 0 for entry in timeline.of(ReadBack))
    rows = restored.get(SHARED_FILE) if read else None
    return None if rows is None else tuple(row for row in rows if row.restore == 0)


def _owners(lines: Mapping[str, Line]) -> dict[RowKey, str]:
    """Return for each row ever written the tenant that wrote it first."""
    owners: dict[RowKey, str] = {}
    for line in lines.values():
        for stretch in line.stretches:
            for step in stretch.steps:
                if step.role == "own":
                    for row in step.writes:
                        owners.setdefault(row, line.tenant)
    return owners


def _refused(timeline: Timeline) -> dict[str, list[Transaction]]:
    """Return for each tenant the transactions that sent COMMIT and were refused."""
    refused: dict[str, list[Transaction]] = {}
    for tx in timeline.transactions:
        if tx.outcome == "refused" and tx.tenant is not None:
            refused.setdefault(tx.tenant, []).append(tx)
    return refused


def _judge(
    restore: Restore,
    lines: Mapping[str, Line],
    timeline: Timeline,
    readings: Readings,
    needs: Needs,
) -> Judged:
    """Judge one restore by the history alone."""
    line = lines[restore.asked.tenant]
    stretch = line.before(restore)
    sent = [step for step in stretch.steps if step.tx.sent_s <= restore.done_s]
    incident = incident_of(sent, restore, stretch, lines, timeline)
    barred = barred_steps(sent, incident)
    numbers = {id(step) for step in barred}
    steps = [step for step in sent if id(step) not in numbers]
    found = readings.get((restore.number, line.tenant)) if restore.restored else None
    solution = solve(steps, found.rows) if found and _based(stretch, line, readings) else None
    return Judged(
        restore=restore,
        tenant=line.tenant,
        stretch=stretch,
        incident=incident,
        steps=steps,
        barred=barred,
        found=found,
        solution=solution,
        loss=loss_of(solution, incident) if solution else None,
        exposure=exposure_of(steps, incident, needs, timeline),
    )


def _based(stretch: Stretch, line: Line, readings: Readings) -> bool:
    """Whether it is known with which rows the stretch began."""
    return stretch.base is None or (stretch.base.number, line.tenant) in readings


def _living(line: Line, timeline: Timeline, readings: Readings, *, rightly_refused: bool) -> Living:
    """Judge a tenant's live rows at the end: everything committed since their base is demanded.

    ``rightly_refused``: it was not restored in place, as it should be: what the script did is there, too.
    """
    stretch = line.live
    found = readings.get((0, line.tenant))
    why_not = _why_not(line, stretch, readings, timeline, rightly_refused=rightly_refused)
    if found is None or why_not:
        return Living(tenant=line.tenant, stretch=stretch, found=found, why_not=why_not or "not read")
    solution = solve(stretch.steps, found.rows, forced=True)
    return Living(tenant=line.tenant, stretch=stretch, found=found, solution=solution)


def _taken(
    schema: Schema, lines: Mapping[str, Line], restores: Iterable[Judged]
) -> dict[int, tuple[Taking, ...]]:
    """Return, by restore, what was in the way of those that were refused in place."""
    return {
        judged.restore.number: tuple(takings(schema, lines, judged.restore, judged.steps))
        for judged in restores
        if judged.restore.refused and judged.restore.asked.place == "live"
    }


def _why_not(
    line: Line, stretch: Stretch, readings: Readings, timeline: Timeline, *, rightly_refused: bool
) -> str:
    if not _based(stretch, line, readings):
        return "what its restore in place had made was not read back"
    if any(step.role == "damage" for step in stretch.steps) and not rightly_refused:
        return "it was damaged and not restored in place since"
    wanted = any(r.asked.tenant == line.tenant and r.asked.place == "live" for r in timeline.restores)
    if stretch.fresh and wanted:
        return "its restore into the fresh cluster did not succeed"
    return ""
