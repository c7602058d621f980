"""Rows that belong to nobody: the steps that wrote them, and what was found of them at the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.judge.states import Step
from harness.judge.timeline import Transaction
from harness.model.history import StoredRow
from harness.model.schema import Table
from harness.model.values import Image, RowKey, keys_begin


def steps_on(transactions: Iterable[Transaction], tables: Mapping[str, Table]) -> list[Step]:
    """Return what these transactions, but the refused ones, did to ``tables``."""
    begin = keys_begin(tables)
    steps = (
        Step(tx=tx, writes={row: image for row, image in tx.beyond.items() if row.startswith(begin)})
        for tx in transactions
        if tx.outcome != "refused"
    )
    return [step for step in steps if step.writes]


def read_rows(stored: Iterable[StoredRow], tables: Mapping[str, Table]) -> dict[RowKey, Image]:
    """Return the rows found of ``tables``, by key."""
    begin = keys_begin(tables)
    return {row.key: row.row for row in stored if row.key.startswith(begin)}
