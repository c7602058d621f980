"""Speaking to Postgres in text only: every value is read as its type's output function prints it.

An empty adapters map with one loader for all types does it: nothing is parsed, nothing rounded, a date in
BC and a NaN are text like any other. Parameters go as untyped literals, so that the server reads them as
the column's own type; lists go as array literals.
"""

from __future__ import annotations

from collections.abc import Iterable

from psycopg.adapt import AdaptersMap
from psycopg.types.none import NoneDumper
from psycopg.types.string import StrDumperUnknown, TextLoader

SETTINGS = {
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "client_min_messages": "warning",
}
"""Under these settings a value has one text only."""

OPTIONS = " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())
"""The same, as the connection option ``options``."""


def text_only() -> AdaptersMap:
    """Return an adapters map that reads every type as text and writes str as untyped literals."""
    adapters = AdaptersMap()
    adapters.register_loader(0, TextLoader)  # what a type without a loader of its own falls back to
    adapters.register_dumper(str, StrDumperUnknown)
    adapters.register_dumper(type(None), NoneDumper)
    return adapters


def array(values: Iterable[str | None]) -> str:
    """Return an array literal of these texts; None is a null element."""
    return "{" + ",".join("NULL" if v is None else _quoted(v) for v in values) + "}"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
