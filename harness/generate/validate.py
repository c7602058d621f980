"""Whether a plan from a file fits the schema it names: tables, columns, steps and profiles that exist.

``harness.model.plan.decode`` has checked the plan by itself; here it meets schema and registries, before
any service starts.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.generate.profiles import profile_named
from harness.generate.steps import step_named
from harness.model.errors import BadInput
from harness.model.operations import OPEN_S_MAX, Copy, Operation, Transaction
from harness.model.plan import Effect, Plan
from harness.model.schema import Schema, Table


def validate(plan: Plan, schema: Schema) -> None:
    """Check a plan against its schema and the registries.

    Raises UnknownName for an unknown profile or step, and BadInput for an unknown table or column, a plan
    of another schema, a transaction named twice, or one held open for too long.
    """
    if plan.schema != schema.name:
        raise BadInput(
            f"the plan is for schema {plan.schema!r}, not {schema.name!r}",
            cure="give the schema it was drawn for",
        )
    profile_named(plan.profile)
    for script in plan.scripts:
        step_named(script.kind)
        for transaction in script.transactions:
            for effect in (*transaction.intended, *transaction.actual):
                _check_effect(effect, schema)
    names: set[str] = set()
    for written in _transactions(plan):
        if written.name in names:
            raise BadInput(
                f"the plan names transaction {written.name!r} twice", cure="give each a name of its own"
            )
        names.add(written.name)
        _check_open(written)
        for operation in written.operations:
            _check_operation(operation, schema, written.name)


def _transactions(plan: Plan) -> Iterator[Transaction]:
    yield from plan.shared
    for tenant in plan.tenants:
        yield from tenant.initial
        for writer in tenant.writers:
            yield from writer
        yield from tenant.probes
        yield from tenant.takes


def _check_open(written: Transaction) -> None:
    open_s = written.hold_s + written.think_s * max(0, len(written.operations) - 1)
    if open_s > OPEN_S_MAX:
        raise BadInput(
            f"{written.name} is to be held open for {open_s:g} s before it ends",
            cure=f"give hold_s and think_s that make at most {OPEN_S_MAX:g} s:"
            " a script waits for what it has locked",
        )


def _check_effect(effect: Effect, schema: Schema) -> None:
    marked = effect.tables[-1:] if effect.mode == "purge" else effect.tables
    for name in effect.reaches:
        table = schema.table(name)
        marks = [effect.mark_column] if effect.mark_column and name in marked else []
        for column in (*marks, *effect.columns):
            table.column(column)


def _check_operation(operation: Operation, schema: Schema, where: str) -> None:
    table = schema.table(operation.table)
    if isinstance(operation, Copy):
        for row in operation.rows:
            _check_columns(set(row.values), table, where)
    elif hasattr(operation, "values"):
        _check_columns(set(operation.values), table, where)


def _check_columns(names: set[str], table: Table, where: str) -> None:
    unknown = names - {column.name for column in table.columns}
    if unknown:
        raise BadInput(
            f"{where} writes {sorted(unknown)} of {table.name}, which has no such column",
            cure="mend the plan, or draw a new one",
        )
