"""The swarm: which faults a plan has, in which phases they strike, and for how long.

Each plan of a storm has a few, by their names. A campaign chooses them: kinds that were met least go first,
then names, then those with most cells of the coverage map still empty under the plan's kind of script.
What is drawn are the times. Faults of one phase follow each other, so that each can be shown to have bitten
and to be healed; the last one of the write phase may last into the script.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cache
from random import Random

import msgspec
from hypothesis import strategies as st

from harness.generate.shapes import SwarmShape
from harness.model import faults as f
from harness.model.coverage import Cell, cells_named
from harness.model.errors import UnknownName

Unavailable = Callable[[f.Fault], str]
"""Says why a host can't do a fault, an empty text if it can."""

PHASES: tuple[f.FaultPhase, ...] = ("write", "script", "restore")
BEGINS_TENTHS = (6, 18)
"""When the first one strikes: after a quiet tenant has made its one write."""
APART_TENTHS = (10, 20)
EARLY_TENTHS = (0, 3)
"""A script may be over in a moment, and so may restores: what is to strike amid them strikes early."""

RESTARTS = (1, 6, 12)
"""How many times in a row a connector is restarted."""

OUTSIDE_FIRST, OUTSIDE_EVERY = 5, 10
"""Of so many plans one has a fault outside the envelope, if this host can do any."""


def all_names() -> tuple[str, ...]:
    """Return the names of all faults there are."""
    return tuple(name for kind in f.KINDS for name in f.names(kind))


def made(name: str, *, phase: f.FaultPhase, after_s: float, down_s: float) -> f.Fault:
    """Return the fault of that name; raises UnknownName."""
    kind = _kind(name)
    target = name.removeprefix(f.kind_words(kind)).strip()
    field = "link" if "link" in kind.__struct_fields__ else "service"
    given = {field: target} if target else {}
    return msgspec.convert(
        {"kind": kind.__struct_config__.tag, "phase": phase, "after_s": after_s, "down_s": down_s, **given},
        kind,
    )


_KIND_OF: dict[str, type[f.Fault]] = {name: kind for kind in f.KINDS for name in f.names(kind)}


def _kind(name: str) -> type[f.Fault]:
    if name not in _KIND_OF:
        raise UnknownName("fault", name, list(all_names()))
    return _KIND_OF[name]


@cache
def phases_of(name: str, survivors: str) -> tuple[f.FaultPhase, ...]:
    """Return the phases in which a fault of that name may strike.

    What touches restores alone strikes while there are some. Where not everything survives only the write
    phase is sure to have its course.
    """
    found: list[f.FaultPhase] = []
    for phase in PHASES:
        fault = made(name, phase=phase, after_s=0.0, down_s=0.0)
        idle = (phase == "restore") != (f.touches(fault).stages == ("restore",))
        cut_short = phase == "script" and survivors != "all"
        if not idle and not cut_short and not f.misplaced(fault, survivors):
            found.append(phase)
    return tuple(found)


def possible_names(unavailable: Unavailable, survivors: str, *, outside: bool = False) -> tuple[str, ...]:
    """Return the names of faults that this host can do; ``outside``: those outside of every promise."""
    return tuple(
        name
        for name in all_names()
        if f.KINDS[_kind(name)].in_envelope != outside
        and phases_of(name, survivors)
        and not unavailable(made(name, phase="write", after_s=0.0, down_s=0.0))
    )


def listed(unavailable: Unavailable) -> dict[str, str]:
    """Return the names of faults that this host can't do, each with the reason."""
    reasons = {
        name: unavailable(made(name, phase="write", after_s=0.0, down_s=0.0)) for name in all_names()
    }
    return {name: reason for name, reason in reasons.items() if reason}


def choose(
    rng: Random, names: Sequence[str], script: str, count: int, seen: Collection[Cell]
) -> tuple[str, ...]:
    """Return up to ``count`` of ``names`` for a plan whose script is of that kind, newest first.

    At most one of them blocks commits, so that writers have most of the write phase.
    """
    left, met = list(names), set(seen)
    chosen: list[str] = []
    rng.shuffle(left)
    while left and len(chosen) < count:
        best = min(left, key=_worn(script, met))
        left.remove(best)
        if _blocks_commits(best) and any(map(_blocks_commits, chosen)):
            continue
        chosen.append(best)
        met |= set(cells_named(best, [script]))
    return tuple(chosen)


def _worn(script: str, seen: Collection[Cell]) -> Callable[[str], tuple[float, int, int]]:
    """Return what says how well known a fault is: its kind, its name, and it under this kind of script.

    A kind of twice the weight is met twice as often, until it is as well known as the others.
    """
    met = {(cell.fault, cell.script) for cell in seen}
    of_name = Counter(name for name, _ in met)
    of_kind = Counter(_KIND_OF[name] for name, _ in met if name in _KIND_OF)

    def worn(name: str) -> tuple[float, int, int]:
        kind = _kind(name)
        return of_kind[kind] / max(f.KINDS[kind].weight, 1), of_name[name], (name, script) in met

    return worn


@cache
def _blocks_commits(name: str) -> bool:
    return f.blocks(made(name, phase="write", after_s=0.0, down_s=0.0), "commits")


@st.composite
def swarms(draw: st.DrawFn, names: Sequence[str], survivors: str) -> SwarmShape:
    """Draw when the faults of these names strike, one after another in each phase, and for how long."""
    due_s: dict[str, float] = {}
    found = []
    for name in sorted(names, key=lambda name: not _hits_restorer(name)):
        phase = draw(st.sampled_from(phases_of(name, survivors)))
        first = EARLY_TENTHS if phase == "script" or _hits_restorer(name) else BEGINS_TENTHS
        after_s = (
            due_s.get(phase, 0.0) + draw(st.integers(*(APART_TENTHS if phase in due_s else first))) / 10
        )
        low_s, high_s = f.KINDS[_kind(name)].down_s
        down_s = draw(st.integers(round(low_s * 10), round(high_s * 10))) / 10
        fault = made(name, phase=phase, after_s=round(after_s, 1), down_s=down_s)
        found.append(_directed(draw, fault))
        due_s[phase] = after_s + down_s
    return SwarmShape(faults=tuple(found), late=draw(st.booleans()))


@cache
def _hits_restorer(name: str) -> bool:
    return f.target_of(made(name, phase="write", after_s=0.0, down_s=0.0)) == "restorer"


def _directed(draw: st.DrawFn, fault: f.Fault) -> f.Fault:
    """Draw a cut's direction, a jump's, and how many times in a row a connector is restarted."""
    if isinstance(fault, f.CutLink):
        directions: tuple[f.Direction, ...] = ("both", "up", "down")
        return msgspec.structs.replace(fault, direction=draw(st.sampled_from(directions)))
    if isinstance(fault, f.RestartConnector):
        return msgspec.structs.replace(fault, times=draw(st.sampled_from(RESTARTS)))
    if isinstance(fault, f.ClockJump):
        return msgspec.structs.replace(fault, jump_s=draw(st.sampled_from((600.0, -600.0))))
    return fault


def placed(swarm: SwarmShape, write_s: float) -> tuple[f.Fault, ...]:
    """Return a swarm's faults; a late one begins so that it lasts into the script."""
    writes = [fault for fault in swarm.faults if fault.phase == "write"]
    if not swarm.late or not writes or any(fault.phase == "script" for fault in swarm.faults):
        return swarm.faults
    last = writes[-1]
    after_s = max(last.after_s, round(write_s - last.down_s / 2, 1))
    return tuple(_at(fault, after_s) if fault is last else fault for fault in swarm.faults)


def _at(fault: f.Fault, after_s: float) -> f.Fault:
    return msgspec.structs.replace(fault, after_s=after_s)


def counts() -> Iterator[int]:
    """Yield how many faults each plan of a campaign has, in turn."""
    while True:
        yield from (1, 2, 1, 2, 0)
