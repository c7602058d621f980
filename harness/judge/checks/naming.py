"""Point 1: a loss is at most the exposure and one listing interval, or needs were named wrongly."""

from __future__ import annotations

from collections.abc import Iterator

from harness.judge.case import Case, Judged
from harness.judge.check import Check
from harness.model.history import Started
from harness.model.verdict import Finding


def _run(case: Case) -> Iterator[Finding]:
    started = case.timeline.of(Started)
    listing_interval_s = started[0].listing_interval_s if started else 0.0
    for judged in case.restores:
        yield from _judge(judged, listing_interval_s)


def _judge(judged: Judged, listing_interval_s: float) -> Iterator[Finding]:
    loss, exposure = judged.loss, judged.exposure
    if loss is None or loss.step is None or exposure is None:
        return
    if loss.step.tx.lsn_upper is None:  # its COMMIT was seen to have taken place, nobody knows where
        return
    if loss.seconds > exposure.seconds + listing_interval_s:
        yield Finding(
            check="naming",
            point=1,
            verdict="broken",
            message=(
                f"{loss.seconds:.3f} s were lost, but by the objects that the subject named only"
                f" {exposure.seconds:.3f} s were exposed: {loss.step.tx.name} was durable, and is not there"
            ),
            tenant=judged.tenant,
            restore=judged.restore.number,
            operation=loss.step.tx.name,
            loss_s=loss.seconds,
        )


CHECK = Check(name="naming", point=1, run=_run)
