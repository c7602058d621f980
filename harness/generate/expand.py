"""The pure expansion: a shape becomes a plan, every transaction explicit. ``random.Random(seed)`` only."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from harness.generate.book import COMMON, Book, LiveRow
from harness.generate.facts import SchemaFacts
from harness.generate.initial import load
from harness.generate.layout import Layout, lay_out
from harness.generate.profiles import Pace, Settings, pace, profile_named
from harness.generate.scribe import Scribe
from harness.generate.shapes import PlanShape
from harness.generate.steps import step_named, write_again, write_script
from harness.generate.swarm import placed
from harness.generate.takings import with_takers
from harness.generate.traps import meeting, with_meeting, with_straddlers, with_thinkers
from harness.generate.watermarks import checks
from harness.generate.writer import probes, write
from harness.model.faults import Fault
from harness.model.operations import Transaction
from harness.model.plan import Limits, Plan, Script, TenantPlan
from harness.model.schema import Schema

GIANT_CHARS = (200_000, 2_000_000)
"""Sizes of the very long texts, of which a plan has at most two."""

WITNESSED_MAX = 3
"""Of so many tenants a second witness is heard."""


class _Stage(NamedTuple):
    """What all tenants of a plan are made from. ``giants``: by tenant, sizes of very long texts.

    ``meeting``: numbers of tenants whose writers are to meet.
    """

    facts: SchemaFacts
    layout: Layout
    shape: PlanShape
    timing: Pace
    shared: dict[str, list[LiveRow]]
    giants: dict[int, list[int]]
    quiet: str | None
    meeting: frozenset[int]


def expand(shape: PlanShape, schema: Schema, settings: Settings) -> Plan:
    """Return the plan for ``shape``: the same for the same arguments.

    Raises BadInput for a schema of which no plan can be made.
    """
    layout = lay_out(facts := SchemaFacts(schema), shape)
    script = write_script(facts, layout, shape.script)
    first = _first_damaged(script)
    victim = first[-1] if step_named(script.kind).takes and shape.survivors != "archive" else None
    again = tuple(tenant for tenant in first[: shape.again] if tenant != victim)
    timing = pace(shape, settings, facts, script)
    shared, shared_rows = _shared(facts, Random(f"shared {shape.seed}"))
    special = (_giants(shape, settings), _quiet(shape, first), _meeting(shape, settings))
    tenants = _trapped(_Stage(facts, layout, shape, timing, shared_rows, *special), settings, script)
    return Plan(
        seed=shape.seed,
        profile=settings.profile,
        schema=schema.name,
        survivors=shape.survivors,
        budget_s=timing.budget_s,
        recovery_s=timing.recovery_s,
        switchovers=shape.switchovers,
        write_s=timing.write_s,
        destroy_after_s=shape.destroy_after_s,
        fenced=shape.fenced,
        script_goes_on=shape.script_goes_on,
        initial=shape.initial,
        tenants=with_takers(facts, tenants, script, victim) if victim else tenants,
        shared=shared,
        scripts=(script, *([write_again(facts, layout, shape.script, again, script)] if again else [])),
        again=again,
        faults=timing.outages or _faults(shape, timing),
        attacks=shape.attacks,
        watermark_checks=checks(shape.watermarks, layout.tenants, (script,), timing.write_s),
        witnessed=_witnessed(shape, settings, script),
        witness_needed=settings.witness or not profile_named(settings.profile).witness,
        floors=timing.floors,
        limits=_limits(len(tenants), timing),
    )


def _trapped(stage: _Stage, settings: Settings, script: Script) -> tuple[TenantPlan, ...]:
    """Make all tenants, with the traps that the profile has."""
    tenants = tuple(_tenant(stage, index) for index in range(len(stage.layout.tenants)))
    if not profile_named(settings.profile).traps:
        return tenants
    tenants = with_thinkers(tenants, Random(f"thinkers {stage.shape.seed}"))
    script_s = stage.timing.switching_s + stage.timing.write_s
    return with_straddlers(tenants, _damaged(script), Random(f"straddlers {stage.shape.seed}"), script_s)


def _limits(tenants: int, timing: Pace) -> Limits:
    return Limits(
        load_s=120.0 + tenants,
        script_s=120.0 + timing.script_s + tenants,
        floors_s=timing.floors_s,
    )


def _faults(shape: PlanShape, timing: Pace) -> tuple[Fault, ...]:
    alone = (shape.fault,) if shape.fault else ()
    return (*alone, *placed(shape.swarm, timing.write_s))


def _first_damaged(script: Script) -> tuple[str, ...]:
    """Tenants that the first damaging transaction hits: damaged, whatever happens later."""
    for transaction in script.transactions:
        if transaction.damaged and not transaction.killed:
            return transaction.damaged
    return ()


def _quiet(shape: PlanShape, first: Sequence[str]) -> str | None:
    return first[shape.quiet % len(first)] if first else None


def _witnessed(shape: PlanShape, settings: Settings, script: Script) -> tuple[str, ...]:
    """Draw of whom a second witness is heard, among all whom the script damages; it needs a primary."""
    asked = settings.witness or profile_named(settings.profile).witness
    if not asked or shape.survivors == "archive":
        return ()
    damaged = _damaged(script)
    drawn = Random(f"witness {shape.seed}").sample(damaged, min(WITNESSED_MAX, len(damaged)))
    return tuple(sorted(drawn))


def _damaged(script: Script) -> list[str]:
    return [*dict.fromkeys(t for tx in script.transactions if not tx.killed for t in tx.damaged)]


def _giants(shape: PlanShape, settings: Settings) -> dict[int, list[int]]:
    if not profile_named(settings.profile).giants:
        return {}
    rng = Random(f"giants {shape.seed}")
    low, high = GIANT_CHARS
    found: dict[int, list[int]] = {}
    for _ in range(rng.choice((0, 1, 2))):
        size = int(low * (high / low) ** rng.random())
        found.setdefault(rng.randrange(len(shape.tenants)), []).append(size)
    return found


def _meeting(shape: PlanShape, settings: Settings) -> frozenset[int]:
    if not profile_named(settings.profile).traps:
        return frozenset()
    several = [number for number, tenant in enumerate(shape.tenants) if tenant.writers > 1]
    return meeting(several, Random(f"meeting {shape.seed}"))


def _shared(facts: SchemaFacts, rng: Random) -> tuple[tuple[Transaction, ...], dict[str, list[LiveRow]]]:
    """Rows of the lookup tables, with handles that no tenant has; all in one transaction."""
    scribe = Scribe(facts, "shared", -1, rng, {})
    rows: dict[str, list[LiveRow]] = {}
    scribe.shared = rows
    operations = []
    for table in facts.shared:
        for _ in range(table.hint.initial or 5):
            operations += scribe.insert(table, COMMON)
        rows[table.name] = scribe.book.rows(table.name, COMMON)
    if not operations:
        return (), rows
    return (Transaction(name="shared.0", operations=tuple(operations)),), rows


def _tenant(stage: _Stage, index: int) -> TenantPlan:
    tenant, shape = stage.layout.tenants[index], stage.shape.tenants[index]
    quiet = tenant == stage.quiet
    writers = 1 if quiet else shape.writers
    scribe = Scribe(stage.facts, tenant, index, Random(f"{stage.shape.seed} {index}"), stage.shared)
    scribe.cells.giants = stage.giants.get(index, [])
    scribe.cells.given_ids = _given_ids(stage, index)
    initial = load(scribe, shape, writers)
    paces = [stage.timing.of_writer(scribe.rng, writers, quiet=quiet) for _ in range(writers)]
    written = [write(scribe, owner, pace, stage.timing.load) for owner, pace in enumerate(paces)]
    made, counts = tuple(tx for tx, _ in written), tuple(count for _, count in written)
    if index in stage.meeting:
        made = with_meeting(scribe, made, counts)
    scribe.book = _only_common(scribe.book)
    return TenantPlan(
        tenant=tenant,
        quiet=quiet,
        initial=initial,
        writers=made,
        write_counts=counts,
        probes=probes(scribe),
    )


def _given_ids(stage: _Stage, index: int) -> dict[tuple[str, str], list[str]]:
    return {
        (entity.table, entity.column): list(stage.layout.entity_ids[entity.name][index])
        for entity in stage.facts.schema.script.entities
        if entity.name in stage.layout.entity_ids
    }


def _only_common(book: Book) -> Book:
    """A book of the control plane's rows alone: what is sure to be there after any restore."""
    kept = Book()
    for row in book:
        if row.owner == COMMON:
            kept.add(row)
    return kept
