"""Makers for every column: base types, and the arrays, ranges, enums and domains made of them."""

from __future__ import annotations

import re
from random import Random

from harness.generate.values import Maker, array_text, base_maker
from harness.model.errors import BadInput
from harness.model.schema import Column, Schema, Table

_TYPE = re.compile(r"^(?P<head>[a-z0-9 ]+?)(?:\((?P<mods>[0-9,]+)\))?(?P<tail> with(?:out)? time zone)?$")
_RANGES = {
    "int4range": "integer",
    "int8range": "bigint",
    "numrange": "numeric",
    "daterange": "date",
    "tsrange": "timestamp without time zone",
    "tstzrange": "timestamp with time zone",
}


def maker(schema: Schema, table: Table, column: Column) -> Maker:
    """Return the maker for a column; raises BadInput for a type of which no values are known."""
    found = _of_type(schema, column.type)
    if found is None:
        raise BadInput(
            f"{table.name}.{column.name} has type {column.type}, of which no values are known",
            cure="let the database give its value, or declare the type under enums or domains",
        )
    return found


def _of_type(schema: Schema, name: str) -> Maker | None:
    if name.endswith("[]"):
        element = _of_type(schema, name[:-2])
        return _array(element) if element else None
    if name in schema.enums:
        labels = schema.enums[name]
        return Maker(lambda rng, _: rng.choice(labels), wide=False)
    if name in schema.domains:
        return _domain(_of_type(schema, schema.domains[name]))
    if name in _RANGES:
        return _range(name)
    match = _TYPE.match(name)
    if match is None:
        return None
    modifiers = tuple(int(part) for part in (match["mods"] or "").split(",") if part)
    return base_maker(match["head"] + (match["tail"] or ""), modifiers)


def _domain(base: Maker | None) -> Maker | None:
    """A domain's CHECK holds for all but the empty text, so only that is left out."""
    return base and base._replace(special=tuple(value for value in base.special if value))


def _array(element: Maker) -> Maker:
    """Up to four elements, NULLs and special ones among them; the first is fresh."""
    odd = (None, None, *element.special)

    def fresh(rng: Random, n: int) -> str:
        others = [
            rng.choice(odd) if rng.random() < 0.6 else element.fresh(rng, n)
            for _ in range(int(rng.random() * 4))
        ]
        return array_text([element.fresh(rng, n), *others])

    return Maker(fresh, ("{}", "{NULL}"), wide=element.wide)


def _range(name: str) -> Maker:
    """Ranges over fresh lower bounds, in canonical form: lower bound in, upper bound out."""
    base = base_maker(_RANGES[name], ())
    assert base is not None  # _RANGES names base types only

    def fresh(rng: Random, n: int) -> str:
        lower = base.fresh(rng, n)
        if rng.random() < 0.1:
            return f"[{_bound(lower)},)"
        return f"[{_bound(lower)},{_bound(base.fresh(rng, n + 1 + rng.randrange(30)))})"

    return Maker(fresh, ("empty", "(,)"))


def _bound(text: str) -> str:
    return f'"{text}"' if " " in text or ":" in text else text
