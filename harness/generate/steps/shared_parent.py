"""A lookup table emptied by mistake: a cascade from parents that tenants share crosses every border (FM-5).

Only where all of a tenant's rows that refer to the table go: through links that are never NULL and that
cascade, and so everything below them. The lookup rows come back with the first tenant that needs them.
"""

from __future__ import annotations

import msgspec

from harness.generate.shapes import Means, ScriptShape
from harness.generate.steps.ground import Ground
from harness.generate.steps.how import Order
from harness.generate.steps.step import Due, Step
from harness.model.schema import ForeignKey, Schema, Table


def cascaded(schema: Schema, parent: str) -> tuple[str, ...]:
    """Return the owned tables that are emptied with ``parent``; none where a link would refuse or blank."""
    found: list[str] = []
    reached = [parent]
    for name in reached:
        for table, key in _referring(schema, name):
            if key.on_delete != "cascade" or any(table.column(c).nullable for c in key.columns):
                return ()
            if table.name not in reached:
                reached.append(table.name)
                found.append(table.name)
    return tuple(t.name for t in schema.owned if t.name in found)


def _referring(schema: Schema, name: str) -> list[tuple[Table, ForeignKey]]:
    return [(table, key) for table in schema.tables for key in table.foreign_keys if key.parent == name]


def _choices(schema: Schema) -> list[tuple[str, tuple[str, ...]]]:
    """Return lookup tables with what goes with them, where every tenant is sure to lose something."""
    filled = {name for name, hint in schema.hints.items() if hint.initial}
    found = [(table.name, cascaded(schema, table.name)) for table in schema.shared]
    return [(name, tables) for name, tables in found if filled & {*tables}]


def _means(schema: Schema) -> tuple[Means, ...]:
    return ("cascade",) if _choices(schema) else ()


def _due(ground: Ground, shape: ScriptShape) -> Due:
    parent, tables = ground.rng.choice(_choices(ground.schema))
    return Due(
        orders=[Order(name=parent, mode="permanent", tables=tables)],
        words=f"{parent} emptied, and by cascade {', '.join(tables)} of every tenant",
        how=msgspec.structs.replace(shape.how, means="tables", batching="one_huge", control_plane=False),
    )


STEP = Step(kind="shared_parent", means=_means, due=_due, storm=True)
