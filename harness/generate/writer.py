"""What a writer does: transactions of several statements, every kind of change early, then by weight."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from harness.generate.book import LiveRow
from harness.generate.facts import TableFacts
from harness.generate.profiles import Load, WriterPace
from harness.generate.scribe import Scribe
from harness.model.operations import Operation, Transaction

PROBE_OWNER = -2
"""Owner of rows that probes make: no writer's, so that they meet only each other and the common ones."""

PROBES = 3
ROLLBACK_SHARE = 0.03
"""Of the transactions in the tail."""


class Hand(NamedTuple):
    """Who writes: the owner number ``owner`` of a scribe's rows, under a load."""

    scribe: Scribe
    owner: int
    load: Load


Act = Callable[[Hand], list[Operation]]


def write(scribe: Scribe, owner: int, pace: WriterPace, load: Load) -> tuple[tuple[Transaction, ...], int]:
    """Return a writer's transactions, and how many of them belong to the write phase."""
    hand = Hand(scribe, owner, load)
    due = [*_ACTS]
    scribe.rng.shuffle(due)
    rolled_back = scribe.rng.randrange(pace.write_count)
    transactions = []
    for number, pause_s in enumerate(pace.pauses_s):
        name = f"t{scribe.tenant}.w{owner}.{number}"
        # Once in the write phase, where more would delay the floors; the one write of a quiet tenant must
        # commit, or its drill proves nothing.
        if number < pace.write_count:
            rollback = number == rolled_back and pace.write_count > 1
        else:
            rollback = scribe.rng.random() < ROLLBACK_SHARE
        transactions.append(_transaction(hand, name, pause_s, due, rollback=rollback))
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


def _transaction(hand: Hand, name: str, pause_s: float, due: list[str], *, rollback: bool) -> Transaction:
    """One transaction: a kind of change that is still due, and up to two more."""
    scribe = hand.scribe
    kept = scribe.book
    if rollback:
        scribe.book = kept.copy()
    operations = _by_weight(hand) if rollback else _featured(hand, due)
    for _ in range(scribe.rng.choice((0, 0, 1, 1, 1, 2, 2))):
        operations += _by_weight(hand)
    transaction = with_ledger(scribe, name, operations, pause_s=pause_s, commit=not rollback)
    if rollback:
        scribe.book = kept
    return transaction


def _featured(hand: Hand, due: list[str]) -> list[Operation]:
    """Do the first kind that is still due and possible now; when none is, any kind."""
    for kind in due:
        if operations := _ACTS[kind](hand):
            due.remove(kind)
            return operations
    return _by_weight(hand)


def _by_weight(hand: Hand) -> list[Operation]:
    weights = {**_WEIGHTS, "copy": hand.load.copy_weight}
    kind = hand.scribe.rng.choices(tuple(weights), tuple(weights.values()))[0]
    return _ACTS[kind](hand) or _insert(hand)


def _table(rng: Random, tables: list[TableFacts]) -> TableFacts:
    """Any of ``tables``, by their weights."""
    place = rng.random() * sum(table.hint.weight for table in tables)
    for table in tables:
        place -= table.hint.weight
        if place < 0:
            return table
    return tables[-1]


def _insert(hand: Hand) -> list[Operation]:
    scribe = hand.scribe
    table = _table(scribe.rng, scribe.facts.written)
    filled = True if scribe.cells.giants and table.fillable else None
    return scribe.insert(table, hand.owner, filled=filled)


def _copy(hand: Hand) -> list[Operation]:
    scribe = hand.scribe
    tables = [table for table in scribe.facts.written if table.copyable]
    if not tables:
        return []
    return scribe.copy(_table(scribe.rng, tables), hand.owner, scribe.rng.randint(*hand.load.copy_rows))


def _toasted(hand: Hand) -> list[Operation]:
    """Update a row with a long text, and leave that text as it is."""
    scribe = hand.scribe
    tables = scribe.facts.changeable["toasted"]
    rows = [row for name in tables for row in scribe.book.mine(name, hand.owner) if row.filled]
    row = scribe.book.pick(scribe.rng, rows)
    operation = scribe.update(scribe.facts.tables[row.table], row, spare=row.filled) if row else None
    return [operation] if operation else []


def _change(kind: str, act: Callable[[Scribe, TableFacts, LiveRow], Operation | None]) -> Act:
    """An act on any of the owner's rows where that kind of change can happen, tried a few times."""

    def perform(hand: Hand) -> list[Operation]:
        scribe = hand.scribe
        for _ in range(4):
            row = scribe.book.pick_mine(scribe.rng, scribe.facts.changeable[kind], hand.owner)
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

_WEIGHTS = {"insert": 40, "update": 26, "toasted": 6, "move": 8, "rekey": 6, "delete": 10}
"""How often a writer does each kind; bulk loads have the weight that the load gives them."""
