"""What the second witness said, in words for a verdict: of each tenant that the plan asks it about."""

from __future__ import annotations

from harness.judge.case import Case
from harness.judge.witnesses import WitnessJudged
from harness.model.history import WitnessRefused
from harness.model.verdict import Testimony


def testimonies(case: Case) -> tuple[Testimony, ...]:
    """Return one testimony for each tenant of the plan's ``witnessed``, in its order."""
    heard = {judged.heard.tenant: judged for judged in case.witnesses}
    refused = case.timeline.of(WitnessRefused)
    why_not = refused[0].reason if refused else "the drill ended before it was heard"
    return tuple(
        _told(heard[tenant])
        if tenant in heard
        else Testimony(tenant=tenant, restore=0, said="not judged", words=why_not)
        for tenant in case.plan.witnessed
    )


def _told(judged: WitnessJudged) -> Testimony:
    return Testimony(
        tenant=judged.heard.tenant,
        restore=judged.heard.restore,
        said=judged.said,
        words=_words(judged),
        digest=judged.digest,
        rows=judged.heard.rows,
    )


def _words(judged: WitnessJudged) -> str:
    match judged.said:
        case "not judged":
            return judged.why_not
        case "differs":
            return f"{len(judged.differing)} rows differ"
        case "explained":
            return f"lost, or between the bounds of the cut: {', '.join(judged.excuses)}"
    return ""
