"""Detection power as values: what was tried against each planted defect, and how much of it was caught.

``trials-*.jsonl`` holds one ``Entry`` a line in the order in which they came, ``power.json`` one
``Power``. Fields may be added, with defaults: results of before stay readable.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

import msgspec

from harness.model.errors import BadInput
from harness.model.layers import Layer

Z_95 = 1.959963985
"""Standard normal deviate of a two-sided interval of 95 %."""


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """A drill without a defect that was found broken: which plan (from 1), its seed, and what was said."""

    plan: int
    seed: int
    checks: tuple[str, ...]
    words: str


class Trial(msgspec.Struct, frozen=True, kw_only=True, tag="trial"):
    """One campaign against one defect. Plans are counted from 1; None: within the limit, never.

    ``first``: the plan in which anything was found broken, by ``first_checks``. ``named``: the one in which
    an expected check said so, by ``checks`` (all that did); ``named_s``: drills until then, in seconds.
    ``failed``: drills that could not be run to their end. The near miss had the same ``near_drills`` plans.
    """

    defect: str
    number: int
    seed: int
    drills: int
    first: int | None = None
    first_checks: tuple[str, ...] = ()
    named: int | None = None
    checks: tuple[str, ...] = ()
    named_s: float | None = None
    kind: str = ""
    survivors: str = ""
    failed: int = 0
    near_drills: int = 0
    near_failed: int = 0
    alarms: tuple[Alarm, ...] = ()


class Clean(msgspec.Struct, frozen=True, kw_only=True, tag="clean"):
    """Plans without a defect. ``wall_ms``, ``cpu_ms``: of each drill, run and judged, the drawing apart.

    ``opens``: drills found unknown, of plans that are proven where nothing is wrong.
    """

    number: int
    seed: int
    drills: int
    failed: int = 0
    alarms: tuple[Alarm, ...] = ()
    opens: tuple[Alarm, ...] = ()
    wall_ms: tuple[float, ...] = ()
    cpu_ms: tuple[float, ...] = ()


class Small(msgspec.Struct, frozen=True, kw_only=True, tag="small"):
    """The plan of one trial, reduced once while an expected check went on to name the defect."""

    defect: str
    number: int
    operations_before: int
    operations: int
    tenants: int
    faults: int
    attacks: int


class Near(msgspec.Struct, frozen=True, kw_only=True, tag="near"):
    """A near miss on the plan that caught its defect in trial ``number``."""

    defect: str
    number: int
    drills: int
    failed: int = 0
    alarms: tuple[Alarm, ...] = ()


Entry = Trial | Clean | Small | Near


class Planted(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of a defect. ``hint``: what its plans are bound to, empty when to nothing."""

    name: str
    failure_mode: str
    where: Layer
    words: str
    switch: str
    caught_by: tuple[str, ...]
    near_miss: str
    hint: str = ""

    @property
    def has_near_miss(self) -> bool:
        """Whether there is one: where not, ``near_miss`` says why, after *none:*."""
        return not self.near_miss.startswith("none: ")


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for. ``code``: digest of the program's own source: results are of one program.

    ``commit``: the one of git that was checked out, with ``-dirty`` when files differed; empty outside git.
    """

    host: str
    schema: str
    profile: str
    seed: int
    trials: int
    plans_max: int
    clean: int
    code: str
    commit: str = ""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where it ran, and with what."""

    system: str
    processor: str
    cores: int
    load: float
    versions: dict[str, str]


class Power(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. ``wall_s``: of the runs that made it, together.

    ``remarks``: what people found out about it later, as the cause of a false alarm; written by hand.
    """

    made_at: str
    asked: Asked
    machine: Machine
    wall_s: float
    planted: tuple[Planted, ...]
    trials: tuple[Trial, ...]
    clean: tuple[Clean, ...]
    small: tuple[Small, ...]
    near: tuple[Near, ...] = ()
    remarks: tuple[str, ...] = ()

    def rows(self) -> tuple[Row, ...]:
        """Return one row a defect, in their order."""
        return tuple(
            _row(one, self, [t for t in self.trials if t.defect == one.name]) for one in self.planted
        )

    @property
    def live(self) -> bool:
        """Whether it was measured on real services."""
        return self.asked.host != "simulated"

    @property
    def caught_s(self) -> float | None:
        """Median seconds, over all trials that caught something, until they did."""
        spent = [trial.named_s for trial in self.trials if trial.named_s is not None]
        return median(spent) if spent else None

    @property
    def near_drills(self) -> int:
        """How many drills with a near miss were run to their end."""
        return sum(row.near_drills for row in self.rows())

    @property
    def near_alarms(self) -> int:
        """How many of them were found broken."""
        return sum(row.alarms for row in self.rows())

    @property
    def near_untried(self) -> tuple[str, ...]:
        """Defects whose near miss no drill was run with to its end."""
        return tuple(
            row.planted.name for row in self.rows() if row.planted.has_near_miss and not row.near_drills
        )

    @property
    def failed(self) -> tuple[int, int, int]:
        """Drills that could not be run to their end: with a defect, with a near miss, without either."""
        near = sum(trial.near_failed for trial in self.trials) + sum(one.failed for one in self.near)
        return sum(trial.failed for trial in self.trials), near, sum(batch.failed for batch in self.clean)

    @property
    def clean_drills(self) -> int:
        """How many plans without a defect were run to their end."""
        return sum(batch.drills - batch.failed for batch in self.clean)

    @property
    def clean_alarms(self) -> int:
        """How many of them were found broken."""
        return sum(len(batch.alarms) for batch in self.clean)

    @property
    def clean_proven(self) -> int:
        """How many of them were proven, where each should be."""
        return self.clean_drills - self.clean_alarms - self.clean_opens

    @property
    def clean_opens(self) -> int:
        """How many of them were found unknown, where each should be proven."""
        return sum(len(batch.opens) for batch in self.clean)

    @property
    def drill_ms(self) -> tuple[float, float] | None:
        """Median of a drill in wall-clock and in processor milliseconds."""
        wall = [ms for batch in self.clean for ms in batch.wall_ms]
        cpu = [ms for batch in self.clean for ms in batch.cpu_ms]
        return (median(wall), median(cpu)) if wall and cpu else None

    @property
    def whole(self) -> bool:
        """Whether everything that was asked for was done, near misses too, and could be run.

        A drill with a defect that could not be run to its end is part of its trial: it caught nothing.
        """
        _, *failed = self.failed
        tried = all(row.trials >= self.asked.trials for row in self.rows()) and not self.near_untried
        return tried and not any(failed) and sum(b.drills for b in self.clean) >= self.asked.clean

    @property
    def sharp(self) -> bool:
        """Whether every trial caught its defect by an expected check, and nothing else was found broken."""
        caught = all(row.caught == row.trials for row in self.rows())
        return caught and not (self.near_alarms or self.clean_alarms or self.clean_opens)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One defect, summed up. ``caught``: trials in which an expected check named it; ``any_check``: in
    which anything was found broken; ``at_first``: in which the expected one was among the first to say
    so. ``named_by``: how often each expected check did. ``near_drills``, ``alarms``: of its near miss.
    ``asked``: how many trials there should be.
    """

    planted: Planted
    asked: int
    trials: int
    caught: int
    any_check: int
    at_first: int
    interval: tuple[float, float]
    plans: float | None
    plans_most: int | None
    seconds: float | None
    named_by: tuple[tuple[str, int], ...]
    near_drills: int
    alarms: int
    small: Small | None

    @property
    def missed(self) -> bool:
        """Whether a trial ended without its name."""
        return self.caught < self.trials

    @property
    def always(self) -> bool:
        """Whether all trials that were asked for were made, and each caught it."""
        return 0 < self.trials >= self.asked and not self.missed


def _row(planted: Planted, power: Power, trials: Sequence[Trial]) -> Row:
    apart = [one for one in power.near if one.defect == planted.name]
    named = [trial for trial in trials if trial.named is not None]
    checks = [check for trial in named for check in trial.checks]
    count = {check: checks.count(check) for check in dict.fromkeys(checks)}
    return Row(
        planted=planted,
        asked=power.asked.trials,
        trials=len(trials),
        caught=len(named),
        any_check=sum(trial.first is not None for trial in trials),
        at_first=sum(trial.first is not None and trial.first == trial.named for trial in trials),
        interval=wilson(len(named), len(trials)),
        plans=median(trial.named for trial in named if trial.named) if named else None,
        plans_most=max((trial.named for trial in named if trial.named), default=None),
        seconds=median(trial.named_s or 0.0 for trial in named) if named else None,
        named_by=tuple(sorted(count.items(), key=lambda item: (-item[1], item[0]))),
        near_drills=sum(trial.near_drills - trial.near_failed for trial in trials)
        + sum(one.drills - one.failed for one in apart),
        alarms=sum(len(trial.alarms) for trial in trials) + sum(len(one.alarms) for one in apart),
        small=next((one for one in power.small if one.defect == planted.name), None),
    )


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Return the score interval of 95 % of a share (E. B. Wilson, JASA 22 (1927), 209-212).

    Recommended for few trials, and for shares near 0 and 1, by Brown, Cai and DasGupta, "Interval
    estimation for a binomial proportion", Statistical Science 16 (2001), 101-133. Of none at all: 0 to 1.
    """
    if not trials:
        return 0.0, 1.0
    share, z2 = successes / trials, Z_95 * Z_95
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z_95 * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2)) / (1 + z2 / trials)
    return max(0.0, middle - half), min(1.0, middle + half)


def encode_entry(entry: Entry) -> bytes:
    """Return a line of ``trials-*.jsonl``."""
    return msgspec.json.encode(entry) + b"\n"


def decode_entries(data: bytes) -> list[Entry]:
    """Read such lines; a last one that breaks off, as a kill leaves it, does not count."""
    lines = [line for line in data.split(b"\n")[:-1] if line]
    return [msgspec.json.decode(line, type=Entry) for line in lines]


def encode(power: Power) -> bytes:
    """Return ``power.json``."""
    return msgspec.json.format(msgspec.json.encode(power), indent=1) + b"\n"


def encode_short(power: Power) -> bytes:
    """Return the same without white space, as it is kept beside the page."""
    return msgspec.json.encode(power) + b"\n"


def decode(data: bytes, *, source: str = "power.json") -> Power:
    """Read ``power.json``; raises BadInput."""
    try:
        return msgspec.json.decode(data, type=Power)
    except msgspec.DecodeError as error:
        raise BadInput(f"{source}: {error}", cure="make it anew with `restoreproof power`") from None
