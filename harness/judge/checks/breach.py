"""Point 8: when the exposure passes what is promised, the system says so, within five seconds.

The exposure is the harness's own: the age of the oldest acked write whose objects its listing had not seen.
A system may say so sooner; one that goes on reporting *ok* or *behind*, or that claims more than is
promised and calls it well, is broken. One that reported nothing at all in that time leaves it unknown.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import accumulate

import msgspec

from harness.judge.case import Case
from harness.judge.check import Check, unknown
from harness.judge.losses import Needs
from harness.judge.timeline import Timeline, Transaction
from harness.model.history import ClusterSeen, Ended, Stalled, WatermarkSeen
from harness.model.verdict import Finding

NAME = "breach"
SAYS_S_MAX = 5.0
"""Within so many seconds of the promise's end the system must say that it is over."""

SEES_S_MAX = 1.0
"""So much later than the system itself may the harness's listing see an object, stalls of its own apart."""

SAYS_SO = ("breached", "stopped")


class Waiting(msgspec.Struct, frozen=True):
    """An acked write, and the time at which the bucket held it."""

    tx: Transaction
    durable_s: float


def _run(case: Case) -> Iterator[Finding]:
    reports = case.timeline.of(WatermarkSeen)
    promise_s = case.plan.promise_s
    for report in reports:
        if report.state not in SAYS_SO and (report.exposure_s or 0.0) > promise_s + SAYS_S_MAX:
            yield _finding(report, f"claims an exposure of {report.exposure_s:.1f} s", promise_s)
            return
    needs = Needs(case.timeline)
    if needs.named:
        sees_s = SEES_S_MAX + max((e.late_s for e in case.timeline.of(Stalled)), default=0.0)
        for begin_s, end_s, cluster in _lives(case.timeline):
            mine = [report for report in reports if begin_s <= report.at_s < end_s]
            writes = _waiting(case.timeline, needs, cluster, promise_s)
            yield from _wrong(writes, mine, promise_s, sees_s)
            yield from _silent(writes, mine, promise_s, end_s)


def _lives(timeline: Timeline) -> Iterator[tuple[float, float, int]]:
    """Yield (begin, end, cluster) for each time in which one cluster answered."""
    first: dict[int, float] = {}
    for seen in timeline.of(ClusterSeen):
        first.setdefault(seen.cluster, seen.at_s)
    over_s = max((e.at_s for e in timeline.of(Ended)), default=math.inf)
    begins = [*first.values(), over_s]
    for number, (cluster, begin_s) in enumerate(first.items()):
        end_s = begins[number + 1]
        struck = begin_s <= timeline.destroyed_s < end_s
        yield begin_s, timeline.destroyed_s if struck else end_s, cluster


def _waiting(timeline: Timeline, needs: Needs, cluster: int, promise_s: float) -> list[Waiting]:
    """Return the cluster's acked writes that waited for longer than promised, by the time of their acks."""
    durable_s = needs.of_epoch(timeline.epochs.get(cluster, 0))
    found = [
        Waiting(tx, at_s)
        for tx in timeline.tenant_by_tenant
        if tx.lsn_upper
        and tx.cluster == cluster
        and tx.outcome == "acked"
        and (at_s := durable_s(tx.lsn_upper)) - tx.ended_s > promise_s
    ]
    return sorted(found, key=lambda write: (write.tx.ended_s, write.tx.order))


def _wrong(
    writes: list[Waiting], reports: list[WatermarkSeen], promise_s: float, sees_s: float
) -> Iterator[Finding]:
    """Yield the first report that calls itself well while a write has waited for too long."""
    acks_s = [write.tx.ended_s for write in writes]
    latest = list(accumulate(writes, _later))
    for report in reports:
        late = bisect_left(acks_s, report.at_s - promise_s - SAYS_S_MAX)
        if late and latest[late - 1].durable_s > report.at_s + sees_s and report.state not in SAYS_SO:
            write = latest[late - 1]
            words = f"held back {write.tx.name}, acked {report.at_s - write.tx.ended_s:.1f} s before,"
            yield _finding(report, words, promise_s)
            return


def _later(one: Waiting, other: Waiting) -> Waiting:
    return max(one, other, key=lambda write: write.durable_s)


def _silent(
    writes: list[Waiting], reports: list[WatermarkSeen], promise_s: float, end_s: float
) -> Iterator[Finding]:
    """Yield the first write that waited for too long without any report meanwhile."""
    asked_s = [report.at_s for report in reports]
    for write in writes:
        due_s, over_s = write.tx.ended_s + promise_s, min(write.durable_s, end_s)
        if over_s - due_s <= SAYS_S_MAX:
            continue
        if bisect_left(asked_s, due_s) == bisect_right(asked_s, over_s):
            yield unknown(NAME, f"no report came while {write.tx.name} waited for {over_s - due_s:.1f} s")
            return


def _finding(report: WatermarkSeen, words: str, promise_s: float) -> Finding:
    return Finding(
        check=NAME,
        point=8,
        verdict="broken",
        message=f"the system {words} and says {report.state!r}, though {promise_s:g} s are promised",
    )


CHECK = Check(name=NAME, point=8, run=_run)
