"""Point 6: after each restore in place the application's next write works."""

from __future__ import annotations

from collections.abc import Iterator

from harness.judge.case import Case, Judged
from harness.judge.check import Check, unknown
from harness.judge.timeline import NEVER
from harness.model.history import Done
from harness.model.verdict import Finding

NAME = "next write"


def _run(case: Case) -> Iterator[Finding]:
    probes: dict[str | None, list[Done]] = {}
    for done in case.timeline.of(Done):
        if done.actor == "probe":
            probes.setdefault(done.tenant, []).append(done)
    for tenant in case.lines:
        back = [judged for judged in case.restores_of(tenant) if judged.restore.in_place]
        until_s = [*(judged.restore.began_s for judged in back), NEVER][1:]
        mine = probes.get(tenant, [])
        for judged, end_s in zip(back, until_s, strict=True):
            yield from _judge(judged, [d for d in mine if judged.restore.done_s <= d.at_s < end_s])


def _judge(judged: Judged, probes: list[Done]) -> Iterator[Finding]:
    number, tenant = judged.restore.number, judged.tenant
    if not probes:
        yield unknown(NAME, "no write was tried after the restore", tenant=tenant, restore=number)
    for done in probes:
        if done.outcome == "unknown":
            message = f"the outcome of {done.name} is open: {done.detail}"
            yield unknown(NAME, message, tenant=tenant, restore=number)
        elif done.outcome == "refused":
            yield Finding(
                check=NAME,
                point=6,
                verdict="broken",
                message=f"the next write was refused: {done.detail}",
                tenant=tenant,
                restore=number,
                operation=done.name,
            )


CHECK = Check(name=NAME, point=6, run=_run)
