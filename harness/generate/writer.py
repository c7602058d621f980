"""What a writer does: transactions of several statements, every kind of change early, then by weight."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from harness.generate.book import LiveRow
from harness.generate.facts import TableFacts
from harness.generate.profiles import WriterPace
from harness.generate.scribe import Scribe
from harness.model.operations import Operation, Transaction

PROBE_OWNER = -2
"""Owner of rows that probes make: no writer's, so that they meet only each other and the common ones."""

PROBES = 3
ROLLBACK_SHARE = 0.03
COPY_ROWS = (4, 12)

Act = Callable[[Scribe, int], list[Operation]]


def write(scribe: Scribe, owner: int, pace: WriterPace) -> tuple[tuple[Transaction, ...], int]:
    """Return a writer's transactions, and how many of them belong to the write phase."""
    due = [*_WEIGHTS, "rollback"]
    scribe.rng.shuffle(due)
    transactions = []
    for number, pause_s in enumerate(pace.pauses_s):
        name = f"t{scribe.tenant}.w{owner}.{number}"
        # The one write of a quiet tenant must commit, or its drill proves nothing.
        may_roll_back = number > 0 or pace.write_count > 1
        transactions.append(_transaction(scribe, owner, name, pause_s, due, may_roll_back=may_roll_back))
    return tuple(transactions), pace.write_count


def probes(scribe: Scribe) -> tuple[Transaction, ...]:
    """Return transactions of new rows only, which must work after any restore of the tenant."""
    tables = [t for t in scribe.facts.written if not _needs_entity(scribe, t)] or scribe.facts.written
    made = []
    for number in range(PROBES):
        operations: list[Operation] = []
        for _ in range(2):
            operations += scribe.insert(scribe.rng.choice(tables), PROBE_OWNER)
        made.append(with_ledger(scribe, f"t{scribe.tenant}.probe.{number}", operations))
    return tuple(made)


def with_ledger(
    scribe: Scribe, name: str, operations: list[Operation], *, pause_s: float = 0.0, commit: bool = True
) -> Transaction:
    """Return the transaction, with a row of its name in the ledger where the schema has one."""
    ledger = scribe.facts.ledger
    if ledger is not None:
        table = scribe.facts.tables[ledger.table]
        operations = [
            *operations,
            *scribe.insert(table, PROBE_OWNER, given={ledger.column: name}, filled=False),
        ]
    return Transaction(name=name, operations=tuple(operations), pause_s=pause_s, commit=commit)


def _needs_entity(scribe: Scribe, table: TableFacts) -> bool:
    """Whether a row needs one of an entity that a script may delete alone."""
    alone = {e.table for e in scribe.facts.schema.script.entities if e.scope == "row"}
    return any(link.parent in alone and not link.nullable for link in table.links)


def _transaction(
    scribe: Scribe, owner: int, name: str, pause_s: float, due: list[str], *, may_roll_back: bool
) -> Transaction:
    rollback = scribe.rng.random() < ROLLBACK_SHARE or due[:1] == ["rollback"]
    if due[:1] == ["rollback"]:
        due.pop(0)
    rollback = rollback and may_roll_back
    kept = scribe.book
    if rollback:
        scribe.book = kept.copy()
    operations = _featured(scribe, owner, due)
    for _ in range(scribe.rng.choice((0, 1, 1, 2, 2, 3))):
        operations += _by_weight(scribe, owner)
    transaction = with_ledger(scribe, name, operations, pause_s=pause_s, commit=not rollback)
    scribe.book = kept
    return transaction


def _featured(scribe: Scribe, owner: int, due: list[str]) -> list[Operation]:
    """Do the first kind that is still due and possible now; when none is, any kind."""
    for kind in due:
        if kind != "rollback" and (operations := _ACTS[kind](scribe, owner)):
            due.remove(kind)
            return operations
    return _by_weight(scribe, owner)


def _by_weight(scribe: Scribe, owner: int) -> list[Operation]:
    kind = scribe.rng.choices(tuple(_WEIGHTS), tuple(_WEIGHTS.values()))[0]
    return _ACTS[kind](scribe, owner) or _insert(scribe, owner)


def _table(rng: Random, tables: list[TableFacts]) -> TableFacts:
    """Any of ``tables``, by their weights."""
    place = rng.random() * sum(table.hint.weight for table in tables)
    for table in tables:
        place -= table.hint.weight
        if place < 0:
            return table
    return tables[-1]


def _insert(scribe: Scribe, owner: int) -> list[Operation]:
    table = _table(scribe.rng, scribe.facts.written)
    return scribe.insert(table, owner, filled=True if scribe.cells.giants and table.fillable else None)


def _copy(scribe: Scribe, owner: int) -> list[Operation]:
    tables = [t for t in scribe.facts.written if t.copyable]
    return (
        scribe.copy(_table(scribe.rng, tables), owner, scribe.rng.randrange(*COPY_ROWS)) if tables else []
    )


def _toasted(scribe: Scribe, owner: int) -> list[Operation]:
    """Update a row with a long text, and leave that text as it is."""
    rows = [
        row
        for name in scribe.facts.changeable["toasted"]
        for row in scribe.book.mine(name, owner)
        if row.filled
    ]
    row = scribe.book.pick(scribe.rng, rows)
    operation = scribe.update(scribe.facts.tables[row.table], row, spare=row.filled) if row else None
    return [operation] if operation else []


def _change(kind: str, act: Callable[[Scribe, TableFacts, LiveRow], Operation | None]) -> Act:
    """An act on any of the owner's rows where that kind of change can happen, tried a few times."""

    def perform(scribe: Scribe, owner: int) -> list[Operation]:
        for _ in range(4):
            row = scribe.book.pick_mine(scribe.rng, scribe.facts.changeable[kind], owner)
            if row and (operation := act(scribe, scribe.facts.tables[row.table], row)):
                return [operation]
        return []

    return perform


def _move(scribe: Scribe, table: TableFacts, row: LiveRow) -> Operation | None:
    return scribe.move(table, row, scribe.rng.choice(table.movable))


_ACTS: dict[str, Act] = {
    "insert": _insert,
    "update": _change("update", Scribe.update),
    "toasted": _toasted,
    "move": _change("move", _move),
    "rekey": _change("rekey", Scribe.rekey),
    "delete": _change("delete", Scribe.delete),
    "copy": _copy,
}
"""Every kind of change, each returning no operation when it is not possible now."""

_WEIGHTS = {"insert": 40, "update": 26, "toasted": 6, "move": 8, "rekey": 6, "delete": 10, "copy": 4}
