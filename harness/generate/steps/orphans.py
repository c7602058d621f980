"""Foreign keys and triggers switched off: tenants' parents go, and their children stay as orphans (FM-6).

Only parents through which nobody finds a row's tenant are removed: an orphan is still somebody's.
It needs the right to set session_replication_role, which an operator has as superuser, or was granted.
"""

from __future__ import annotations

import msgspec

from harness.generate.shapes import ScriptShape
from harness.generate.steps.ground import Ground
from harness.generate.steps.how import Manner, Order
from harness.generate.steps.step import Due, Step, any_means, count_words, pick
from harness.model.schema import Schema


def _parents(schema: Schema) -> list[str]:
    """Return tables that others refer to, the root aside, and that are on nobody's path to a tenant."""
    on_path = {step.parent for table in schema.owned for step in schema.path(table)}
    referred = {key.parent for table in schema.owned for key in table.foreign_keys}
    return [t.name for t in schema.owned if t.name in referred - on_path - {schema.script.root}]


def _due(ground: Ground, shape: ScriptShape) -> Due:
    parents = _parents(ground.schema)
    more = ground.rng.sample(parents, ground.rng.randrange(len(parents) + 1))
    hit = pick(ground, max(1, shape.hit))
    tables = (ground.facts.root, *more)
    return Due(
        orders=[Order(name=tenant, mode="permanent", tables=tables) for tenant in hit],
        words=f"foreign keys off, {count_words(hit)} removed from {', '.join(tables)}, orphans left",
        manner=Manner(unchecked=True),
        how=msgspec.structs.replace(shape.how, control_plane=False),
    )


STEP = Step(kind="orphans", means=lambda schema: any_means(schema)[:1], due=_due, storm=True, in_place=True)
