"""Strategies that draw plans. Only shapes are drawn; the floors that make a plan a real drill hold in all.

A dimension can be *pinned*: then it is that, and the rest is drawn around it. So a campaign covers every
kind by design, and a test asks for the case it is about.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from hypothesis import strategies as st

from harness.generate.attacks import attacks
from harness.generate.expand import expand
from harness.generate.profiles import Settings, profile_named
from harness.generate.shapes import (
    Batching,
    HowShape,
    Means,
    PlanShape,
    ScriptShape,
    TenantShape,
    WatermarkShape,
)
from harness.generate.steps import possible, step_named
from harness.generate.steps.step import Step
from harness.generate.swarm import swarms
from harness.generate.watermarks import watermarks
from harness.model.attacks import Attack
from harness.model.errors import BadInput
from harness.model.faults import Kill
from harness.model.plan import Plan, Survivors, SwitchOver
from harness.model.schema import Schema

FIRST_ID_MAX = 500_000_000
AGAIN_MAX = 3
TENANTS_MIN = 2

Initial = Literal["streamed", "snapshot"]
FaultPhase = Literal["none", "write", "restore"]
SURVIVORS: tuple[Survivors, ...] = ("all", "archive", "standby")
REJOINING: tuple[Literal["base backup", "rewind"], ...] = ("base backup", "rewind")
SURELY_COMMITTED_S = 0.5
"""So long after its COMMIT was sent a damaging transaction is surely committed on the standby too."""

INITIALS: tuple[Initial, ...] = ("streamed", "snapshot")
BATCHINGS: tuple[Batching, ...] = ("one_huge", "one_each", "batches", "slow")


class Pins(msgspec.Struct, frozen=True, kw_only=True):
    """Dimensions of a plan that are fixed; None leaves one to be drawn.

    ``fault``: the phase in which the archiver is killed, or ``none``. ``again``: whether some tenants are
    damaged a second time. ``rows``: initial rows of every tenant; ``bulk_chars``: long text besides them.
    ``switchovers``: how many. ``faults``: the names of further faults, none unless some are named;
    ``outside``: whether they are outside the envelope.
    """

    survivors: Survivors | None = None
    kind: str | None = None
    means: Means | None = None
    batching: Batching | None = None
    killed: bool | None = None
    initial: Initial | None = None
    fault: FaultPhase | None = None
    again: bool | None = None
    rows: int | None = None
    bulk_chars: int = 0
    switchovers: int = 0
    faults: tuple[str, ...] = ()
    outside: bool = False


ANY = Pins()
"""Nothing pinned."""


def plans(
    schema: Schema,
    *,
    profile: str = "quick",
    tenants: int | None = None,
    survivors: Survivors | None = None,
    budget_s: float | None = None,
    flush_interval_s: float = 1.0,
    pins: Pins = ANY,
) -> st.SearchStrategy[Plan]:
    """Return a strategy of plans on ``schema``; ``tenants`` None is the profile's number.

    Raises UnknownName for an unknown profile or step, BadInput for what can't be drawn.
    """
    settings = Settings(profile=profile, budget_s=budget_s, flush_interval_s=flush_interval_s)
    if survivors is not None:
        pins = msgspec.structs.replace(pins, survivors=survivors)
    drawn = shapes(schema, profile=profile, tenants=tenants, pins=pins)
    return drawn.map(lambda shape: expand(shape, schema, settings))


def shapes(
    schema: Schema, *, profile: str = "quick", tenants: int | None = None, pins: Pins = ANY
) -> st.SearchStrategy[PlanShape]:
    """Return a strategy of the shapes behind ``plans``."""
    count = profile_named(profile).tenants if tenants is None else tenants
    if count < TENANTS_MIN:
        raise BadInput(
            f"{count} tenants are too few for a drill",
            cure=f"give at least {TENANTS_MIN}: one must be left alone",
        )
    asked = profile_named(profile)
    drawn = _shapes(count, pins, _steps(schema, pins, storm=asked.storm), schema, asked.rows)
    drawn = drawn.map(
        lambda shape: _enlarged(shape, asked.huge_rows) if step_named(shape.script.kind).huge else shape
    )
    return (
        st.builds(_tried, drawn, attacks(), watermarks(*asked.watermark_checks)) if asked.tried else drawn
    )


def _enlarged(shape: PlanShape, rows: int) -> PlanShape:
    """Give the tenants so many rows in all, each as many as the other."""
    each = rows // len(shape.tenants)
    larger = (msgspec.structs.replace(t, rows=max(t.rows, each)) for t in shape.tenants)
    return msgspec.structs.replace(shape, tenants=tuple(larger))


def _tried(
    shape: PlanShape, attacks: tuple[Attack, ...], watermarks: tuple[WatermarkShape, ...]
) -> PlanShape:
    return msgspec.structs.replace(shape, attacks=attacks, watermarks=watermarks)


def _steps(schema: Schema, pins: Pins, *, storm: bool) -> list[Step]:
    """Return the steps that fit schema and pins; raises BadInput when there is none."""
    wanted = possible(schema, storm=storm) if pins.kind is None else [step_named(pins.kind)]
    fitting = [step for step in wanted if _means(step, schema, pins)]
    if not fitting:
        raise BadInput(
            f"schema {schema.name} can't say step {pins.kind or 'any'} by means {pins.means or 'any'}",
            cure="choose another step, or declare the entities and the function it needs",
        )
    return fitting


def _means(step: Step, schema: Schema, pins: Pins) -> list[Means]:
    return [
        means
        for means in step.means(schema)
        if pins.means in (None, means) and (not pins.killed or reruns(step, means))
    ]


def reruns(step: Step, means: Means) -> bool:
    """Whether a script of this step and means may be killed and run again from the start.

    The function, called again with an id whose owner is gone, takes it for another kind's: that may hit a
    tenant that is to be rightly deleted, which would then be both damaged and rightly gone.
    """
    return means != "function" or step.rightly[0] == 0


@st.composite
def _shapes(
    draw: st.DrawFn, count: int, pins: Pins, steps: list[Step], schema: Schema, rows: tuple[int, int]
) -> PlanShape:
    survivors = draw(st.sampled_from(SURVIVORS if pins.survivors is None else (pins.survivors,)))
    destroy_after_s = 0.0 if survivors == "all" else draw(st.integers(0, 20)) / 10
    return PlanShape(
        seed=draw(st.integers(0, 2**31 - 1)),
        first_id=draw(st.integers(1, FIRST_ID_MAX)),
        tenants=tuple(draw(_tenant(pins, rows)) for _ in range(count)),
        survivors=survivors,
        initial=draw(st.sampled_from(INITIALS if pins.initial is None else (pins.initial,))),
        script=draw(_script(count, pins, steps, schema)),
        destroy_after_s=destroy_after_s,
        switchovers=tuple(draw(_switchover()) for _ in range(pins.switchovers)),
        fenced=survivors == "standby" and draw(st.booleans()),
        script_goes_on=survivors == "standby" and _goes_on(draw, destroy_after_s),
        again=_again(draw, pins),
        quiet=draw(st.integers(0, count - 1)),
        fault=draw(_fault(pins, survivors)),
        swarm=draw(swarms(pins.faults, survivors)),
    )


@st.composite
def _tenant(draw: st.DrawFn, pins: Pins, between: tuple[int, int]) -> TenantShape:
    """Initial rows log-uniform: as many tenants between 5 and 50 as between 50 and 500."""
    low, high = between
    rows = pins.rows or round(low * (high / low) ** (draw(st.integers(0, 100)) / 100))
    return TenantShape(rows=rows, writers=draw(st.integers(1, 2)), bulk_chars=pins.bulk_chars)


@st.composite
def _script(draw: st.DrawFn, count: int, pins: Pins, steps: list[Step], schema: Schema) -> ScriptShape:
    step = draw(st.sampled_from([step for step in steps for _ in range(step.weight or 1)]))
    means = draw(st.sampled_from(_means(step, schema, pins)))
    can_rerun = reruns(step, means)
    killed = can_rerun and (draw(st.booleans()) if pins.killed is None else pins.killed)
    mark = step.marks and ((killed and not step.reruns) or draw(st.booleans()))
    how = draw(_how(pins, means, killed=killed, mark=mark))
    several = st.integers(2, max(2, count // 2)) | st.just(count)
    few, many = (0, 0) if killed and means == "function" else step.rightly
    return ScriptShape(
        kind=step.kind,
        seed=draw(st.integers(0, 2**31 - 1)),
        hit=1 if step.one_hit else draw(several | st.just(1) if how.batching == "one_huge" else several),
        rightly=draw(st.integers(min(few, count - 1), min(many, count - 1))),
        marked=draw(st.integers(0, step.marked)),
        mark=mark,
        how=how,
    )


@st.composite
def _how(draw: st.DrawFn, pins: Pins, means: Means, *, killed: bool, mark: bool) -> HowShape:
    return HowShape(
        means=means,
        batching=draw(st.sampled_from(BATCHINGS if pins.batching is None else (pins.batching,))),
        control_plane=not mark and draw(st.booleans()),
        batch=draw(st.integers(2, 5)),
        killed_after=draw(st.integers(0, 20)) if killed else None,
    )


@st.composite
def _switchover(draw: st.DrawFn) -> SwitchOver:
    return SwitchOver(
        after_s=draw(st.integers(5, 15)) / 10,
        fenced=draw(st.booleans()),
        by=draw(st.sampled_from(REJOINING)),
    )


def _goes_on(draw: st.DrawFn, destroy_after_s: float) -> bool:
    """Whether a script goes on after a failover: one whose only damage may have been undone always does."""
    return draw(st.booleans()) or destroy_after_s < SURELY_COMMITTED_S


def _again(draw: st.DrawFn, pins: Pins) -> int:
    if pins.again is False:
        return 0
    return draw(st.integers(0 if pins.again is None else 1, AGAIN_MAX))


@st.composite
def _fault(draw: st.DrawFn, pins: Pins, survivors: Survivors) -> Kill | None:
    """Where only the archive survives no archiver runs while tenants are restored: nothing to kill."""
    likely: tuple[FaultPhase, ...] = ("none", "none", "write")
    phases = likely if survivors == "archive" else (*likely, "restore")
    phase = draw(st.sampled_from(phases if pins.fault is None else (pins.fault,)))
    if phase == "none":
        return None
    return Kill(
        service="archiver",
        phase=phase,
        after_s=draw(st.integers(2, 30)) / 10,
        down_s=draw(st.integers(2, 15)) / 10,
    )
