"""A second witness agrees: a physical restore to the same cut has the same rows of a tenant as the archive.

It knows nothing of the archive, nor of the harness's own history: what all other checks let pass is found
by it too. What a loss explains is the loss's to answer for. Whom it was not heard of is told, and judged by
the others alone; if it was heard of nobody, the drill is unknown. Where there can be none, that is so only
of a plan which needs one: an audit, which asks by itself, takes what the host has.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.judge.case import Case
from harness.judge.check import Check, unknown
from harness.judge.witnesses import Disagreement, WitnessJudged
from harness.model.history import WitnessRefused
from harness.model.values import table_and_key
from harness.model.verdict import Finding

NAME = "witness"


def _run(case: Case) -> Iterator[Finding]:
    if not case.plan.witnessed:
        return
    if refused := case.timeline.of(WitnessRefused):
        if case.plan.witness_needed:
            yield unknown(NAME, f"a second witness was asked for, and there was none: {refused[0].reason}")
        return
    if all(judged.said == "not judged" for judged in case.witnesses):
        yield unknown(NAME, "a second witness was asked for, and heard of nobody")
    for judged in case.witnesses:
        tenant, restore = judged.heard.tenant, judged.heard.restore
        if judged.unread:
            yield unknown(NAME, judged.why_not, tenant=tenant, restore=restore)
        for differing in judged.differing:
            yield _finding(judged, differing)


def _finding(judged: WitnessJudged, differing: Disagreement) -> Finding:
    table, key = table_and_key(differing.row)
    column = _column(differing)
    step = differing.step
    return Finding(
        check=NAME,
        point=1,
        verdict="broken",
        message=_words(differing),
        tenant=judged.heard.tenant,
        restore=judged.heard.restore,
        table=table,
        key=key,
        column=column,
        expected=differing.witness.get(column) if column and differing.witness else None,
        found=differing.archive.get(column) if column and differing.archive else None,
        operation=step.tx.name if step is not None else None,
    )


def _column(differing: Disagreement) -> str | None:
    """Return the first column in which the two differ, None where one has no such row."""
    witness, archive = differing.witness, differing.archive
    if witness is None or archive is None:
        return None
    columns = sorted(witness.keys() | archive.keys())
    return next(c for c in columns if (c in witness, witness.get(c)) != (c in archive, archive.get(c)))


def _words(differing: Disagreement) -> str:
    if differing.archive is None:
        return "the second witness has a row at this cut that the archive did not give back"
    if differing.witness is None:
        return "the archive gave back a row that the second witness has not at this cut"
    return "the second witness has another value at this cut than the archive gave back"


CHECK = Check(name=NAME, point=1, run=_run)
