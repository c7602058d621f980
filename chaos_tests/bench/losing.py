"""A random campaign without any hint, on programs that lose data, until it finds what they lost.

Plans are drawn as ``drill --profile storm`` draws them. What is told is the first drill in which something
is wrong for good, and not merely late: how many plans and seconds it took, which checks said so, and the
layer that they blame. Drills broken by lateness alone are told beside it: a busy machine does that.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import msgspec
from rich.console import Console

from harness import session
from harness.model.verdict import DrillVerdict, Finding
from harness.stack.options import StackOptions
from harness.stack.programs import locate
from harness.stack.programs.planted import planted
from harness.stack.programs.progress import Silent

PLANS_MAX = 60
LIMIT_S = 1800.0
LAYER = "capture"
LATE = "exposure"
"""The check of what is late."""


class Within(msgspec.Struct, frozen=True, kw_only=True):
    """So many plans, and so many seconds, a campaign may take."""

    plans: int = PLANS_MAX
    limit_s: float = LIMIT_S


class Campaign(msgspec.Struct, frozen=True, kw_only=True):
    """How one seed went: what was found ``wrong`` in the last plan, nothing if there was none.

    ``late``: in how many plans before something was late, and nothing else wrong.
    """

    plans: int
    seconds: float
    wrong: tuple[Finding, ...] = ()
    late: int = 0


def losing(
    options: StackOptions, name: str, seeds: list[int], within: Within, console: Console, out: Path
) -> bool:
    """Run a campaign for each seed; whether each found ``name`` broken, and blames the capture for it.

    ``name`` empty: the programs as they are, of which no plan may be found broken.
    """
    programs = planted(name, locate(), Silent(), host=options.host) if name else None
    put = msgspec.structs.replace(options, programs=programs, java_options={} if name else None)
    held = True
    for seed in seeds:
        found = _until_broken(put, seed, out / f"seed-{seed}", within)
        words, right = _told(found, name)
        console.print(f"{name or 'as it is'}, seed {seed}: {words}")
        held = held and right
    return held


def _until_broken(options: StackOptions, seed: int, out: Path, within: Within) -> Campaign:
    drawn = session.draw(session.DrillOptions(profile="storm", plans=within.plans, seed=seed))
    logged = msgspec.structs.replace(options, logs=out / "logs")
    late = 0
    with session.LiveSession.open("helpdesk", logged) as live:
        began_s = time.monotonic()
        for number, plan in enumerate(drawn.plans, 1):
            verdict = live.drill(plan, out / f"drill-{number:02}")
            spent_s = time.monotonic() - began_s
            if wrong := _wrong(verdict):
                return Campaign(plans=number, seconds=spent_s, wrong=wrong, late=late)
            late += verdict.verdict == "broken"
            if spent_s > within.limit_s:
                break
    return Campaign(plans=number, seconds=spent_s, late=late)


def _wrong(verdict: DrillVerdict) -> tuple[Finding, ...]:
    """Return what is broken but for exposure."""
    findings = verdict.every_finding
    return tuple(f for f in findings if f.verdict == "broken" and f.check != LATE)


def _told(found: Campaign, name: str) -> tuple[str, bool]:
    """Say how a campaign went, and whether that is as it has to be."""
    late = f"; {found.late} before that were broken by {LATE} alone" if found.late else ""
    if not found.wrong:
        words = f"nothing lost in {found.plans} plans, {found.seconds:.0f} s{late}"
        return words, not name and not found.late
    blamed = Counter(f.blame.layer or "not known" for f in found.wrong if f.blame is not None)
    checks = ", ".join(sorted({f.check for f in found.wrong}))
    layers = ", ".join(f"{layer} ({count})" for layer, count in blamed.most_common())
    words = (
        f"broken in plan {found.plans}, after {found.seconds:.0f} s, by {checks}; blamed: {layers}{late}"
    )
    return words, bool(name) and LAYER in blamed
