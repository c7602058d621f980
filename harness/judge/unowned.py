"""Rows that belong to nobody: the steps that wrote them, and what was found of them at the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.judge.lines import writes_of
from harness.judge.states import RowKey, Step
from harness.judge.timeline import Transaction
from harness.model.history import StoredRow
from harness.model.schema import Table
from harness.model.values import Image


def steps_on(transactions: Iterable[Transaction], tables: Mapping[str, Table]) -> list[Step]:
    """Return what these transactions, but the refused ones, did to ``tables``."""
    writes = ((tx, writes_of(tx, tables)) for tx in transactions if tx.outcome != "refused")
    return [Step(tx=tx, writes=rows) for tx, rows in writes if rows]


def read_rows(stored: Iterable[StoredRow], tables: Mapping[str, Table]) -> dict[RowKey, Image]:
    """Return the rows found of ``tables``, by key."""
    return {(row.table, row.key): row.row for row in stored if row.table in tables}
