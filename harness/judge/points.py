"""Which points of the guarantee a drill judged, and what it did not judge: by its plan, and by what it got.

What a plan asks for is judged, or told here with the reason why it was not: nothing is passed over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from harness.judge.case import Case
from harness.judge.check import Check
from harness.model.history import CopiesRefused, CopyRestored
from harness.model.verdict import Testimony

JUDGED = (
    "1 complete",
    "2 prefix",
    "3 nothing else",
    "4 no resurrection (of rows and tenants rightly deleted)",
    "5 no collateral",
    "6 usable",
)
ERASED = "point 4 for data erased under the right to be forgotten (there is no eraser yet)"
NOTHING_JUDGED = ("any point of the guarantee (what happened could not be put together)",)


def points_judged(case: Case) -> tuple[str, ...]:
    """Return the points that the drill judged."""
    checked = len(_checked(case))
    return (
        *JUDGED,
        "7 untampered" if case.plan.attacks else "7 untampered (locks only: nobody attacked)",
        f"8 honest ({f'and {checked} further watermarks' if checked else 'for the restores made'})",
    )


def points_not_judged(
    case: Case, witness: Sequence[Testimony], crashed: Iterable[Check]
) -> tuple[str, ...]:
    """Return what was not judged, each with the reason. ``witness``: what the second one said."""
    return (ERASED, *_watermarks(case), *_unheard(witness), *map(_by_check, crashed))


def _checked(case: Case) -> set[int]:
    """Return the numbers of the watermarks that were held against what came from a copy."""
    return {judged.restored.copy for judged in case.copies if judged.promised and not judged.unread}


def _watermarks(case: Case) -> Iterator[str]:
    """Yield what was not judged of the further watermarks, by reasons."""
    left = set(range(len(case.plan.watermark_checks))) - _checked(case)
    for why_not, count in Counter(_why_unchecked(case, number) for number in sorted(left)).items():
        yield f"point 8 for {count} further watermark{'s' if count > 1 else ''} ({why_not})"


def _why_unchecked(case: Case, number: int) -> str:
    if refused := case.timeline.of(CopiesRefused):
        return refused[0].reason
    if not any(entry.copy == number for entry in case.timeline.of(CopyRestored)):
        return "nothing was restored from a copy of its moment"
    if any(judged.unread for judged in case.copies if judged.restored.copy == number):
        return "what came from the copy was not read"
    return "nothing of the tenants drawn for it lay before it"


def _unheard(witness: Sequence[Testimony]) -> Iterator[str]:
    """Yield of how many tenants the second witness was not heard, by reasons."""
    reasons = Counter(told.words for told in witness if told.said == "not judged")
    for why_not, count in reasons.items():
        whom = "" if count == len(witness) else f" on {count} tenant{'s' if count > 1 else ''}"
        yield f"the second witness{whom} ({why_not})"


def _by_check(check: Check) -> str:
    what = f"point {check.point}" if check.point else "the drill itself"
    return f"{what} by the check {check.name} (it crashed)"
