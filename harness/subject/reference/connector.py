"""What the reference system needs of Debezium's connector beyond the stack's own settings. Pure.

A snapshot reads dates as days since 1970, since the driver's own dates lose their era there (44 BC arrives
as 44 AD); streamed ones keep it. Records carry no schemas (the stack's setting): types are known from the
declared schema.
"""

from __future__ import annotations

from harness.model.schema import Column, Schema, Table

_OVERRIDES = "snapshot.select.statement.overrides"
_DATE = """\
CASE WHEN isfinite({name}) THEN {name} - DATE '1970-01-01' \
WHEN {name} > DATE '1970-01-01' THEN 2147483647 \
WHEN {name} < DATE '1970-01-01' THEN -2147483648 END AS {name}"""
"""Infinities become days beyond the type's range, which reading turns back."""


def connector_settings(schema: Schema) -> dict[str, str]:
    """Return the settings to add to the connector's."""
    dated = [table for table in schema.tables if any(_is_date(c, schema) for c in table.columns)]
    selects = {f"{_OVERRIDES}.{table.name}": _select(table, schema) for table in dated}
    if not dated:
        return {}
    return {_OVERRIDES: ",".join(table.name for table in dated), **selects}


def _is_date(column: Column, schema: Schema) -> bool:
    return schema.domains.get(column.type, column.type) == "date"


def _select(table: Table, schema: Schema) -> str:
    """Select all columns in their order: the connector takes them by position."""
    columns = (
        _DATE.format(name=_quoted(column.name)) if _is_date(column, schema) else _quoted(column.name)
        for column in table.columns
    )
    return f"SELECT {', '.join(columns)} FROM {_quoted(*table.name.split('.', 1))}"


def _quoted(*names: str) -> str:
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)
