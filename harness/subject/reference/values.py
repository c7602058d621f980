"""Values by their declared types: what reads them, and which can't be carried. Pure.

The types themselves are in the table of ``carried.py``; here meet domains, enums, arrays and modifiers.
"""

from __future__ import annotations

import re

from harness.model.schema import Schema
from harness.subject.reference import readers
from harness.subject.reference.carried import (
    ARRAYS_REFUSED,
    COMPOSITE,
    DOMAIN_ARRAYS,
    ENUM_ARRAYS,
    FLAT,
    IN_ARRAYS,
    TYPES,
    Carried,
    Demand,
    Refused,
)
from harness.subject.reference.readers import ToText

_INTERVAL_FIELDS = re.compile(r"interval (?:year|month|day|hour|minute|second)(?: to \w+)?")


def converter(declared: str, schema: Schema) -> ToText | None:
    """Return what turns values of a declared type into text; None when the type can't be carried."""
    base = schema.domains.get(declared, declared)
    name, modifiers = parsed(base)
    if refused(declared, schema):
        return None
    if name.endswith("[]"):
        return readers.array_of(_carried(name[:-2]).read)
    if name in schema.enums:
        return readers.string
    if name == "bit":
        return readers.bits_of((modifiers or (1,))[0])
    if name == "numeric" and modifiers[1:] and modifiers[1] < 0:
        return readers.whole_numeric
    return _carried(name).read


def refused(declared: str, schema: Schema) -> Refused | None:
    """Return why values of a declared type can't be carried, None if they can."""
    name, _ = parsed(schema.domains.get(declared, declared))
    element = name.removesuffix("[]")
    if name in schema.enums:
        return None
    if name != element:
        if element in schema.enums:
            return ENUM_ARRAYS
        if element in schema.domains:
            return DOMAIN_ARRAYS
        return None if element in IN_ARRAYS else ARRAYS_REFUSED
    found = TYPES.get(name, COMPOSITE)
    return found if isinstance(found, Refused) else None


def demands(declared: str, schema: Schema) -> tuple[Demand, ...]:
    """Return the conditions under which values of a type that is carried arrive as they were."""
    name, _ = parsed(schema.domains.get(declared, declared))
    if name.endswith("[]"):
        return FLAT
    found = TYPES.get(name)
    return found.demands if isinstance(found, Carried) else ()


def not_carried(schema: Schema) -> list[tuple[str, str, str]]:
    """List (table, column, type) of owned and shared tables whose type can't be carried."""
    return [
        (table.name, column.name, column.type)
        for table in (*schema.owned, *schema.shared)
        for column in table.columns
        if refused(column.type, schema)
    ]


def _carried(name: str) -> Carried:
    found = TYPES[name]
    assert isinstance(found, Carried)  # refused() was asked before
    return found


def parsed(declared: str) -> tuple[str, tuple[int, ...]]:
    """Return name and modifiers: ``numeric(14,2)``, ``timestamp(3) without time zone``, ``bit(8)[]``."""
    found = re.search(r"\((-?\d+)(?:,\s*(-?\d+))?\)", declared)
    modifiers = tuple(int(part) for part in found.groups() if part) if found else ()
    name = re.sub(r"\(.*?\)", "", declared)
    return ("interval" if _INTERVAL_FIELDS.fullmatch(name) else name), modifiers
