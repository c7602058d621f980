"""Point 5: no transaction of an untouched neighbour is refused, or fails, while somebody else is restored.

Neighbours never conflict among themselves, so whatever refused theirs was the restore. Not counted are
tenants that the script hit, those to whom it gave rows of others (these may be in the way of theirs), and
those that came back with less than they had: rows that their writers name may be gone. Nor is a transaction
that began on a cluster destroyed since, or before a restore was seen to have rebuilt what the script had
dropped. Nor is one that a fault met which blocks commits: one of its own time, or, if the connection turned
out to be lost, one since that connection was heard of last. Each writer has one such transaction at most.

Serializable ones do conflict, and are tried again: a try that did is not counted if another serializable
one ran at its time. If none did, it met the restore.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from harness.judge.blocking import windows
from harness.judge.case import Case
from harness.judge.check import Check
from harness.judge.reshaping import rebuilt_s
from harness.judge.timeline import NEVER, Restore
from harness.model.history import Done
from harness.model.verdict import Finding


def _run(case: Case) -> Iterator[Finding]:
    first_s = min((r.began_s for r in case.timeline.restores), default=NEVER)
    failed = [d for d in case.timeline.of(Done) if d.outcome != "acked" and d.at_s >= first_s]
    if failed:
        yield from _refused_by(case, failed)


def _refused_by(case: Case, failed: Sequence[Done]) -> Iterator[Finding]:
    """Yield a finding for each of these that nothing explains but a restore."""
    planned = _rolled_back_as_planned(case)
    whole_s = rebuilt_s(case)
    untouched = {tenant for tenant in case.lines if _untouched(case, tenant)}
    struck = list(windows(case, "commits"))
    conflicts = _Conflicts(case)
    heard_s = _last_words(case, failed)
    for done in failed:
        if done.name in planned or done.tenant not in untouched:
            continue
        if _begun_s(done) <= case.timeline.destroyed_s < done.at_s:
            continue
        if (
            _begun_s(done) < whole_s
            or _met(struck, heard_s[id(done)], done.at_s)
            or conflicts.explain(done)
        ):
            continue
        restore = next((r for r in case.timeline.restores if _overlap(done, r)), None)
        if restore is not None:
            yield _finding(done, restore)


class _Conflicts:
    """The serializable transactions of writers, every try, and when each ran."""

    def __init__(self, case: Case) -> None:
        writers = (w for tenant in case.plan.tenants for w in tenant.writers)
        self._names = {tx.name for writer in writers for tx in writer if tx.serializable}
        self._tries = [done for done in case.timeline.outcomes if done.name in self._names]

    def explain(self, done: Done) -> bool:
        """Whether another serializable transaction ran at the time of this one, which conflicted."""
        return (
            done.conflicted
            and done.name in self._names
            and any(
                other.name != done.name and _begun_s(other) <= done.at_s and _begun_s(done) <= other.at_s
                for other in self._tries
            )
        )


def _rolled_back_as_planned(case: Case) -> set[str]:
    writers = (w for tenant in case.plan.tenants for w in tenant.writers)
    return {tx.name for writer in writers for tx in writer if not tx.commit}


def _last_words(case: Case, failed: Sequence[Done]) -> dict[int, float]:
    """Return, by the id of each outcome, since when its connection may not have led anywhere any more."""
    since_s = {id(done): _begun_s(done) for done in failed}
    if not any(done.lost for done in failed):
        return since_s
    writers = (w for tenant in case.plan.tenants for w in tenant.writers)
    writer_of = {tx.name: number for number, writer in enumerate(writers) for tx in writer}
    heard_s: dict[int, float] = {}
    for done in case.timeline.outcomes:
        writer = writer_of.get(done.name)
        if writer is not None:
            if done.lost and id(done) in since_s:
                since_s[id(done)] = heard_s.get(writer, since_s[id(done)])
            heard_s[writer] = done.at_s
    return since_s


def _met(struck: Iterable[tuple[float, float]], since_s: float, until_s: float) -> bool:
    return any(began_s <= until_s and since_s <= healed_s for began_s, healed_s in struck)


def _untouched(case: Case, tenant: str) -> bool:
    back = (judged for judged in case.restores_of(tenant) if judged.restore.asked.place == "live")
    return (
        not case.damaged(tenant)
        and not case.given_by(tenant)
        and not case.rightly_deleted(tenant)
        and all(judged.solution is not None and not judged.solution.lacking() for judged in back)
    )


def _overlap(done: Done, restore: Restore) -> bool:
    """Whether the transaction ran while somebody else was restored."""
    other = restore.asked.tenant != done.tenant
    return other and _begun_s(done) <= restore.done_s and restore.began_s <= done.at_s


def _begun_s(done: Done) -> float:
    return done.at_s if done.begun_s is None else done.begun_s


def _finding(done: Done, restore: Restore) -> Finding:
    return Finding(
        check="refusals",
        point=5,
        verdict="broken",
        message=(
            f"{done.name} was {'refused' if done.outcome == 'refused' else 'left open'} while tenant"
            f" {restore.asked.tenant} was restored: {done.detail or 'no reason given'}"
        ),
        tenant=done.tenant,
        restore=restore.number,
        operation=done.name,
    )


CHECK = Check(name="refusals", point=5, run=_run)
