"""What a script acts on: the tenants, their entities, and what scripts before it left of those."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from random import Random

from harness.generate.facts import SchemaFacts
from harness.generate.layout import Layout, usable_entities
from harness.model.plan import Effect, Mode
from harness.model.schema import Entity


class Ground:
    """Knows whose each entity id is, and says what acting on ids or tenants does to whom.

    ``gone``: tenants whose entity rows are no more when the script begins. ``only``: the tenants that it
    may touch (all unless stated).
    """

    def __init__(
        self,
        facts: SchemaFacts,
        layout: Layout,
        rng: Random,
        *,
        gone: Iterable[str] = (),
        only: Sequence[str] | None = None,
    ) -> None:
        self.facts = facts
        self.schema = facts.schema
        self.layout = layout
        self.rng = rng
        self.tenants = tuple(only if only is not None else layout.tenants)
        self.entities = usable_entities(facts)
        self._owners = {
            entity.name: {
                number: tenant
                for tenant in layout.tenants
                if tenant not in set(gone)
                for number in layout.ids(entity, tenant)
            }
            for entity in self.entities
        }

    def copy(self) -> Ground:
        """Return a ground that can be acted on without changing this one."""
        other = copy.copy(self)
        other._owners = {kind: dict(owners) for kind, owners in self._owners.items()}
        return other

    def sorted_tenants(self) -> list[str]:
        """Return the tenants in the order in which the database sorts them (texts by bytes)."""
        is_number = self.facts.root_column.type in ("bigint", "integer", "numeric")
        return sorted(self.tenants, key=int) if is_number else sorted(self.tenants)

    def entity(self, scope: str) -> Entity | None:
        """Return the first entity of that scope, or None."""
        return next((entity for entity in self.entities if entity.scope == scope), None)

    def ids(self, entity: Entity, tenant: str) -> tuple[str, ...]:
        """Return the ids of that kind that the tenant has now."""
        owners = self._owners[entity.name]
        return tuple(number for number in self.layout.ids(entity, tenant) if owners.get(number) == tenant)

    def owner(self, entity: Entity, number: str) -> str | None:
        """Return whose that id is now, or None."""
        return self._owners[entity.name].get(number)

    def effect_of_id(self, number: str, mode: Mode) -> Effect | None:
        """Return what the schema's function does with an id: the first kind that knows it takes it."""
        for entity in self.entities:
            tenant = self.owner(entity, number)
            if tenant is not None:
                if mode == "permanent" and entity.scope == "tenant":
                    return self.whole(tenant, keeps=entity.keeps)
                return row_effect(entity, tenant, number, mode)
        return None

    def whole(self, tenant: str, *, keeps: Sequence[str] = ()) -> Effect:
        """Return the effect of removing a tenant from all owned tables but ``keeps``."""
        tables = tuple(table.name for table in self.schema.owned if table.name not in keeps)
        return Effect(tenant=tenant, mode="permanent", tables=tables)

    def settle(self, effects: Iterable[Effect]) -> None:
        """Strike out the entity rows that committed effects removed."""
        for effect in effects:
            if effect.mode != "permanent":
                continue
            for entity in self.entities:
                if entity.table in effect.tables:
                    self._strike(entity, effect)

    def _strike(self, entity: Entity, effect: Effect) -> None:
        owners = self._owners[entity.name]
        removed = {key[0] for key in effect.keys} if effect.keys is not None else None
        for number in [n for n, tenant in owners.items() if tenant == effect.tenant]:
            if removed is None or number in removed:
                del owners[number]


def row_effect(entity: Entity, tenant: str, number: str, mode: Mode) -> Effect:
    """Return the effect on one row of an entity."""
    mark_column = entity.mark_column if mode == "mark" else None
    return Effect(
        tenant=tenant, mode=mode, tables=(entity.table,), keys=((number,),), mark_column=mark_column
    )
