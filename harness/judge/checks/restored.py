"""Points 1 and 6: the subject says that the tenant is back.

A restore that is refused or fails gives nothing back. One in place has to be refused, though, where
somebody has taken a natural key of the tenant's: then it must name both rows, and beside it must work.
One may be refused, too, where nothing of the tenant had to be in the archive yet; that proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.judge.case import Case, Judged
from harness.judge.check import Check, unknown
from harness.judge.demands import owed
from harness.judge.takings import Taking
from harness.model.verdict import Finding


def _run(case: Case) -> Iterator[Finding]:
    for judged in case.restores:
        if taken := case.taken.get(judged.restore.number):
            yield from _refused(case, judged, taken)
        elif not judged.restore.restored:
            yield _not_restored(case, judged)


def _refused(case: Case, judged: Judged, taken: Sequence[Taking]) -> Iterator[Finding]:
    """Judge a refusal that was right."""
    detail = judged.restore.done.detail if judged.restore.done else ""
    if not any(one.named_in(detail) for one in taken):
        yield _broken(judged, f"the refusal does not name both rows of {taken[0]}: {detail}")
    others = case.restores_of(judged.tenant)
    later = [j for j in others if j.restore.number > judged.restore.number]
    beside = [j for j in later if j.restore.asked.place == "scratch"]
    if not beside:
        message = "nobody tried to restore it beside"
        yield unknown("restored", message, tenant=judged.tenant, restore=judged.restore.number)


def _broken(judged: Judged, message: str) -> Finding:
    return Finding(
        check="restored",
        point=6,
        verdict="broken",
        message=message,
        tenant=judged.tenant,
        restore=judged.restore.number,
    )


def _not_restored(case: Case, judged: Judged) -> Finding:
    done, number = judged.restore.done, judged.restore.number
    if done is None:
        message = "the restore was never answered"
        return unknown("restored", message, tenant=judged.tenant, restore=number)
    if done.result == "refused" and not owed(case, judged):
        message = f"nothing of it had to be in the archive yet, and the restore was refused: {done.detail}"
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
