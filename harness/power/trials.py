"""One trial of one defect, one batch of plans without any, and one plan made small.

A trial runs a campaign against a defect until an expected check names it, and its near miss on the last
of those plans. What anything else found before that is told too. A drill that can't be run to its end (an
archiver that stops may leave nothing to go on with) catches nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, Protocol

import msgspec

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
    chase = Chase(planted, lambda plan: _verdict(asked, plan, planted.parts))
    plans: list[Plan] = []
    profile = planted.profile or asked.profile
    for drawn in campaign_of(asked, seed, asked.plans_max, profile, planted.kind):
        plan = planted.changed(drawn) if planted.changed else drawn
        plans.append(plan)
        if chase.by(plan):
            break
    near = _alarms(asked, plans[-NEAR_MAX:], planted.near_miss, planted.says) if planted.near_miss else None
    trial = msgspec.structs.replace(
        chase.trial(number, seed, round(chase.spent_s, 3)),
        near_drills=near.drills if near else 0,
        near_failed=near.failed if near else 0,
        alarms=near.alarms if near else (),
    )
    return trial, chase.caught


class Expected(Protocol):
    """A defect of either zoo: its name, what has to be said of it, and by whom."""

    @property
    def name(self) -> str: ...

    @property
    def says(self) -> Says: ...

    @property
    def caught_by(self) -> tuple[str, ...]: ...


class Chase:
    """One defect, plan after plan; ``caught``: the plan in which an expected check named it.

    ``drill`` runs and judges a plan with the defect, and returns None when it came to no end.
    """

    def __init__(self, planted: Expected, drill: Callable[[Plan], DrillVerdict | None]) -> None:
        self._planted = planted
        self._drill = drill
        self._first: int | None = None
        self._first_checks: tuple[str, ...] = ()
        self._checks: tuple[str, ...] = ()
        self._failed = 0
        self.drills = 0
        self.caught: Plan | None = None
        self.spent_s = 0.0

    def by(self, plan: Plan) -> bool:
        """Run one plan; whether an expected check named the defect."""
        self.drills += 1
        began_s = time.perf_counter()
        verdict = self._drill(plan)
        self.spent_s += time.perf_counter() - began_s
        if verdict is None:
            self._failed += 1
            return False
        found = wrong_checks(verdict, self._planted.says)
        if found and self._first is None:
            self._first, self._first_checks = self.drills, found
        self._checks = tuple(check for check in found if check in self._planted.caught_by)
        self.caught = plan if self._checks else None
        return bool(self._checks)

    def trial(self, number: int, seed: int, spent_s: float) -> Trial:
        """Return what came of it, as trial ``number`` whose drills took so many seconds."""
        caught = self.caught
        return Trial(
            defect=self._planted.name,
            number=number,
            seed=seed,
            drills=self.drills,
            first=self._first,
            first_checks=self._first_checks,
            named=self.drills if caught else None,
            checks=self._checks,
            named_s=spent_s if caught else None,
            kind=caught.scripts[0].kind if caught else "",
            survivors=caught.survivors if caught else "",
            failed=self._failed,
        )


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
