"""Which tenants a plan has, and which ids the control plane gave them.

Tenants' numbers ascend with gaps. Ids of all entities (sites, apps ...) come from *one* range, each kind
handing them out from another place: so the id of one tenant's app is the id of another tenant's site, as
in 2022.
"""

from __future__ import annotations

import uuid
from random import Random

import msgspec

from harness.generate.facts import SchemaFacts
from harness.generate.shapes import PlanShape
from harness.model.errors import BadInput
from harness.model.schema import Column, Entity

_STEMS = ["acme", "globex", "initech", "umbrella", "stark", "wayne", "hooli", "vandelay"]


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """``tenants`` by number; ``entity_ids``: entity name, tenant's number, its ids."""

    tenants: tuple[str, ...]
    entity_ids: dict[str, tuple[tuple[str, ...], ...]]

    def ids(self, entity: Entity, tenant: str) -> tuple[str, ...]:
        """Return the ids of that kind that the tenant begins with."""
        return self.entity_ids[entity.name][self.tenants.index(tenant)]


def lay_out(facts: SchemaFacts, shape: PlanShape) -> Layout:
    """Give every tenant its id, and the rows of its entities theirs."""
    rng = Random(f"layout {shape.seed}")
    number = shape.first_id
    tenants = []
    for _ in shape.tenants:
        tenants.append(id_text(facts.root_column, number, rng.choice(_STEMS)))
        number += rng.choice((1, 1, 2, 3, 7))
    entities = usable_entities(facts)
    first = shape.first_id + 1_000_003
    return Layout(
        tenants=tuple(tenants),
        entity_ids={
            entity.name: _hand_out(facts, entity, kind, first, len(tenants))
            for kind, entity in enumerate(entities)
        },
    )


def usable_entities(facts: SchemaFacts) -> tuple[Entity, ...]:
    """Return the entities whose ids a plan knows beforehand: they are keys, and each tenant has some."""
    return tuple(
        entity
        for entity in facts.schema.script.entities
        if facts.tables[entity.table].table.key == (entity.column,)
        and facts.tables[entity.table].hint.initial
    )


def id_text(column: Column, number: int, stem: str) -> str:
    """Return an id with that number as the column's type prints it; raises BadInput for other types."""
    match column.type.partition("(")[0]:
        case "bigint" | "integer" | "numeric":
            return str(number)
        case "text" | "character varying":
            return f"{stem}-{number}"
        case "uuid":
            return str(uuid.UUID(int=number << 64))
    raise BadInput(
        f"no ids of type {column.type} are known", cure="use bigint, integer, text or uuid for ids"
    )


def _hand_out(
    facts: SchemaFacts, entity: Entity, kind: int, first: int, tenants: int
) -> tuple[tuple[str, ...], ...]:
    """Each kind begins its round of the range with another tenant, so that equal ids meet other tenants."""
    table = facts.tables[entity.table]
    each = table.hint.initial or 1
    column = table.table.column(entity.column)
    shift = kind * (tenants // 2 + 1)
    return tuple(
        tuple(id_text(column, first + (tenant + shift) % tenants * each + k, "e") for k in range(each))
        for tenant in range(tenants)
    )
