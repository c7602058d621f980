"""A tenant's initial rows: the control plane first, parents before children, cycles closed at the end."""

from __future__ import annotations

from harness.generate.book import COMMON
from harness.generate.facts import TableFacts
from harness.generate.scribe import Scribe
from harness.generate.shapes import TenantShape
from harness.generate.writer import with_ledger
from harness.model.operations import Copy, Operation, Transaction

BULK_CHARS = 8_000
"""Characters of one long text among the bulk of a tenant."""

CHUNK_ROWS = 60
"""Rows in one transaction of the load, about."""


def load(scribe: Scribe, shape: TenantShape, writers: int) -> tuple[Transaction, ...]:
    """Return the transactions that load a tenant of that shape, shared out among ``writers`` owners."""
    control = _control_plane(scribe)
    rest = max(0, shape.rows - len(control))
    rows = [*_by_weight(scribe, rest, writers), *_bulk(scribe, shape.bulk_chars)]
    chunks = [control, *_chunked([*rows, *_cycles(scribe)])]
    return tuple(
        with_ledger(scribe, f"t{scribe.tenant}.init.{number}", chunk) for number, chunk in enumerate(chunks)
    )


def _control_plane(scribe: Scribe) -> list[Operation]:
    operations: list[Operation] = []
    for table in scribe.facts.owned:
        for _ in range(1 if table.is_root else table.hint.initial or 0):
            operations += scribe.insert(table, COMMON)
    return operations


def _by_weight(scribe: Scribe, rows: int, writers: int) -> list[Operation]:
    """Rows of each table by its weight, dealt to the writers in turn; each writer gets one long text."""
    tables = [t for t in scribe.facts.written if t.hint.initial is None]
    whole = sum(table.hint.weight for table in tables)
    operations: list[Operation] = []
    unfilled = set(range(writers))
    for table in tables:
        count = round(rows * table.hint.weight / whole)
        for owner in range(writers):
            share = count // writers + (owner < count % writers)
            if share and owner in unfilled and table.fillable and table.wide:
                operations += scribe.insert(table, owner, filled=True)
                unfilled.remove(owner)
                share -= 1
            operations += _rows(scribe, table, owner, share)
    return operations


def _bulk(scribe: Scribe, chars: int) -> list[Operation]:
    """Rows with long texts of ``chars`` characters in all, for writer 0."""
    tables = [table for table in scribe.facts.written if table.fillable]
    operations: list[Operation] = []
    for _ in range(chars // BULK_CHARS if tables else 0):
        scribe.cells.giants.append(BULK_CHARS)
        operations += scribe.insert(scribe.rng.choice(tables), 0, filled=True)
    return operations


def _rows(scribe: Scribe, table: TableFacts, owner: int, count: int) -> list[Operation]:
    if table.copyable and count >= 5:
        return scribe.copy(table, owner, count)
    return [operation for _ in range(count) for operation in scribe.insert(table, owner)]


def _cycles(scribe: Scribe) -> list[Operation]:
    """Set some of the links that had to stay NULL because their parents came later."""
    operations: list[Operation] = []
    for table in scribe.facts.owned:
        for link in [link for link in table.links if link.later]:
            for row in [row for row in scribe.book if row.table == table.name]:
                update = scribe.move(table, row, link) if scribe.rng.random() < 0.6 else None
                operations += [update] if update else []
    return operations


def _chunked(operations: list[Operation]) -> list[list[Operation]]:
    chunks: list[list[Operation]] = []
    room = 0
    for operation in operations:
        if room <= 0:
            chunks.append([])
            room = CHUNK_ROWS
        chunks[-1].append(operation)
        room -= len(operation.rows) if isinstance(operation, Copy) else 1
    return chunks
