"""What one flush writes: the transactions since the last one, by tenant, and what they add up to."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TypeVar

import msgspec

from harness.model.position import Position
from harness.model.schema import Schema
from harness.subject.reference.assembler import Transaction
from harness.subject.reference.format import Beat, Epoch, Global, Part, SchemaRef
from harness.subject.reference.owners import Split

T = TypeVar("T", Part, Global, Position)

Counters = dict[str, tuple[str, ...]]
"""Per table its identity and serial columns."""


def counters_of(schema: Schema) -> Counters:
    """Return the columns whose values come from sequences, per owned or shared table."""
    found = {
        table.name: tuple(c.name for c in table.columns if c.given_by in ("identity", "serial"))
        for table in (*schema.owned, *schema.shared)
    }
    return {table: columns for table, columns in found.items() if columns}


class Batch:
    """Whole transactions in commit order, not durable yet.

    ``end``: the last one's position; ``sure``: that of the last one with a heartbeat, or of a snapshot.
    ``asked``: the number of the newest snapshot among them, 0 when there is none.
    """

    def __init__(self) -> None:
        self.parts: dict[str, list[Part]] = {}
        self.globals: list[Global] = []
        self.end: Position | None = None
        self.sure: Position | None = None
        self.beat: Beat | None = None
        self.asked = 0
        self.rows = 0

    def add(self, transaction: Transaction, split: Split) -> None:
        """Add the next transaction, taken apart."""
        for tenant, part in split.parts.items():
            self.parts.setdefault(tenant, []).append(part)
            self.rows += len(part.changes)
        self.globals += split.globals
        self.end = transaction.position
        if transaction.snapshot or transaction.beat is not None:
            self.sure = self.end
        self.beat = transaction.beat or self.beat
        self.asked = max(self.asked, transaction.asked)

    def belongs_to(self, epoch: Epoch) -> None:
        """File what lies beyond the fork of ``epoch``, and came before its first heartbeat, under it."""
        fork_lsn = math.inf if epoch.fork_lsn is None else epoch.fork_lsn

        def filed(one: T) -> T:
            beyond = one.epoch < epoch.ordinal and one.lsn > fork_lsn
            return msgspec.structs.replace(one, epoch=epoch.ordinal) if beyond else one

        self.parts = {tenant: [*map(filed, parts)] for tenant, parts in self.parts.items()}
        self.globals = [*map(filed, self.globals)]
        self.end = None if self.end is None else filed(self.end)
        self.sure = None if self.sure is None else filed(self.sure)

    def begin_schema(self, schema: SchemaRef | None) -> None:
        """Note the schema with which a snapshot in here began."""
        self.globals = [
            msgspec.structs.replace(one, schema=schema) if one.kind == "snapshot" else one
            for one in self.globals
        ]

    def changes_schema(self) -> bool:
        """Whether a transaction in here changed the schema."""
        return any(one.kind == "schema" for one in self.globals)

    def dumped_schema(self, schema: SchemaRef) -> None:
        """Note as what the newest change of the schema was dumped, if no other came in between."""
        for place in range(len(self.globals) - 1, -1, -1):
            one = self.globals[place]
            if one.kind == "schema":
                if one.catalogue == schema.catalogue:
                    self.globals[place] = msgspec.structs.replace(one, schema=schema)
                return

    def high(self, before: dict[str, int], counters: Counters) -> dict[str, int]:
        """Return the highest value of each counter so far: ``before`` and what this batch adds."""
        high = dict(before)
        for name, value in self._counted(counters):
            high[name] = max(value, high.get(name, value))
        return high

    def _counted(self, counters: Counters) -> Iterable[tuple[str, int]]:
        for parts in self.parts.values():
            for change in (change for part in parts for change in part.changes):
                for column in counters.get(change.table, ()):
                    cell = (change.after or {}).get(column)
                    if cell is not None:
                        yield f"{change.table}.{column}", int(cell)
