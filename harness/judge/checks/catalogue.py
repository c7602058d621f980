"""Point 5: the live catalogue after each restore is the one before the first, on a fresh cluster too.

Where the script changed the catalogue, it is the one before the script, at the cut. What was seen between
the script, or the loss of the cluster, and the end of the first restore does not count.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.judge.case import Case
from harness.judge.check import Check, unknown
from harness.judge.reshaping import reshaped_s
from harness.judge.timeline import NEVER
from harness.model.history import CatalogueSeen
from harness.model.verdict import Finding

NAME = "catalogue"


def _run(case: Case) -> Iterator[Finding]:
    seen = [entry for entry in case.timeline.of(CatalogueSeen) if entry.place == "live"]
    restored_s = [r.done_s for r in case.timeline.restores if r.in_place]
    first_s, last_s = min(restored_s, default=NEVER), max(restored_s, default=0.0)
    until_s = min(first_s, case.timeline.wiped_s, reshaped_s(case))
    original = [e for e in seen if e.at_s < until_s]
    after = [e for e in seen if e.at_s >= first_s]
    if not original:
        yield unknown(NAME, "the catalogue was not seen before anything was restored")
        return
    if restored_s and not any(e.at_s >= last_s for e in after):
        yield unknown(NAME, "the catalogue was not seen after the last restore")
    for entry in (*original, *after):
        if entry.digest != original[-1].digest:
            yield _finding(original[-1], entry)


def _finding(original: CatalogueSeen, entry: CatalogueSeen) -> Finding:
    return Finding(
        check=NAME,
        point=5,
        verdict="broken",
        message=f"the catalogue {entry.when} differs from the one {original.when}",
        expected=original.digest,
        found=entry.digest,
    )


CHECK = Check(name=NAME, point=5, run=_run)
