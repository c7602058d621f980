"""The case: everything that checks look at, derived once from plan, schema, history and rows read back.

For each restore it holds the incident, the steps that may be in its state, those that must not, and the
solution. For each tenant it holds the same for its live rows at the end, where every committed step is
demanded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial

import msgspec

from harness.judge.copies import CopyJudged, judge_copies
from harness.judge.incidents import Incident, Incidents, barred_steps, steps_behind
from harness.judge.lines import Line, Stretch, draw
from harness.judge.losses import Loss, Needs, exposure_of, loss_of
from harness.judge.on_demand import OnDemand
from harness.judge.readings import Found, Readings, Restored, found, owned_keys
from harness.judge.settling import settle
from harness.judge.states import Solution, Step, solve
from harness.judge.takings import Taking, takings
from harness.judge.timeline import Restore, Timeline, Transaction, index
from harness.judge.witnesses import WitnessJudged, compare
from harness.model.folder import SHARED_FILE
from harness.model.history import CopyRestored, Entry, ReadBack, StoredRow, Witnessed
from harness.model.plan import Plan
from harness.model.schema import Schema, Table
from harness.model.values import Image, RowKey


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
    """All that checks look at.

    ``by_tenant``: the restores of each tenant, in order. ``gifts``: (giver, to) of what the script was to
    move. ``purges``: by tenant the transactions that removed what was marked.
    """

    plan: Plan
    schema: Schema
    timeline: Timeline
    lines: dict[str, Line]
    restores: tuple[Judged, ...]
    by_tenant: Mapping[str, list[Judged]]
    gifts: frozenset[tuple[str, str]]
    purges: Mapping[str, list[Transaction]]
    taken: Mapping[int, tuple[Taking, ...]]
    living: tuple[Living, ...]
    unowned: tuple[StoredRow, ...] | None
    owners: Mapping[RowKey, str]
    refused: Mapping[str, list[Transaction]]
    copies: tuple[CopyJudged, ...] = ()
    witnesses: tuple[WitnessJudged, ...] = ()

    def restores_of(self, tenant: str) -> list[Judged]:
        """Return the tenant's restores, in order."""
        return self.by_tenant.get(tenant, [])

    def damaged(self, tenant: str) -> bool:
        """Whether anything damaged the tenant."""
        return any(True for _ in self.lines[tenant].damage)

    def rightly_deleted(self, tenant: str) -> bool:
        """Whether the tenant was removed as intended, and not damaged."""
        return any(step.whole for step in self.lines[tenant].scripted) and not self.damaged(tenant)

    def gave(self, tenant: str) -> set[str]:
        """Return to whom the script was to give rows of ``tenant``."""
        return {to for giver, to in self.gifts if giver == tenant}

    def given_by(self, tenant: str) -> set[str]:
        """Return whose rows the script was to give to ``tenant``."""
        return {giver for giver, to in self.gifts if to == tenant}

    def purges_beside(self, judged: Judged) -> set[str]:
        """Return the purges that removed something while the tenant was restored in place."""
        if not judged.restore.in_place:
            return set()
        return {
            tx.name
            for tx in self.purges.get(judged.tenant, ())
            if tx.begun_s < judged.restore.done_s and judged.restore.began_s < tx.ended_s
        }

    def table(self, name: str) -> Table | None:
        """Return the table of that name, None when the schema has none."""
        return next((table for table in self.schema.tables if table.name == name), None)


def open_case(
    plan: Plan, schema: Schema, history: Iterable[Entry | Transaction], restored: Restored
) -> Case:
    """Derive everything that checks look at."""
    case = _opened(plan, schema, history, restored)
    return msgspec.structs.replace(case, witnesses=tuple(_witnesses(case, restored)))


def _opened(plan: Plan, schema: Schema, history: Iterable[Entry | Transaction], restored: Restored) -> Case:
    owned = owned_keys(schema)
    timeline = index(history, owned)
    settle(timeline, owned)
    readings = Readings(timeline, schema, restored)
    lines = _lines(draw(plan, schema, timeline, readings.rows_of), readings)
    needs, incidents = Needs(timeline), Incidents(lines, timeline)
    restores = tuple(
        _judge(restore, lines, timeline, readings, needs, incidents)
        for restore in timeline.restores
        if restore.asked.tenant in lines
    )
    taken = _taken(schema, lines, restores)
    refused = {judged.tenant for judged in restores if taken.get(judged.restore.number)}
    gifts = frozenset(_gifts(plan))
    judge_living = partial(_living, timeline=timeline, readings=readings, holding=_holding(gifts, lines))
    return Case(
        plan=plan,
        schema=schema,
        timeline=timeline,
        lines=lines,
        restores=restores,
        by_tenant=_by_tenant(restores),
        gifts=gifts,
        purges=_purges(plan, timeline),
        taken=taken,
        living=tuple(judge_living(line, rightly_refused=line.tenant in refused) for line in lines.values()),
        unowned=_unowned(timeline, restored),
        owners=OnDemand(lambda: _owners(lines)),
        refused=_refused(timeline),
        copies=judge_copies(timeline, lines, _copied(timeline, schema, restored)),
    )


def _lines(drawn: Iterable[Line], readings: Readings) -> dict[str, Line]:
    """Return the lines by tenant; live rows are looked at while it is known what they should be."""
    lines: dict[str, Line] = {}
    for line in drawn:
        lines[line.tenant] = line
        readings.of(0, line.tenant, line.live_rows)
    return lines


def _copied(timeline: Timeline, schema: Schema, restored: Restored) -> dict[str, dict[RowKey, Image]]:
    """Return the rows that came from copies of the bucket, by the file that holds them."""
    owned = owned_keys(schema)
    files = {entry.file: found(restored, entry.file, owned) for entry in timeline.of(CopyRestored)}
    return {
        file: {row: image for one in readings.values() for row, image in one.rows.items()}
        for file, readings in files.items()
        if readings is not None
    }


def _witnesses(case: Case, restored: Restored) -> Iterator[WitnessJudged]:
    """Yield what the second witness said, held against the restores that it was heard on."""
    by_number = {judged.restore.number: judged for judged in case.restores}
    for heard in case.timeline.of(Witnessed):
        judged = by_number.get(heard.restore)
        if not heard.file or judged is None:
            yield WitnessJudged(heard=heard, why_not=heard.detail or "it was held against no restore")
        elif case.purges_beside(judged):
            yield WitnessJudged(heard=heard, why_not="a reaper removed rows beside the restore")
        else:
            there = found(restored, heard.file, owned_keys(case.schema))
            yield _witnessed(heard, judged, there)


def _witnessed(heard: Witnessed, judged: Judged, readings: Mapping[int, Found] | None) -> WitnessJudged:
    if readings is None or judged.found is None:
        return WitnessJudged(heard=heard, why_not="what was read of it is not there", unread=True)
    witness = readings.get(heard.restore, Found(rows={}))
    return compare(heard, witness.rows, judged.found.rows, judged.solution, judged.restore.asked.cut)


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


def _by_tenant(restores: Iterable[Judged]) -> dict[str, list[Judged]]:
    by_tenant: dict[str, list[Judged]] = defaultdict(list)
    for judged in restores:
        by_tenant[judged.tenant].append(judged)
    return dict(by_tenant)


def _gifts(plan: Plan) -> Iterator[tuple[str, str]]:
    for script in plan.scripts:
        for tx in script.transactions:
            yield from ((effect.tenant, effect.to) for effect in tx.actual if effect.to is not None)


def _purges(plan: Plan, timeline: Timeline) -> dict[str, list[Transaction]]:
    """Return, by the tenant that was to be purged, the transactions that removed something."""
    planned = {
        tx.name: {effect.tenant for effect in tx.actual if effect.mode == "purge"}
        for script in plan.scripts
        for tx in script.transactions
    }
    purges: dict[str, list[Transaction]] = defaultdict(list)
    for tx in timeline.of_scripts:
        if tx.sight is not None and any(tx.sight.deleted.values()):
            for tenant in planned.get(tx.name, ()):
                purges[tenant].append(tx)
    return dict(purges)


def _refused(timeline: Timeline) -> dict[str, list[Transaction]]:
    """Return for each tenant the transactions that sent COMMIT and were refused."""
    refused: dict[str, list[Transaction]] = {}
    for tx in timeline.in_doubt:
        if tx.outcome == "refused" and tx.tenant is not None:
            refused.setdefault(tx.tenant, []).append(tx)
    return refused


def _judge(
    restore: Restore,
    lines: Mapping[str, Line],
    timeline: Timeline,
    readings: Readings,
    needs: Needs,
    incidents: Incidents,
) -> Judged:
    """Judge one restore by the history alone."""
    line, done_s = lines[restore.asked.tenant], restore.done_s
    stretch = line.before(restore)
    sent = [step for step in stretch.steps if step.tx.sent_s <= done_s]
    incident = incidents.of(sent, restore, stretch)
    barred = barred_steps(sent, incident)
    demanded = _others(sent, barred)
    behind = steps_behind(demanded, restore.asked.cut, incident, timeline)
    steps = _others(demanded, behind)
    there = readings.of(restore.number, line.tenant, line.rows) if restore.restored else None
    based = there is not None and _based(stretch, line, readings)
    solution = solve(steps, there.rows, known=stretch.known_of(steps)) if there and based else None
    return Judged(
        restore=restore,
        tenant=line.tenant,
        stretch=stretch,
        incident=incident,
        steps=steps,
        barred=barred + behind,
        found=there,
        solution=solution,
        loss=loss_of(solution, incident) if solution else None,
        exposure=exposure_of(demanded, incident, needs, timeline),
    )


def _others(steps: list[Step], out: Iterable[Step]) -> list[Step]:
    numbers = {id(step) for step in out}
    return [step for step in steps if id(step) not in numbers] if numbers else steps


def _based(stretch: Stretch, line: Line, readings: Readings) -> bool:
    """Whether it is known with which rows the stretch began."""
    return stretch.base is None or readings.of(stretch.base.number, line.tenant) is not None


def _is_damaged(stretch: Stretch) -> bool:
    return any(step.role == "damage" for step in stretch.steps)


def _holding(gifts: Iterable[tuple[str, str]], lines: Mapping[str, Line]) -> set[str]:
    """Return with whom rows are that the script gave them, since their own tenant did not come back."""
    return {to for giver, to in gifts if giver in lines and _is_damaged(lines[giver].live)}


def _living(
    line: Line, *, timeline: Timeline, readings: Readings, holding: Collection[str], rightly_refused: bool
) -> Living:
    """Judge a tenant's live rows at the end: everything committed since their base is demanded.

    ``rightly_refused``: it was not restored in place, as it should be: what the script did is there, too.
    ``holding``: who has rows still that the script gave them, since their own tenant did not come back.
    """
    stretch = line.live
    there = readings.of(0, line.tenant)
    if line.tenant in holding:
        why_not = "rows of another are with it, who was damaged and not restored in place since"
        return Living(tenant=line.tenant, stretch=stretch, found=there, why_not=why_not)
    why_not = _why_not(line, stretch, readings, timeline, rightly_refused=rightly_refused)
    if there is None or why_not:
        return Living(tenant=line.tenant, stretch=stretch, found=there, why_not=why_not or "not read")
    solution = solve(stretch.steps, there.rows, forced=True, known=stretch.known_of(stretch.steps))
    return Living(tenant=line.tenant, stretch=stretch, found=there, solution=solution)


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
    if _is_damaged(stretch) and not rightly_refused:
        return "it was damaged and not restored in place since"
    if stretch.fresh and any(
        r.asked.tenant == line.tenant and r.asked.place == "live" for r in timeline.restores
    ):
        return "its restore into the fresh cluster did not succeed"
    return ""
