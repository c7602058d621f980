"""Point 1: the subject says that the tenant is back.

A restore that is refused or fails gives nothing back.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.judge.case import Case, Judged
from harness.judge.check import Check, unknown
from harness.model.verdict import Finding


def _run(case: Case) -> Iterator[Finding]:
    for judged in case.restores:
        if not judged.restore.restored:
            yield _not_restored(judged)


def _not_restored(judged: Judged) -> Finding:
    done, number = judged.restore.done, judged.restore.number
    if done is None:
        message = "the restore was never answered"
        return unknown("restored", message, tenant=judged.tenant, restore=number)
    return Finding(
        check="restored",
        point=1,
        verdict="broken",
        message=f"the restore {'was refused' if done.result == 'refused' else 'failed'}: {done.detail}",
        tenant=judged.tenant,
        restore=number,
    )


CHECK = Check(name="restored", point=1, run=_run)
