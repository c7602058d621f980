"""The incident of a restore: the instant ``I(t)``, and the transaction just before which the tenant is cut.

For a damaged tenant it is the first damaging transaction, for a rightly deleted one that deletion. For any
other it is the loss of the cluster, or else the first damage of all, or else the end of the script.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from harness.judge.lines import Line, Stretch
from harness.judge.states import Step
from harness.judge.timeline import NEVER, Restore, Timeline, Transaction
from harness.model.history import Cut, Done


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """``at_s`` is ``I(t)``; ``tx`` the transaction that hit this very tenant, if any did."""

    at_s: float
    why: str
    tx: Transaction | None = None


class Incidents:
    """What is the same for all restores: the first damage of all, and when scripts had their outcomes."""

    def __init__(self, lines: Mapping[str, Line], timeline: Timeline) -> None:
        self._destroyed_s = timeline.destroyed_s
        damage = (step.tx for line in lines.values() for step in line.damage)
        self._first = min(damage, key=_sent_s, default=None)
        self._outcomes_s = [done.at_s for done in timeline.of(Done) if done.actor == "script"]

    def of(self, sent: Sequence[Step], restore: Restore, stretch: Stretch) -> Incident:
        """Return the incident that ``restore`` has to undo; ``sent`` are the tenant's steps until then."""
        before = [s for s in sent if s.role != "own" and s.tx.sent_s < restore.began_s]
        for hit, why in (
            (next((s for s in before if _damages(s, restore)), None), "damaged by"),
            (next((s for s in before if s.whole), None), "rightly deleted by"),
        ):
            if hit is not None:
                return Incident(at_s=hit.tx.sent_s, why=f"{why} {hit.tx.name}", tx=hit.tx)
        based_s = stretch.base.done_s if stretch.base else 0.0
        if based_s <= self._destroyed_s < restore.began_s:
            return Incident(at_s=self._destroyed_s, why="the primary was destroyed")
        return self._of_all(restore)

    def _of_all(self, restore: Restore) -> Incident:
        first = self._first
        if first is not None and first.sent_s < restore.began_s:
            return Incident(at_s=first.sent_s, why=f"the first damage of all, {first.name}")
        ended = (at_s for at_s in self._outcomes_s if at_s < restore.began_s)
        return Incident(at_s=max(ended, default=restore.began_s), why="the script's end")


def _sent_s(tx: Transaction) -> float:
    return tx.sent_s


def _damages(step: Step, restore: Restore) -> bool:
    """Whether the tenant was damaged by ``step``, or whoever asked for the restore took it for that.

    Where it met only rows of open outcomes nobody knew: a cut after it is no fault of who restores.
    """
    certain = any(row not in step.maybe for row in step.writes)
    return step.role == "damage" and (certain or restore.asked.cut.xid == step.tx.xid)


def barred_steps(sent: Iterable[Step], incident: Incident) -> list[Step]:
    """Return the steps that the restored state must not hold: the hit, and all certainly after it."""
    hit = incident.tx
    if hit is None:
        return []
    upper = NEVER if hit.lsn_upper is None else hit.lsn_upper
    perhaps = (
        step
        for step in sent
        if (tx := step.tx).begun_s > hit.ended_s
        or tx.lsn_lower >= upper
        or tx.cluster != hit.cluster
        or step.role != "own"
    )
    return [step for step in perhaps if _barred(step, hit)]


def _barred(step: Step, hit: Transaction) -> bool:
    if step.role in ("damage", "intended"):
        return step.tx.order >= hit.order
    return step.role == "own" and certainly_after(step.tx, hit)


def steps_behind(sent: Iterable[Step], asked: Cut, incident: Incident, timeline: Timeline) -> list[Step]:
    """Return the steps certainly behind the cut that was asked for, where the incident says another one.

    Whoever asked took the tenant for damaged by a transaction that, in hindsight, found nothing of it.
    """
    if not asked.xid or not asked.epoch or (incident.tx is not None and incident.tx.xid == asked.xid):
        return []
    return [step for step in sent if step.role == "own" and _behind(step.tx, asked, timeline.epochs)]


def _behind(tx: Transaction, asked: Cut, epochs: Mapping[int, int]) -> bool:
    epoch = epochs.get(tx.cluster, 0)
    return epoch > asked.epoch or (epoch == asked.epoch and 0 < asked.lsn_upper <= tx.lsn_lower)


def certainly_after(tx: Transaction, hit: Transaction) -> bool:
    """Whether ``tx`` can only have committed after ``hit`` did."""
    if not hit.acked:
        return False
    if tx.cluster != hit.cluster:
        return tx.cluster > hit.cluster
    later_on_wal = hit.lsn_upper is not None and tx.lsn_lower >= hit.lsn_upper
    return tx.begun_s > hit.ended_s or later_on_wal
