"""One trial of one defect on real services, its near miss, and a batch of quick drills without a defect.

Where anything of the services is wrong, a trial has a stack of its own, and so has a batch. Wrong restorers
and subjects are guests, one after another, on a stack that stays warm: all that they leave is in the
database, which each drill clears before it begins. A drill that can't be run to its end catches nothing;
nobody knows in what state it left the stack, so that the next one has a new stack.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final, Self

import msgspec

from harness import schemas
from harness.generate.campaigns import each
from harness.model import plan as plans
from harness.model.errors import RestoreproofError
from harness.model.plan import Plan, Survivors
from harness.model.power import Alarm, Asked, Clean, Near, Trial
from harness.model.verdict import DrillVerdict
from harness.power.draws import Campaign, pinned, seed_of
from harness.power.live.bench import Bench, open_bench
from harness.power.live.plant import LiveDefect, Plant
from harness.power.trials import Chase, Says, findings, wrong_checks
from harness.stack.settings import stack_options
from harness.stack.world.faults import unavailable

LIMIT_S: Final = 240.0
"""How long the drills of one trial may take: none is begun later."""

QUICK: Final = "quick"
"""The profile of drills without a defect: those that anybody runs, and that can prove something."""


class Site:
    """Where trials are run: one stack at a time, and a folder for their run folders. A context.

    What a trial leaves is removed unless it is worth a look: a drill that failed, or a defect not caught.
    The logs of each stack stay until the next start.
    """

    def __init__(self, asked: Asked, work: Path) -> None:
        self.asked = asked
        self.work = work
        self.loaded = schemas.load(asked.schema)
        self._open = ExitStack()
        self._warm: Bench | None = None
        self._stacks = 0

    def __enter__(self) -> Self:
        shutil.rmtree(self.work / "logs", ignore_errors=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the stack that there is, if any."""
        self._warm = None
        self._open.close()

    def plans(self, seed: int, profile: str, count: int, survivors: Survivors | None = None) -> Campaign:
        """Return the campaign of that seed: what anybody would draw who knows of no defect."""
        lacks = partial(unavailable, host="local")
        drawn = each(
            self.loaded.schema,
            seed=seed,
            plans=count,
            profile=profile,
            survivors=survivors,
            unavailable=lacks,
        )
        return Campaign(drawn)

    def plans_for(self, planted: LiveDefect, seed: int) -> Iterator[Plan]:
        """Yield the plans of a trial, bound to what the defect needs, if to anything."""
        profile, count = planted.profile or self.asked.profile, self.asked.plans_max
        drawn: Iterable[Plan]
        if planted.kind:
            drawn = pinned(self.loaded.schema, kind=planted.kind, seed=seed, plans=count, profile=profile)
        else:
            drawn = self.plans(seed, profile, count, planted.survivors)
        return map(planted.changed, drawn) if planted.changed else iter(drawn)

    def bench(self, plant: Plant, defect: str, *, near: bool) -> tuple[Bench, bool]:
        """Return a stack with ``plant`` in it, and whether it was warm: only guests get one that is."""
        if plant.is_guest and self._warm is not None:
            self._warm.replant(plant)
            return self._warm, True
        self.close()
        self._stacks += 1
        logs = self.work / "logs" / str(self._stacks)
        options = msgspec.structs.replace(stack_options("local"), logs=logs)
        bench = self._open.enter_context(open_bench(options, self.loaded, plant, defect, near=near))
        self._warm = bench if plant.is_guest else None
        return bench, False

    def stacks(
        self, name: str, make: Callable[[], Plant], defect: str = "", *, near: bool = False
    ) -> Stacks:
        """Return stacks with that plant in each, their run folders below that of this ``name``."""
        return Stacks(self, self.work / _file(name), make, defect, near=near)


class Stacks:
    """A context for the drills of one trial; after one that failed they go on on another stack.

    ``make``: what is planted, made anew for each drill: it remembers nothing of those before.
    """

    def __init__(
        self, site: Site, folder: Path, make: Callable[[], Plant], defect: str, *, near: bool
    ) -> None:
        self._site = site
        self._make = make
        self._plant = make()
        self._defect = defect
        self._near = near
        self._bench: Bench | None = None
        self._is_warm = False
        self.folder = folder
        self.spent_s = 0.0
        self.failed: list[str] = []
        self.worth_a_look = False

    def __enter__(self) -> Self:
        shutil.rmtree(self.folder, ignore_errors=True)
        return self

    def __exit__(self, *_: object) -> None:
        if not self._plant.is_guest:
            self._site.close()
        if not self.worth_a_look and not self.failed:
            shutil.rmtree(self.folder, ignore_errors=True)

    def drill(self, plan: Plan, number: int) -> DrillVerdict | None:
        """Run and judge a plan; None when it could not be run to its end. Counts the seconds it took.

        On a warm stack the first plan streams its initial rows: a snapshot needs a new cluster.
        """
        bench = self._bench or self._start()
        bench.replant(self._make())
        if self._is_warm:
            plan = msgspec.structs.replace(plan, initial="streamed")
        began_s = time.monotonic()
        try:
            return bench.drill(plan, self.folder / f"drill-{number:02}")
        except RestoreproofError as error:
            self.failed.append(f"drill {number}: {error}")
            self._bench = None
            self._site.close()
            return None
        finally:
            self.spent_s += time.monotonic() - began_s

    def _start(self) -> Bench:
        self._bench, self._is_warm = self._site.bench(self._plant, self._defect, near=self._near)
        return self._bench


def try_defect(site: Site, planted: LiveDefect, number: int, keep: Path) -> Trial:
    """Return what came of trial ``number``; the plan that caught it goes into the file ``keep``."""
    seed = seed_of(site.asked, "live trial", number)
    with site.stacks(f"{planted.name} {number}", planted.plant, planted.name) as stacks:
        chase = Chase(planted, lambda plan: stacks.drill(plan, chase.drills))
        for plan in site.plans_for(planted, seed):
            if chase.by(plan) or stacks.spent_s > LIMIT_S:
                break
        stacks.worth_a_look = chase.caught is None
    if chase.caught is not None:
        keep.write_bytes(plans.encode(chase.caught))
    return chase.trial(number, seed, round(stacks.spent_s, 1))


def try_near(site: Site, planted: LiveDefect, number: int, plan: Plan) -> Near:
    """Return what came of the near miss on the plan that caught its defect."""
    assert planted.near_miss is not None  # the caller looks
    with site.stacks(f"near {planted.name}", planted.near_miss, planted.name, near=True) as stacks:
        verdict = stacks.drill(plan, 1)
        alarm = _alarm(1, plan, verdict, planted.says) if verdict else None
        stacks.worth_a_look = alarm is not None
    return Near(
        defect=planted.name,
        number=number,
        drills=1,
        failed=len(stacks.failed),
        alarms=(alarm,) if alarm else (),
    )


def try_clean(site: Site, number: int, count: int) -> Clean:
    """Return what came of a batch of quick drills without a defect, all on one stack."""
    seed = seed_of(site.asked, "live clean", number)
    alarms: list[Alarm] = []
    opens: list[Alarm] = []
    wall_ms: list[float] = []
    with site.stacks(f"clean {number}", Plant) as stacks:
        for drills, plan in enumerate(site.plans(seed, QUICK, count), 1):
            before_s = stacks.spent_s
            verdict = stacks.drill(plan, drills)
            wall_ms.append(round(1000 * (stacks.spent_s - before_s), 0))
            if verdict and verdict.verdict != "proven":
                kept = alarms if verdict.verdict == "broken" else opens
                kept.extend(_told(drills, plan, verdict))
        stacks.worth_a_look = bool(alarms or opens)
    return Clean(
        number=number, seed=seed, drills=count, failed=len(stacks.failed), alarms=tuple(alarms),
        opens=tuple(opens), wall_ms=tuple(wall_ms),
    )  # fmt: skip


def _alarm(number: int, plan: Plan, verdict: DrillVerdict, says: Says) -> Alarm | None:
    return next(_told(number, plan, verdict), None) if wrong_checks(verdict, says) else None


def _told(number: int, plan: Plan, verdict: DrillVerdict) -> Iterator[Alarm]:
    """Yield a drill that was not proven: by which checks, and what the first of them said."""
    checks = wrong_checks(verdict, "broken" if verdict.verdict == "broken" else "unknown")
    words = next((f.message for f in findings(verdict) if f.check in checks), "")
    yield Alarm(plan=number, seed=plan.seed, checks=checks, words=words)


def _file(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name)
