"""Point 7: whoever has the bucket's credentials and no key changes nothing that a restore reads.

What restores read are the object versions that the subject named. Each must still be there, and locked in
COMPLIANCE mode. A restore that is refused or fails after an attack did something is told here as well as by
point 1; what it brought back is judged by the other points, attack or not. Outside the envelope a refusal
may be right, since a fault took what the restore would need: then it proves nothing of the attack.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.judge.case import Case, Judged
from harness.judge.check import Check, unknown
from harness.judge.demands import owed
from harness.model.history import Attacked, Lock, LocksSeen
from harness.model.verdict import Finding

NAME = "untampered"
MODE = "COMPLIANCE"


def _run(case: Case) -> Iterator[Finding]:
    acts = case.timeline.of(Attacked)
    yield from _not_made(case, acts)
    for seen in case.timeline.of(LocksSeen):
        for lock in seen.locks:
            if why := _unlocked(lock):
                yield _broken(f"{lock.key} (version {lock.version}), which restores need, {why}")
    for judged in case.restores:
        before = [a for a in acts if not a.refused and a.at_s < judged.restore.began_s]
        rightly_refused = bool(case.taken.get(judged.restore.number)) or not owed(case, judged)
        answered = judged.restore.done is not None and not judged.restore.restored
        if before and answered and not rightly_refused:
            yield _stopped(case, judged, before[-1])


def _not_made(case: Case, acts: Sequence[Attacked]) -> Iterator[Finding]:
    """An attack that was not made proves nothing; nor does one on a bucket whose locks were not seen."""
    made = {entry.attack for entry in acts}
    for number, attack in enumerate(case.plan.attacks):
        if number not in made:
            yield unknown(NAME, f"attack {number} ({attack.kind}) was never made")
    if made and not case.timeline.of(LocksSeen):
        yield unknown(NAME, "what is left of the locks was not looked at")


def _unlocked(lock: Lock) -> str:
    if not lock.there:
        return "is gone"
    if lock.mode != MODE:
        return f"is locked in mode {lock.mode}" if lock.mode else "is not locked"
    return "" if lock.left_s > 0 else f"is locked no longer, since {-lock.left_s:.0f} s"


def _stopped(case: Case, judged: Judged, act: Attacked) -> Finding:
    done = judged.restore.done
    result, detail = (done.result, done.detail) if done else ("was not answered", "")
    message = f"after somebody did {act.act} {act.key} ({act.answer}), the restore {result}: {detail}"
    if case.plan.outside and result == "refused":
        why = f"{message} (outside the envelope it may be right)"
        return unknown(NAME, why, tenant=judged.tenant, restore=judged.restore.number)
    return _broken(message, tenant=judged.tenant, restore=judged.restore.number)


def _broken(message: str, *, tenant: str | None = None, restore: int | None = None) -> Finding:
    return Finding(check=NAME, point=7, verdict="broken", message=message, tenant=tenant, restore=restore)


CHECK = Check(name=NAME, point=7, run=_run)
