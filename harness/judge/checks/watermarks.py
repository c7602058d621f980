"""Point 8: what lay at or before a watermark that the plan has checked is in a copy made right after it.

A host that can't copy is no fault of the system: the verdict tells how many watermarks were not judged.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.judge.case import Case
from harness.judge.check import Check, unknown
from harness.judge.copies import CopyJudged
from harness.model.history import CopiesRefused
from harness.model.values import table_and_key
from harness.model.verdict import Finding

NAME = "watermarks"


def _run(case: Case) -> Iterator[Finding]:
    if not case.timeline.of(CopiesRefused):
        yield from _not_made(case)
    for judged in case.copies:
        if judged.unread:
            where = f"copy {judged.restored.copy}"
            yield unknown(NAME, f"what came from {where} was not read", tenant=judged.restored.tenant)
        elif judged.lacking:
            yield _finding(judged)


def _not_made(case: Case) -> Iterator[Finding]:
    made = {(judged.restored.copy, judged.restored.tenant) for judged in case.copies}
    for number, check in enumerate(case.plan.watermark_checks):
        for tenant in check.tenants:
            if (number, tenant) not in made:
                yield unknown(NAME, f"watermark {number} was not checked by a restore", tenant=tenant)


def _finding(judged: CopyJudged) -> Finding:
    restored, step = judged.restored, judged.lacking[0]
    table, key = table_and_key(next(iter(step.writes)))
    why = "" if restored.result == "restored" else f" ({restored.result}: {restored.detail})"
    return Finding(
        check=NAME,
        point=8,
        verdict="broken",
        message=f"{step.tx.name} lay before the watermark {judged.watermark}, and is not in copy"
        f" {restored.copy} of the bucket, made after it was reported{why}",
        tenant=restored.tenant,
        table=table,
        key=key,
        operation=step.tx.name,
    )


CHECK = Check(name=NAME, point=8, run=_run)
