"""What ``restoreproof power --host local`` does: trials in rounds, each stored as it comes.

A round is one trial of each defect; a share of the drills without a defect follows it. Then each near miss
meets the plan that caught its defect first. One stack at a time, and guests
first, who share one. Whatever ends it loses the trial at work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec
from rich.console import Console

from harness.model import plan as plans
from harness.model.power import Asked, Clean, Entry, Near, Planted, Power, Trial
from harness.power import work
from harness.power.live import trials
from harness.power.live.plant import LiveDefect
from harness.power.live.zoo import ZOO
from harness.power.measure import Options, choose, opened, result_of, store

BATCH: Final = 5
"""Drills without a defect on one stack: a kill loses no more."""

PROFILE: Final = "chase"


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of work: the trial or the near miss of a ``defect``, or a batch of ``clean`` drills."""

    number: int
    defect: str = ""
    near: bool = False
    clean: int = 0


def measure(options: Options, console: Console) -> Power:
    """Do what is left to be done, storing all of it after each piece, and return it.

    Raises BadInput and UnknownName before anything is started.
    """
    began_s = time.monotonic()
    chosen = choose(options.defects, ZOO, "defect on real services")
    asked, kept, spent_s = opened(msgspec.structs.replace(options, profile=PROFILE))

    def power() -> Power:
        wall_s = round(spent_s + time.monotonic() - began_s, 1)
        return result_of(asked, [as_told(one) for one in chosen], kept, wall_s=wall_s, batch=BATCH)

    store(options.out, power())
    run(asked, chosen, kept, console, lambda: store(options.out, power()))
    return power()


def units(asked: Asked, chosen: Sequence[LiveDefect], entries: Sequence[Entry]) -> Iterator[Unit]:
    """Yield what is left to be done, in rounds."""
    tried = {(e.defect, e.number) for e in entries if isinstance(e, Trial)}
    batches = {e.number for e in entries if isinstance(e, Clean)}
    looked = {e.defect for e in entries if isinstance(e, Near)}
    left = [(n, min(BATCH, asked.clean - at)) for n, at in enumerate(range(0, asked.clean, BATCH), 1)]
    share = -(-len(left) // asked.trials)
    guests_first = sorted(chosen, key=lambda one: not one.plant().is_guest)
    for number in range(1, asked.trials + 1):
        for one in guests_first:
            if (one.name, number) not in tried:
                yield Unit(number=number, defect=one.name)
        for batch, count in left[share * (number - 1) : share * number]:
            if batch not in batches:
                yield Unit(number=batch, clean=count)
    for one in chosen:
        if one.near_miss is not None and one.name not in looked:
            yield Unit(number=1, defect=one.name, near=True)


def run(
    asked: Asked,
    chosen: Sequence[LiveDefect],
    kept: work.Kept,
    console: Console,
    keep: Callable[[], None],
) -> None:
    """Do what is left, one stack at a time, and store after each piece."""
    todo = list(units(asked, chosen, kept.entries))
    began_s = time.monotonic()
    with trials.Site(asked, kept.plans.parent / "work") as site:
        for done, unit in enumerate(todo, 1):
            entry = _perform(site, unit, {one.name: one for one in chosen}, kept)
            if entry is not None:
                kept.add(entry)
                keep()
            minutes = (time.monotonic() - began_s) / 60
            words = told(entry) if entry is not None else _not_tried(unit)
            console.print(f"{done} of {len(todo)}, {minutes:.1f} min: {words}", markup=False)


def _perform(site: trials.Site, unit: Unit, chosen: dict[str, LiveDefect], kept: work.Kept) -> Entry | None:
    """Do one piece of work; None for a near miss when no plan is kept that it could meet."""
    if unit.clean:
        return trials.try_clean(site, unit.number, unit.clean)
    one, path = chosen[unit.defect], kept.plans / work.plan_file(unit.defect, small=False)
    if not unit.near:
        return trials.try_defect(site, one, unit.number, path)
    if not path.exists():
        return None
    return trials.try_near(site, one, unit.number, plans.decode(path.read_bytes(), source=str(path)))


def _not_tried(unit: Unit) -> str:
    return f"near miss of {unit.defect}: not tried, for no plan is kept that caught its defect"


def told(entry: Entry) -> str:
    """Say in a line what came of a piece of work."""
    match entry:
        case Trial():
            return f"{entry.defect} #{entry.number}: {_course(entry)}{_failed(entry)}"
        case Near():
            words = "; ".join(f"{alarm.checks} {alarm.words}" for alarm in entry.alarms)
            return f"near miss of {entry.defect}: {words or 'no alarm'}{_failed(entry)}"
        case Clean():
            rest = [*entry.alarms, *entry.opens]
            words = "; ".join(f"drill {alarm.plan}: {alarm.checks} {alarm.words}" for alarm in rest)
            proven = entry.drills - entry.failed - len(rest)
            return f"without a defect: {proven} of {entry.drills} proven {words}{_failed(entry)}"
    return ""


def _course(trial: Trial) -> str:
    drills = f"{trial.drills} drill{'s' if trial.drills > 1 else ''}"
    if trial.named is not None:
        return f"{', '.join(trial.checks)}, in {drills}, {trial.named_s} s"
    others = f"; others said {', '.join(trial.first_checks)}" if trial.first else ""
    return f"not named in {drills}{others}"


def _failed(entry: Trial | Near | Clean) -> str:
    return f" ({entry.failed} could not be run to their end)" if entry.failed else ""


def as_told(one: LiveDefect) -> Planted:
    """Return what is told of a defect."""
    return Planted(
        name=one.name,
        failure_mode=one.failure_mode,
        where=one.where,
        words=one.words,
        switch=one.switch,
        caught_by=one.caught_by,
        near_miss=f"`{one.near_switch}`" if one.near_miss else one.near_switch,
        hint=one.hint or one.kind or (one.survivors or ""),
    )
