"""Point 3: a restore in place sets aside, value for value, each row that the application wrote after the
cut.

Demanded are rows that were certainly there when the restore began: the last step on the row is a committed
one of the application, and it is not in the restored state. A row of somebody else must not be set aside,
unless the script had given it to the tenant; then its own tenant finds it set aside already. What a reaper
purged beside the restore is not there to be set aside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress

from harness.judge.case import Case, Judged
from harness.judge.check import Check
from harness.judge.states import Solution, Step
from harness.model.history import SetAside
from harness.model.values import Row, RowKey, key_of, row_key, row_of, table_and_key, table_of
from harness.model.verdict import Finding

NAME = "set aside"


def _run(case: Case) -> Iterator[Finding]:
    for judged in case.restores:
        done = judged.restore.done
        if judged.restore.in_place and judged.solution is not None and done is not None:
            yield from _not_set_aside(
                case, judged, judged.solution, (*done.set_aside, *_before(case, judged))
            )
            yield from _of_others(case, judged, done.set_aside)


def _before(case: Case, judged: Judged) -> Iterator[SetAside]:
    """Yield what restores of tenants who had been given rows of this one have set aside already."""
    receivers = case.gave(judged.tenant)
    for other in case.restores if receivers else ():
        if other.tenant in receivers and other.restore.done_s <= judged.restore.began_s:
            yield from other.restore.done.set_aside if other.restore.done else ()


def _not_set_aside(
    case: Case, judged: Judged, solution: Solution, set_aside: tuple[SetAside, ...]
) -> Iterator[Finding]:
    aside: dict[str, list[Row]] = {}
    for moved in set_aside:
        aside.setdefault(moved.table, []).append(moved.row)
    inside = set(map(id, compress(solution.steps, solution.inside)))
    outside = [step for step in judged.stretch.steps if id(step) not in inside]
    for row, step in _there(case, judged, outside).items():
        image = step.writes[row]
        if id(step) not in inside and image and row_of(image) not in aside.get(table_of(row), ()):
            yield _finding(judged, row, f"row written by {step.tx.name} after the cut is gone", step)


def _there(case: Case, judged: Judged, outside: Sequence[Step]) -> dict[RowKey, Step]:
    """Return the rows that the application wrote and that were certainly there when the restore began.

    Told are rows that steps ``outside`` of the restored state wrote; nobody asks for others.
    """
    there: dict[RowKey, Step] = {}
    asked = {row for step in outside if step.role == "own" for row in step.writes}
    hit, here = judged.incident.tx, judged.restore.asked.cluster
    if case.purges_beside(judged):
        return there
    if hit is None or not case.timeline.same_rows(hit.cluster, here):
        return there
    for step in judged.stretch.steps if asked else ():
        for row, image in () if asked.isdisjoint(step.writes) else step.writes.items():
            if row not in asked:
                continue
            certain = step.tx.ended_s < judged.restore.began_s and row not in step.maybe
            if step.role == "own" and image is not None and certain:
                there[row] = step
            else:
                there.pop(row, None)
    return there


def _of_others(case: Case, judged: Judged, set_aside: tuple[SetAside, ...]) -> Iterator[Finding]:
    for moved in set_aside:
        table = case.table(moved.table)
        row = row_key(moved.table, key_of(moved.row, table.key) if table else ())
        owner = case.owners.get(row, judged.tenant)
        known = {judged.tenant, *case.given_by(judged.tenant)}
        if owner not in known and not _wrote(case, judged.tenant, row):
            yield _finding(judged, row, f"row of tenant {owner} was set aside", None)


def _wrote(case: Case, tenant: str, row: RowKey) -> bool:
    """Whether the tenant wrote ``row`` too: a fresh cluster gives ids of lost rows again, to anybody."""
    return any(row in step.writes for stretch in case.lines[tenant].stretches for step in stretch.steps)


def _finding(judged: Judged, row: RowKey, message: str, step: Step | None) -> Finding:
    table, key = table_and_key(row)
    return Finding(
        check=NAME,
        point=3,
        verdict="broken",
        message=f"{message}; it was not set aside" if step else message,
        tenant=judged.tenant,
        restore=judged.restore.number,
        table=table,
        key=key,
        operation=step.tx.name if step else None,
    )


CHECK = Check(name=NAME, point=3, run=_run)
