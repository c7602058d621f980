"""The pure expansion: a shape becomes a plan, every transaction explicit. ``random.Random(seed)`` only."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from harness.generate.book import COMMON, Book, LiveRow
from harness.generate.facts import SchemaFacts
from harness.generate.initial import load
from harness.generate.layout import Layout, lay_out
from harness.generate.profiles import Pace, Settings, pace
from harness.generate.scribe import Scribe
from harness.generate.shapes import PlanShape
from harness.generate.steps import write_again, write_script
from harness.generate.writer import probes, write
from harness.model.operations import Transaction
from harness.model.plan import Limits, Plan, Script, TenantPlan
from harness.model.schema import Schema

GIANT_CHARS = (200_000, 2_000_000)
"""Sizes of the very long texts, of which a plan has at most two."""


def expand(shape: PlanShape, schema: Schema, settings: Settings) -> Plan:
    """Return the plan for ``shape``: the same for the same arguments. Raises BadInput for a schema that
    no plan can be made for.
    """
    facts = SchemaFacts(schema)
    layout = lay_out(facts, shape)
    script = write_script(facts, layout, shape.script)
    first = _first_damaged(script)
    quiet = first[shape.quiet % len(first)] if first else None
    again = first[: shape.again]
    timing = pace(shape, settings, facts, script)
    shared, shared_rows = _shared(facts, Random(f"shared {shape.seed}"))
    giants = _giants(shape)
    tenants = tuple(
        _tenant(
            facts, layout, shape, index, shared_rows, giants.get(index, []), timing, quiet=tenant == quiet
        )
        for index, tenant in enumerate(layout.tenants)
    )
    return Plan(
        seed=shape.seed,
        profile=settings.profile,
        schema=schema.name,
        survivors=shape.survivors,
        budget_s=timing.budget_s,
        recovery_s=timing.recovery_s,
        write_s=timing.write_s,
        destroy_after_s=shape.destroy_after_s if shape.survivors == "archive" else 0.0,
        initial=shape.initial,
        tenants=tenants,
        shared=shared,
        scripts=(script, *([write_again(facts, layout, shape.script, again, script)] if again else [])),
        again=again,
        faults=(shape.fault,) if shape.fault else (),
        floors=timing.floors,
        limits=Limits(load_s=120.0 + len(tenants)),
    )


def _first_damaged(script: Script) -> tuple[str, ...]:
    """Tenants that the first damaging transaction hits: damaged, whatever happens later."""
    for transaction in script.transactions:
        if transaction.damaged and not transaction.killed:
            return transaction.damaged
    return ()


def _giants(shape: PlanShape) -> dict[int, list[int]]:
    rng = Random(f"giants {shape.seed}")
    low, high = GIANT_CHARS
    found: dict[int, list[int]] = {}
    for _ in range(rng.choice((0, 1, 2))):
        size = int(low * (high / low) ** rng.random())
        found.setdefault(rng.randrange(len(shape.tenants)), []).append(size)
    return found


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


def _tenant(  # noqa: PLR0913 - one call, all of it needed
    facts: SchemaFacts,
    layout: Layout,
    shape: PlanShape,
    index: int,
    shared: dict[str, list[LiveRow]],
    giants: Sequence[int],
    timing: Pace,
    *,
    quiet: bool,
) -> TenantPlan:
    tenant = layout.tenants[index]
    scribe = Scribe(facts, tenant, index, Random(f"{shape.seed} {index}"), shared)
    scribe.giants = list(giants)
    scribe.given_ids = {
        (entity.table, entity.column): list(layout.entity_ids[entity.name][index])
        for entity in facts.schema.script.entities
        if entity.name in layout.entity_ids
    }
    writers = 1 if quiet else shape.tenants[index].writers
    initial = load(scribe, shape.tenants[index].rows, writers)
    common = scribe.book
    written = [
        write(scribe, owner, timing.of_writer(scribe.rng, writers, quiet=quiet)) for owner in range(writers)
    ]
    scribe.book = _only_common(common)
    return TenantPlan(
        tenant=tenant,
        quiet=quiet,
        initial=initial,
        writers=tuple(transactions for transactions, _ in written),
        write_counts=tuple(count for _, count in written),
        probes=probes(scribe),
    )


def _only_common(book: Book) -> Book:
    """A book of the control plane's rows alone: what is sure to be there after any restore."""
    kept = Book()
    for row in book:
        if row.owner == COMMON:
            kept.add(row)
    return kept
