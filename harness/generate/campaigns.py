"""Campaigns: plans drawn from a seed so that every kind of case comes up by design, not by luck.

Each plan's script is pinned by a greedy covering array over step, means, batching and killed-or-not (with
survivors as a fifth dimension): the next plan is the one that brings most values not seen before, then the
kind shown least so far, then most pairs of values. What a fresh cluster wipes out is not shown there, and
nothing outside the envelope, where a restore may rightly be refused. The rest goes by the plan's number,
from 0:

    survivors   ``all``, ``archive`` and ``standby`` in turn, each three begun by the next one, unless asked
                for; never ``standby`` where no standby can take over
    initial     ``snapshot`` in every seventh plan from the first on, else ``streamed``
    fault       the archiver is killed in every third plan from the second on; in a storm instead
                none, one or two of all faults that the host can do, as ``swarm`` chooses them, and in every
                tenth plan one outside the envelope, if the host can do any
    again       tenants are damaged twice in every third plan from the third on
    switchovers three in a row in every twelfth plan of a storm from the tenth on, and no fault beside them;
                none where no standby can take over

So three plans have one of each; fewer are single drills, and have no fault. What is not pinned Hypothesis
draws, from a seed made of the campaign's and the number. (``.example()`` is for consoles only; a test
function that collects is the documented way to draw from a seed.) The same seed gives the same plans on
the same version of house and Hypothesis; what replays a drill for good is its plan file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from itertools import combinations, product
from random import Random
from typing import TypedDict, Unpack

import msgspec
from hypothesis import HealthCheck, Phase, given
from hypothesis import seed as seeded
from hypothesis import settings as with_settings

from harness.generate import swarm
from harness.generate.expand import expand
from harness.generate.profiles import Settings, profile_named
from harness.generate.shapes import PlanShape
from harness.generate.steps import possible, step_named
from harness.generate.strategies import BATCHINGS, SURVIVORS, FaultPhase, Pins, reruns, shapes
from harness.generate.swarm import Unavailable
from harness.model.coverage import Cell, cells_named
from harness.model.errors import BadInput
from harness.model.plan import Plan, Survivors
from harness.model.schema import Schema

SWITCHOVERS = 3
SWITCHES_FIRST, SWITCHES_EVERY = 9, 12
"""From which plan of a storm on, and how often, primary and standby are exchanged so many times (FM-23)."""


class Wanted(TypedDict, total=False):
    """What a campaign is asked for. ``unavailable``: which faults the host can't do. ``towards``: cells of
    the coverage map that were marked already; a storm goes to the others first. ``failover``: whether a
    standby can take over. ``witness``: a second witness is heard, where the profile does not say so either.
    """

    profile: str
    tenants: int | None
    survivors: Survivors | None
    budget_s: float | None
    flush_interval_s: float
    unavailable: Unavailable
    towards: Collection[Cell]
    failover: bool
    witness: bool


def campaign(schema: Schema, *, seed: int, plans: int, **wanted: Unpack[Wanted]) -> list[Plan]:
    """Return ``plans`` plans. Raises BadInput for arguments of which none can be drawn, UnknownName."""
    return list(each(schema, seed=seed, plans=plans, **wanted))


def each(  # noqa: PLR0913 - each is an option of the command line
    schema: Schema,
    *,
    seed: int,
    plans: int,
    profile: str = "quick",
    tenants: int | None = None,
    survivors: Survivors | None = None,
    budget_s: float | None = None,
    flush_interval_s: float = 1.0,
    unavailable: Unavailable = lambda _: "",
    towards: Collection[Cell] = (),
    failover: bool = True,
    witness: bool = False,
) -> Iterator[Plan]:
    """Yield the plans of that ``campaign``, each drawn when it is asked for; see ``Wanted``."""
    if plans < 1 or seed < 0:
        raise BadInput(
            f"{plans} plans of seed {seed} can't be drawn",
            cure="give at least one plan, and a seed from 0",
        )
    asked = Settings(profile=profile, budget_s=budget_s, flush_interval_s=flush_interval_s, witness=witness)
    storm, swarms = profile_named(profile).storm, profile_named(profile).swarm
    outside = swarms and bool(swarm.possible_names(unavailable, "all", outside=True))
    rng = Random(f"strata {seed}")
    pinned = strata(schema, rng, plans, survivors, storm=storm, failover=failover, outside=outside)
    if swarms:
        pinned = with_swarms(pinned, Random(f"swarms {seed}"), unavailable, towards)
    for number, pins in enumerate(pinned):
        yield expand(_drawn(schema, profile, tenants, pins, f"{seed} {number}"), schema, asked)


def pinned_plan(
    schema: Schema, *, kind: str, seed: int, profile: str = "quick", survivors: Survivors | None = None
) -> Plan:
    """Return the plan of that seed whose script is of one ``kind``; raises BadInput, UnknownName."""
    shape = _drawn(schema, profile, None, Pins(kind=kind, survivors=survivors), f"pinned {kind} {seed}")
    return expand(shape, schema, Settings(profile=profile))


def strata(
    schema: Schema,
    rng: Random,
    plans: int,
    survivors: Survivors | None,
    *,
    storm: bool = False,
    failover: bool = True,
    outside: bool = False,
) -> Iterator[Pins]:
    """Yield what is pinned in each plan; ``storm``: with the whole grammar.

    ``outside``: with a tenth outside the envelope. There everything survives and nobody is exchanged, and
    the next plan begins with a snapshot.
    """
    scripts = _scripts(schema, storm=storm)
    seen: set[tuple[object, ...]] = set()
    shown: Counter[str | None] = Counter()
    in_turn = SURVIVORS if failover else SURVIVORS[:2]
    due, after = swarm.OUTSIDE_FIRST if outside else plans, False
    for number in range(plans):
        here = survivors or in_turn[(number + number // len(in_turn)) % len(in_turn)]
        switches = storm and failover and number % SWITCHES_EVERY == SWITCHES_FIRST
        beyond = number >= due and here == "all" and not switches and not after
        this = msgspec.structs.replace(
            _best(scripts, seen, shown, rng, Pins(survivors=here, outside=beyond)),
            initial="streamed" if number % 7 and not after else "snapshot",
            fault=_fault(rng, here) if number % 3 == 1 else "none",
            again=number % 3 == 2,
            switchovers=SWITCHOVERS if switches else 0,
        )
        due, after = due + swarm.OUTSIDE_EVERY * beyond, beyond
        seen |= _pairs(this) | _values(this)
        shown[_shown_kind(this)] += 1
        yield this


def with_swarms(
    pinned: Iterable[Pins], rng: Random, unavailable: Unavailable, towards: Collection[Cell]
) -> Iterator[Pins]:
    """Yield the pins with faults by their names, chosen towards the cells that nothing has marked.

    A plan outside the envelope has one fault alone.
    """
    seen, counts = set(towards), swarm.counts()
    for pins in pinned:
        survivors, script = pins.survivors or "all", pins.kind or ""
        names = swarm.possible_names(unavailable, survivors, outside=pins.outside)
        wanted = 0 if pins.switchovers else 1 if pins.outside else next(counts)
        chosen = swarm.choose(rng, names, script, wanted, seen)
        seen |= {cell for name in chosen for cell in cells_named(name, [script])}
        yield msgspec.structs.replace(pins, faults=chosen, fault="none")


def _scripts(schema: Schema, *, storm: bool) -> list[Pins]:
    """Every kind of script that the schema can say."""
    return [
        Pins(kind=step.kind, means=means, batching=batching, killed=killed)
        for step in possible(schema, storm=storm)
        for means, batching, killed in product(step.means(schema), BATCHINGS, (False, True))
        if not killed or reruns(step, means)
    ]


def _best(
    scripts: list[Pins],
    seen: set[tuple[object, ...]],
    shown: Counter[str | None],
    rng: Random,
    here: Pins,
) -> Pins:
    """Return the script that brings most that is new; when all has been seen, of a kind shown least.

    Of a kind whose traces would not be seen ``here`` nothing new is seen: it comes again. Where
    they would be seen such a kind goes first: all others show themselves anywhere.
    """
    candidates = [
        msgspec.structs.replace(script, survivors=here.survivors, outside=here.outside)
        for script in scripts
    ]
    rng.shuffle(candidates)

    def worth(pins: Pins) -> tuple[int, int, bool, int]:
        kept = step_named(pins.kind or "").in_place and not _wasted(pins)
        return len(_values(pins) - seen), -shown[pins.kind], kept, len(_pairs(pins) - seen)

    return max(candidates, key=worth)


def _values(pins: Pins) -> set[tuple[object, ...]]:
    kind = _shown_kind(pins)
    return set(enumerate((kind, pins.means, pins.batching, pins.killed, pins.survivors)))


def _shown_kind(pins: Pins) -> str | None:
    """Return the kind that a plan shows, None where its traces can't be seen."""
    return None if _wasted(pins) else pins.kind


def _wasted(pins: Pins) -> bool:
    """Whether a fresh cluster, or a restore that may rightly be refused, would hide what the script did."""
    return pins.outside or (pins.survivors == "archive" and step_named(pins.kind or "").in_place)


def _pairs(pins: Pins) -> set[tuple[object, ...]]:
    return set(combinations(sorted(_values(pins), key=lambda value: str(value[0])), 2))


def _fault(rng: Random, survivors: Survivors) -> FaultPhase:
    """Where only the archive survives no archiver runs while tenants are restored."""
    return "write" if survivors == "archive" else rng.choice(("write", "restore"))


def _drawn(schema: Schema, profile: str, tenants: int | None, pins: Pins, source: str) -> PlanShape:
    """Let Hypothesis draw one shape: its first example is always the minimal one, the next is drawn."""
    found: list[PlanShape] = []

    @seeded(Random(source).getrandbits(64))
    @with_settings(
        max_examples=2,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(shapes(schema, profile=profile, tenants=tenants, pins=pins))
    def collect(shape: PlanShape) -> None:
        found.append(shape)

    collect()
    return found[-1]
