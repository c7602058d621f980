"""Which CHECKs a column needs so that its values arrive as they were, and whether a table has them. Pure.

A CHECK is known by the text in which Postgres prints it. It counts when it is one of the conditions, or
several things joined by AND of which one is; anything cleverer isn't understood, and doesn't count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.model.schema import Schema
from harness.subject.reference.carried import Demand
from harness.subject.reference.values import demands, parsed


def unmet(column: str, declared: str, schema: Schema, checks: Iterable[str]) -> list[Demand]:
    """Return what no CHECK of the column's table says. ``checks``: as pg_get_constraintdef prints them."""
    wanted = demands(declared, schema)
    held = {condition for check in checks for condition in conjuncts(check)} if wanted else set()
    names = [*_printed(column, schema.domains.get(declared))]
    return [one for one in wanted if not held & {one.condition.format(column=name) for name in names}]


def cure(column: str, found: Iterable[Demand]) -> str:
    """Return the condition, to be put into a CHECK, that meets what was found unmet."""
    return " AND ".join(one.condition.format(column=quoted(column)) for one in found)


def conjuncts(check: str) -> Iterator[str]:
    """Yield what must hold by ``CHECK ((a) AND (b))``: each part, or the whole where there is one part."""
    inner = check.removeprefix("CHECK (").removesuffix(")")
    yield inner
    depth, begun = 0, 1
    for place, letter in enumerate(inner):
        depth += (letter == "(") - (letter == ")")
        if depth == 1 and inner.startswith(" AND ", place + 1):
            yield inner[begun : place + 1]
            begun = place + len(" AND ") + 1
        if depth < 1 and place < len(inner) - 1:
            return  # not one pair of parentheses around it all
    if begun > 1:
        yield inner[begun:-1]


def quoted(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'


def _printed(column: str, base: str | None) -> Iterator[str]:
    """Yield how a condition may name the column: bare or quoted, and cast where its type is a domain.

    A cast is to the base without modifiers; Postgres prints ``character`` without any as ``bpchar``.
    """
    for name in (column, quoted(column)):
        yield name
        if base is not None:
            bare, _ = parsed(base)
            yield f"({name})::{bare.replace('character[]', 'bpchar[]')}"
