"""Writes ``docs/types.md``, from the table of types: run this module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from harness.subject.reference.carried import (
    ARRAYS_REFUSED,
    COMPOSITE,
    DOMAIN_ARRAYS,
    ENUM_ARRAYS,
    EXTENSIONS,
    FLAT,
    IN_ARRAYS,
    TYPES,
    Carried,
    Demand,
    Refused,
)

PAGE: Final = Path("docs/types.md")

_HEAD = """\
# Types

<!-- Written by `python -m harness.subject.reference.types_page`: change the table, not this page. -->

Each built-in type of Postgres is *carried*, text for text and bit for bit, or *refused* by the lint,
before anything is archived, with the reason and the ALTER that cures it. Nothing is changed silently. Some
types are carried under a CHECK that rules out the few values that would be; a CHECK that is dropped later
stops the archiver. What is carried goes, edge cases and values drawn by Hypothesis, through Postgres,
Debezium, Kafka, the archive and a restore, by snapshot and by stream, in
`live/test_subject.py::test_every_value_comes_back_as_it_was`; that no type of the server is missing here
is seen by `live/test_schemas.py::test_every_type_of_the_server_is_in_the_table`.

## Carried

| type | arrays of it | needs a CHECK |
|---|---|---|
"""

_BETWEEN = """\
| an enum | refused | – |
| a domain over a carried type | refused | as that type |

Arrays need `CHECK (array_ndims(c) = 1 AND array_lower(c, 1) = 1)`: one {0}; and one {1}.
An interval of more than 2,147,483,647 hours stops the connector, which shows as a growing exposure.

## Refused

| type | because | instead |
|---|---|---|
"""


def page() -> str:
    """Return ``docs/types.md``."""
    between = _BETWEEN.format(*(demand.why for demand in FLAT))
    return "".join([_HEAD, *_carried(), between, *_refused()])


def _carried() -> Iterator[str]:
    for name, found in TYPES.items():
        if isinstance(found, Carried):
            arrays = "carried" if name in IN_ARRAYS else "refused"
            words = f"`{name}`" + (" (an extension's)" if name in EXTENSIONS else "")
            yield f"| {words} | {arrays} | {', '.join(map(_check, found.demands)) or '–'} |\n"


def _check(demand: Demand) -> str:
    return f"`{demand.condition.format(column='c')}`: one {demand.why}"


def _refused() -> Iterator[str]:
    names: dict[Refused, list[str]] = {}
    for name, found in TYPES.items():
        if isinstance(found, Refused):
            names.setdefault(found, []).append(f"`{name}`")
    for why, of in names.items():
        yield _row(", ".join(of), why)
    yield _row("arrays of a type that is carried, where it says so above", ARRAYS_REFUSED)
    yield _row("arrays of an enum", ENUM_ARRAYS)
    yield _row("arrays of a domain", DOMAIN_ARRAYS)
    yield _row("a composite type, a table's own row type, a domain of information_schema", COMPOSITE)


def _row(words: str, found: Refused) -> str:
    return f"| {words} | {found.why} | `{found.instead}` |\n"


if __name__ == "__main__":
    PAGE.write_text(page())
