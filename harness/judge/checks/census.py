"""Every tenant of the census is restored, read back, and read again at the end, or has no verdict."""

from __future__ import annotations

from collections.abc import Iterator

from harness.judge.case import Case
from harness.judge.check import Check, unknown
from harness.judge.readings import Found
from harness.model.history import ReadBack
from harness.model.verdict import Finding

NAME = "census"


def _run(case: Case) -> Iterator[Finding]:
    for tenant in case.lines:
        if not case.restores_of(tenant):
            yield unknown(NAME, "no restore of it was tried", tenant=tenant)
    for judged in case.restores:
        if judged.restore.restored and judged.solution is None:
            message = "its rows, or those it goes on from, were not read back"
            yield unknown(NAME, message, tenant=judged.tenant, restore=judged.restore.number)
        elif judged.restore.read_back and judged.found:
            yield from _torn(judged.restore.read_back, judged.found)
    for living in case.living:
        if living.why_not:
            message = f"its live rows at the end can't be judged: {living.why_not}"
            yield unknown(NAME, message, tenant=living.tenant, restore=0)


def _torn(entry: ReadBack, found: Found) -> Iterator[Finding]:
    stored = len(found.rows) + len(found.repeated) + len(found.foreign)
    if stored != entry.rows:
        message = f"{entry.file} holds {stored} of the {entry.rows} rows that were read back"
        yield unknown(NAME, message, tenant=entry.tenant, restore=entry.restore)


CHECK = Check(name=NAME, point=0, run=_run)
