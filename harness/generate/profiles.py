"""Profiles: what a drill demands, how fast writers go and for how long, so that it can prove something.

A budget b is provable for a tenant only with five writes older than b before its incident and five
younger; the floors of ``harness.model.plan.Floors`` say the rest. From the number of tenants come:

    rate_s      transactions a second of each tenant: enough for ROWS_PER_S over all of them (with room), at
                least four, at most what one tenant or the machine can do
    write_s     the longest of: the budget and the time for OLDER transactions before it; the time for
                TRANSACTIONS in all; the profile's minimum
    tail_s      how long writers go on afterwards: restores of every tenant, one after another and with
                room, the script, and what survivors, faults and second rounds add

In the tail pauses are even while the script and an outage last, and then each is ``TAIL_GROWTH`` longer
than the one before: long enough even on a slow day without a plan of many megabytes. Once a budget has gone
by since (what is younger at an incident has been written then), all tenants together make at most
``TAIL_RATE_MAX`` transactions a second, so that hundreds of neighbours leave the machine to the restores.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

import msgspec

from harness.generate.facts import SchemaFacts
from harness.generate.shapes import PlanShape
from harness.model.errors import BadInput, UnknownName
from harness.model.faults import CutLink, Fault, outage_s
from harness.model.plan import Floors, Script

TRANSACTIONS = 24
OLDER = 7
"""Aims with room: the floors are 20 and 5."""

ROWS_PER_S = 290.0
RATE_MIN = 4.0
RATE_OF_MACHINE_MAX = 132.0
"""Transactions a second that harness and stack together manage on two cores."""

TAIL_SLOWER = 2.0
TAIL_PAUSE_S_MAX = 1.0
"""However slow its writers, a neighbour must write while tenants are restored. Hundreds do without this."""

TAIL_RATE_MAX = 30.0
TAIL_GROWTH = 1.04
QUIET_AFTER_S = 0.25
"""When a quiet tenant makes its one write; whoever performs the plan holds its tail until the incident."""

FAULTS_APART_S = 3.0
"""What follows an outage sooner finds the pipeline still catching up, and counts as one with it."""

SWITCHOVER_S = 8.0
"""How long writers may write until one switchover is over: planned for, so that they do not run slow."""

FAILOVER_S = 3.0
"""How long nothing is archived when a standby takes over: until the connector goes on there."""

STORM_RECOVERY_S = 10.0
"""What a storm allows beyond its longest outage: half a minute would triple the length of each drill."""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What a transaction is like: ``rows`` it changes on average (ledger included), and its bulk loads.

    ``copy_weight`` is beside the 96 of all other kinds; ``copy_rows`` least and most rows of one.
    ``rate_max``: transactions a second that one tenant makes at most.
    """

    rows: float
    copy_weight: int
    copy_rows: tuple[int, int]
    rate_max: float


SMALL_STATEMENTS = Load(rows=3.6, copy_weight=4, copy_rows=(4, 12), rate_max=12.0)
LEISURELY = Load(rows=3.0, copy_weight=4, copy_rows=(3, 6), rate_max=6.0)
"""Just enough for a proof: what matters in a simulation is the course, not the load."""

SPARSE = Load(rows=2.0, copy_weight=4, copy_rows=(2, 3), rate_max=1.5)
"""Far too little for a proof: enough to see whether something breaks, hundreds of times a minute."""

BULKY = Load(rows=13.0, copy_weight=20, copy_rows=(15, 40), rate_max=0.5)
"""Fewer and larger transactions, so that the plan of a long drill stays at some tens of megabytes."""


class Outage(msgspec.Struct, frozen=True, kw_only=True):
    """The archiver is cut off from the bucket for ``lasts_s``, from ``before_s`` before the script on."""

    lasts_s: float
    before_s: float

    def fault(self, write_s: float) -> CutLink:
        """Return it as a fault of a write phase that lasts ``write_s``."""
        begins_s = write_s - self.before_s
        return CutLink(link="archiver-minio", phase="write", after_s=begins_s, down_s=self.lasts_s)


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """``budget_s`` from tenants and flush interval; ``recovery_s`` allowed after an outage.

    ``tail``: what share of the tail that real services may need is planned. ``storm``: scripts may take
    any step of the grammar, not only those that every quick drill is sure to prove. ``swarm``: faults are
    of all kinds, as ``swarm`` chooses them, not the kill of the archiver alone. ``huge_rows``: with how
    many rows all tenants together begin where one huge transaction removes nearly all of them. ``tried``:
    the archive is attacked, and further watermarks are checked in copies of it: least and most
    ``watermark_checks``. ``older``,
    ``transactions``: what a tenant aims to write, before the budget and in all; ``floors_s``: how long the
    script waits for floors that were missed. ``outage``: one that every plan has, and no other fault beside
    it. ``rows``: least and most initial rows of a tenant; ``giants``: whether a few texts are very long.
    ``witness``: whether a second witness is heard, where there can be one. ``traps``: in
    some plans transactions straddle the incident, meet or interleave, as ``traps`` draws them.
    """

    name: str
    tenants: int
    budget_s: Callable[[int, float], float]
    write_s_min: float
    recovery_s: float
    load: Load = SMALL_STATEMENTS
    tail: float = 1.0
    promise_s: float = 300.0
    storm: bool = False
    swarm: bool = False
    tried: bool = False
    watermark_checks: tuple[int, int] = (3, 3)
    huge_rows: int = 800
    outage: Outage | None = None
    floors_s: float = 60.0
    older: int = OLDER
    transactions: int = TRANSACTIONS
    rows: tuple[int, int] = (5, 500)
    giants: bool = True
    witness: bool = False
    traps: bool = False


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            name="quick",
            tenants=12,
            budget_s=lambda tenants, flush_s: max(3.0, 3 * flush_s, tenants / 8),
            write_s_min=5.5,
            recovery_s=5.0,
        ),
        Profile(
            name="simulated",
            tenants=4,
            budget_s=lambda _, flush_s: 3 * flush_s,
            write_s_min=5.5,
            recovery_s=5.0,
            load=LEISURELY,
            tail=0.35,
        ),
        Profile(
            name="storm",
            tenants=12,
            budget_s=lambda tenants, flush_s: max(STORM_RECOVERY_S, 3 * flush_s, tenants / 8),
            write_s_min=5.5,
            recovery_s=STORM_RECOVERY_S,
            storm=True,
            traps=True,
            swarm=True,
            tried=True,
            huge_rows=24_000,
        ),
        Profile(
            name="hunt",
            tenants=3,
            budget_s=lambda _, flush_s: 3 * flush_s,
            write_s_min=2.5,
            recovery_s=5.0,
            load=SPARSE,
            tail=0.1,
            storm=True,
            traps=True,
            swarm=True,
            tried=True,
            watermark_checks=(0, 2),
            floors_s=0.0,
            older=0,
            transactions=0,
            huge_rows=100,
            rows=(5, 30),
            giants=False,
        ),
        Profile(
            name="chase",
            tenants=4,
            budget_s=lambda _, flush_s: 3 * flush_s,
            write_s_min=4.5,
            recovery_s=5.0,
            load=LEISURELY,
            tail=0.5,
            storm=True,
            traps=True,
            tried=True,
            watermark_checks=(0, 2),
            floors_s=0.0,
            older=0,
            transactions=0,
            huge_rows=200,
            rows=(5, 60),
            giants=False,
        ),
        Profile(
            name="audit",
            tenants=12,
            budget_s=lambda *_: 300.0,
            write_s_min=900.0,
            recovery_s=30.0,
            load=BULKY,
            tried=True,
            outage=Outage(lasts_s=240.0, before_s=200.0),
            witness=True,
        ),
    )
}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a plan, beside what is drawn. ``budget_s`` None: the profile's own.

    ``witness``: a second witness is heard, whatever the profile says, and needed.
    """

    profile: str = "quick"
    budget_s: float | None = None
    flush_interval_s: float = 1.0
    witness: bool = False


class WriterPace(msgspec.Struct, frozen=True, kw_only=True):
    """When one writer's transactions are due; the first ``write_count`` lie in the write phase."""

    pauses_s: tuple[float, ...]
    write_count: int


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """The timing of one plan.

    ``rate_s``: transactions a second of each tenant that is not quiet; ``tail_rate_s``: at most late in
    the tail. ``outages``: faults that the profile demands, instead of those drawn;
    ``heals_s``: how long after the script's begin they last.
    """

    budget_s: float
    recovery_s: float
    write_s: float
    tail_s: float
    script_s: float
    rate_s: float
    tail_rate_s: float
    switching_s: float
    load: Load
    floors: Floors
    outages: tuple[Fault, ...] = ()
    floors_s: float
    heals_s: float = 0.0

    def of_writer(self, rng: Random, writers: int, *, quiet: bool) -> WriterPace:
        """Return the pace of one of a tenant's ``writers``."""
        if quiet:
            return WriterPace(pauses_s=(QUIET_AFTER_S, *self._tail(rng, writers)), write_count=1)
        mean_s = writers / self.rate_s
        written_s = self.switching_s + self.write_s
        count = max(1, math.ceil(written_s / mean_s))
        pauses_s = [rng.uniform(0, 1), *(rng.uniform(0.7, 1.3) for _ in range(count - 1))]
        scale = min(mean_s, 0.99 * written_s / sum(pauses_s))
        pauses_s = [round(scale * pause_s, 3) for pause_s in pauses_s]
        pauses_s += self._tail(rng, writers)
        return WriterPace(pauses_s=tuple(pauses_s), write_count=max(1, math.ceil(self.write_s / mean_s)))

    def _tail(self, rng: Random, writers: int) -> list[float]:
        longest_s = max(TAIL_PAUSE_S_MAX, 1 / self.tail_rate_s)
        pause_s = writers * min(TAIL_SLOWER / self.rate_s, longest_s)
        due_s, pauses_s, even_s = 0.0, [], self.script_s + self.heals_s
        while due_s < self.tail_s:
            pauses_s.append(round(pause_s * rng.uniform(0.7, 1.3), 3))
            due_s += pause_s
            if due_s > even_s:
                pause_s *= TAIL_GROWTH
            if due_s > even_s + self.budget_s:
                pause_s = max(pause_s, writers / self.tail_rate_s)
        return pauses_s


def profile_named(name: str) -> Profile:
    """Return the profile; raises UnknownName."""
    if name not in PROFILES:
        raise UnknownName("profile", name, list(PROFILES))
    return PROFILES[name]


def pace(shape: PlanShape, settings: Settings, facts: SchemaFacts, script: Script) -> Pace:
    """Work out the timing for a shape; raises BadInput for a budget over the promise."""
    profile = profile_named(settings.profile)
    tenants = len(shape.tenants)
    budget_s = _budget_s(profile, shape, settings)
    active = max(1, tenants - 1)
    rows = profile.load.rows if facts.ledger else profile.load.rows - 1
    rate_s = min(
        RATE_OF_MACHINE_MAX / active, profile.load.rate_max, max(RATE_MIN, ROWS_PER_S / (rows * active))
    )
    write_s = max(
        profile.write_s_min,
        *([budget_s + max(2.5, profile.older / rate_s)] if profile.older else []),
        profile.transactions / rate_s,
    )
    script_s = sum(t.pause_s + 0.1 for t in script.transactions)
    outages = (profile.outage.fault(write_s),) if profile.outage else ()
    heals_s = profile.outage.lasts_s - profile.outage.before_s if profile.outage else 0.0
    return Pace(
        budget_s=budget_s,
        recovery_s=profile.recovery_s,
        write_s=round(write_s, 2),
        tail_s=script_s + profile.tail * _tail_s(shape) + heals_s,
        script_s=script_s,
        rate_s=rate_s,
        tail_rate_s=TAIL_RATE_MAX / active,
        switching_s=SWITCHOVER_S * len(shape.switchovers),
        load=profile.load,
        floors=Floors(rows_per_s=round(min(200.0, 0.7 * rate_s * active * rows), 1)),
        floors_s=profile.floors_s,
        outages=outages,
        heals_s=heals_s,
    )


def _budget_s(profile: Profile, shape: PlanShape, settings: Settings) -> float:
    tenants = len(shape.tenants)
    own_s = profile.budget_s(tenants, settings.flush_interval_s)
    faults = (*((shape.fault,) if shape.fault else ()), *shape.swarm.faults)
    down_s = outage_s(faults, apart_s=FAULTS_APART_S) if faults else 0.0
    down_s += FAILOVER_S if shape.survivors == "standby" else 0.0
    if down_s:
        own_s = max(own_s, round(down_s + profile.recovery_s, 3))
    budget_s = own_s if settings.budget_s is None else settings.budget_s
    if not 0 < budget_s <= profile.promise_s:
        raise BadInput(
            f"a budget of {budget_s} s can't be demanded",
            cure=f"give more than 0 and at most {profile.promise_s:.0f} s, which is what is promised",
        )
    return budget_s


def _tail_s(shape: PlanShape) -> float:
    """Seconds after the script: one for each tenant's restore and reading, twice what was seen."""
    tenants = len(shape.tenants)
    rebuild_s = {"all": 0.0, "standby": 15.0, "archive": 60.0}[shape.survivors]
    return 45.0 + tenants + rebuild_s + (20.0 + shape.again if shape.again else 0.0)
