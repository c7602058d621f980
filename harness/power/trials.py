"""One trial of one defect, one batch of plans without any, and one plan made small.

A trial runs a campaign against a defect until an expected check names it, and its near miss on the last
of those plans. What anything else found before that is told too. A drill that can't be run to its end (an
archiver that stops may leave nothing to go on with) catches nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from harness.generate.reduced import operations, reduced
from harness.model.errors import RestoreproofError
from harness.model.plan import Plan
from harness.model.power import Alarm, Asked, Clean, Small, Trial
from harness.model.verdict import DrillVerdict, Finding
from harness.power.benches import BENCHES
from harness.power.draws import campaign_of, schema_of, seed_of
from harness.simulate.defects import Defect
from harness.simulate.world import Parts

TRIES_MAX = 200
"""How many smaller plans are tried: enough to see of what size a failing plan becomes."""

NEAR_MAX = 5
"""The near miss meets the last so many plans of a trial: the one that caught the defect among them."""

Says = Literal["broken", "unknown"]

Catch = tuple[Trial, Plan | None]


def try_defect(asked: Asked, planted: Defect, number: int) -> Catch:
    """Return what came of trial ``number``, and the plan in which the defect was named."""
    seed = seed_of(asked, "trial", number)
    caught = _Chase(asked, planted)
    plans: list[Plan] = []
    profile = planted.profile or asked.profile
    for drawn in campaign_of(asked, seed, asked.plans_max, profile, planted.kind):
        plan = planted.changed(drawn) if planted.changed else drawn
        plans.append(plan)
        if caught.by(plan):
            break
    near = _alarms(asked, plans[-NEAR_MAX:], planted.near_miss, planted.says) if planted.near_miss else None
    trial = Trial(
        defect=planted.name,
        number=number,
        seed=seed,
        drills=len(plans),
        first=caught.first,
        first_checks=caught.first_checks,
        named=len(plans) if caught.checks else None,
        checks=caught.checks,
        named_s=round(caught.spent_s, 3) if caught.checks else None,
        kind=plans[-1].scripts[0].kind if caught.checks else "",
        survivors=plans[-1].survivors if caught.checks else "",
        failed=caught.failed,
        near_drills=near.drills if near else 0,
        near_failed=near.failed if near else 0,
        alarms=near.alarms if near else (),
    )
    return trial, plans[-1] if caught.checks else None


class _Chase:
    """One defect, plan after plan."""

    def __init__(self, asked: Asked, planted: Defect) -> None:
        self._asked = asked
        self._planted = planted
        self._drills = 0
        self.first: int | None = None
        self.first_checks: tuple[str, ...] = ()
        self.checks: tuple[str, ...] = ()
        self.failed = 0
        self.spent_s = 0.0

    def by(self, plan: Plan) -> bool:
        """Run one plan; whether an expected check named the defect."""
        self._drills += 1
        began_s = time.perf_counter()
        verdict = _verdict(self._asked, plan, self._planted.parts)
        self.spent_s += time.perf_counter() - began_s
        if verdict is None:
            self.failed += 1
            return False
        found = wrong_checks(verdict, self._planted.says)
        if found and self.first is None:
            self.first, self.first_checks = self._drills, found
        self.checks = tuple(check for check in found if check in self._planted.caught_by)
        return bool(self.checks)


def try_clean(asked: Asked, number: int, drills: int) -> Clean:
    """Return what came of a batch of plans without a defect."""
    seed = seed_of(asked, "clean", number)
    plans = campaign_of(asked, seed, drills, asked.profile)
    return _alarms(asked, plans, Parts, number=number, seed=seed)


def _alarms(
    asked: Asked,
    plans: Iterable[Plan],
    parts: Callable[[], Parts],
    says: Says = "broken",
    *,
    number: int = 0,
    seed: int = 0,
) -> Clean:
    alarms: list[Alarm] = []
    wall_ms: list[float] = []
    cpu_ms: list[float] = []
    failed = drills = 0
    for plan in plans:
        drills += 1
        began_s, busy_s = time.perf_counter(), time.process_time()
        verdict = _verdict(asked, plan, parts)
        wall_ms.append(round(1000 * (time.perf_counter() - began_s), 2))
        cpu_ms.append(round(1000 * (time.process_time() - busy_s), 2))
        if verdict is None:
            failed += 1
        elif checks := wrong_checks(verdict, says):
            words = next(f.message for f in findings(verdict) if f.check in checks)
            alarms.append(Alarm(plan=drills, seed=plan.seed, checks=checks, words=words))
    return Clean(
        number=number, seed=seed, drills=drills, failed=failed, alarms=tuple(alarms),
        wall_ms=tuple(wall_ms), cpu_ms=tuple(cpu_ms),
    )  # fmt: skip


def make_small(asked: Asked, planted: Defect, number: int, plan: Plan) -> tuple[Small, Plan]:
    """Reduce a plan for as long as an expected check names the defect, and nothing is broken without it."""

    def shows(smaller: Plan) -> bool:
        verdict = _verdict(asked, smaller, planted.parts)
        if verdict is None or not set(planted.caught_by) & set(wrong_checks(verdict, planted.says)):
            return False
        without = _verdict(asked, smaller, Parts)
        return without is not None and not set(planted.caught_by) & set(wrong_checks(without, planted.says))

    small = reduced(plan, shows, tries_max=TRIES_MAX)
    told = Small(
        defect=planted.name,
        number=number,
        operations_before=operations(plan),
        operations=operations(small),
        tenants=len(small.tenants),
        faults=len(small.faults),
        attacks=len(small.attacks),
    )
    return told, small


def findings(verdict: DrillVerdict) -> Iterator[Finding]:
    """Iterate over what was found, of the drill and of its tenants."""
    yield from verdict.findings
    for tenant in verdict.tenants:
        yield from tenant.findings


def wrong_checks(verdict: DrillVerdict, says: Says = "broken") -> tuple[str, ...]:
    """Return the names of checks that found something wrong, sorted; none when the drill is proven.

    ``says``: *broken*, or *unknown* where what leaves a drill open counts as well.
    """
    if verdict.verdict == "proven" or (says == "broken" and verdict.verdict != "broken"):
        return ()
    found = findings(verdict)
    return tuple(sorted({f.check for f in found if says == "unknown" or f.verdict == "broken"}))


def _verdict(asked: Asked, plan: Plan, parts: Callable[[], Parts]) -> DrillVerdict | None:
    """Return the verdict, None when the drill could not be run to its end."""
    try:
        return BENCHES[asked.host].drill(plan, schema_of(asked.schema), parts())
    except RestoreproofError:
        return None
