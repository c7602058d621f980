"""Loss and exposure of a restore, in seconds, and the writes that set them.

``loss``: the instant of the incident minus the ack of the earliest write acked before it that the
restored state lacks. ``exposure``: the same over the writes that were not durable in the bucket at that
instant. A write is durable once every object that a restore up to its (upper bound of a) position needs
had been seen by the harness's own listing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence

import msgspec

from harness.judge.incidents import Incident
from harness.judge.states import Solution, Step
from harness.judge.timeline import NEVER, Timeline
from harness.model.history import NeedsNamed, ObjectSeen
from harness.model.position import Position


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """``seconds`` before the incident that ``step``, the earliest write lost, was acked; 0.0 for none."""

    seconds: float = 0.0
    step: Step | None = None


class Needs:
    """When restores up to a position became possible from the bucket alone."""

    def __init__(self, timeline: Timeline) -> None:
        named = timeline.of(NeedsNamed)
        self.named = bool(named)
        seen: dict[tuple[str, str], float] = {}
        for entry in timeline.of(ObjectSeen):
            seen.setdefault((entry.key, entry.version), entry.at_s)
        needs = sorted(named[-1].needs if named else (), key=lambda n: (n.epoch, n.lsn))
        self._positions = [Position(epoch=n.epoch, lsn=n.lsn) for n in needs]
        self._readable_s: list[float] = []
        readable_s = 0.0
        for need in needs:
            readable_s = max(readable_s, *(seen.get(o, NEVER) for o in need.objects), 0.0)
            self._readable_s.append(readable_s)

    def durable_until(self, at_s: float) -> Position:
        """Return up to where everything was readable in the bucket at ``at_s``."""
        place = bisect_right(self._readable_s, at_s)
        return self._positions[place - 1] if place else Position(epoch=0, lsn=0)

    def of_epoch(self, epoch: int) -> Callable[[int], float]:
        """Return a function that says of an LSN of that epoch when everything up to it was readable.

        NEVER when it was not; nothing is known to be durable of epoch 0.
        """
        lsns = [p.lsn if p.epoch == epoch else (-1 if p.epoch < epoch else NEVER) for p in self._positions]
        readable_s = [*self._readable_s, NEVER]
        return lambda lsn: readable_s[bisect_left(lsns, lsn)] if epoch else NEVER


def loss_of(solution: Solution, incident: Incident) -> Loss:
    """Return what the restored state lacks of the writes acked before the incident."""
    return _earliest(solution.lacking(), incident)


def exposure_of(steps: Sequence[Step], incident: Incident, needs: Needs, timeline: Timeline) -> Loss | None:
    """Return what would have been lost had only the bucket survived; None when no needs were named.

    Of a COMMIT without an answer that was seen to have taken place it is known where it lies at least.
    """
    if not needs.named:
        return None
    held = needs.durable_until(incident.at_s)
    epochs = timeline.epochs
    exposed = (
        step
        for step in steps
        if ((place := _at_least(step)) > held.lsn or epochs.get(step.tx.cluster) != held.epoch)
        and _beyond(epochs.get(step.tx.cluster, 0), place, held)
    )
    return _earliest(exposed, incident)


def _at_least(step: Step) -> int:
    return step.tx.lsn_lower + 1 if step.tx.lsn_upper is None else step.tx.lsn_upper


def _beyond(epoch: int, lsn: int, held: Position) -> bool:
    """Whether what lies there was not held; nothing is known to be of a cluster without an epoch."""
    return not epoch or not lsn or epoch > held.epoch or (epoch == held.epoch and lsn > held.lsn)


def _earliest(steps: Iterable[Step], incident: Incident) -> Loss:
    acked = (s for s in steps if s.tx.acked and s.tx.ended_s < incident.at_s)
    first = min(acked, key=lambda s: s.tx.ended_s, default=None)
    return Loss(seconds=incident.at_s - first.tx.ended_s, step=first) if first else Loss()
