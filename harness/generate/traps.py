"""Traps of concurrency in what writers do: transactions that straddle the incident, meet, or interleave.

*Straddling*: one is held open from before the script until some of the script's transactions are through,
or until the destruction strikes: its id is older than theirs, its place in commit order is not.

*Meeting*: two writers of one tenant change the same row in serializable transactions, the first of which is
held open until the other waits for it: that one is refused, and has to be tried again.

*Interleaving*: a writer's client thinks between two statements, as most clients do, and others commit
meanwhile. Rows of its transactions lie on both sides of their commits in the WAL: whoever goes on after a
restart from "the last commit" may take some for sent (FM-47).

Where there are any is drawn from sources of their own, so that a plan without traps is as it would be if
nobody had thought of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate, product
from random import Random
from typing import Final, NamedTuple

import msgspec

from harness.generate.book import COMMON, LiveRow
from harness.generate.scribe import Scribe
from harness.model.operations import Transaction, Update
from harness.model.plan import TenantPlan

STRADDLED_SHARE: Final = 0.35
"""Of the plans, in profiles with traps."""

STRADDLERS_MAX: Final = 3
STRADDLES_S: Final = (0.1, 1.5)
"""Least and most that such a transaction lasts into the script, if that begins on time."""

HELD_S_MAX: Final = 2.5
BEGUN_S_MIN: Final = 0.1
"""So long before the script it begins at the latest."""

MEETING_SHARE: Final = 0.35
"""Of the plans, in profiles with traps; one or two tenants of them."""

APART_S_MAX: Final = 1.0
"""Two transactions that are due further apart are not made to meet."""

MEETS_S: Final = (0.2, 0.6)
"""Least and most that the first one waits for the other."""

THINKING_SHARE: Final = 0.75
"""Of the plans, in profiles with traps."""

THINKS_S: Final = (0.005, 0.03)
THINKS_IN_ALL_S_MAX: Final = 0.15
"""A transaction of many operations must not make its writer fall behind."""

Writer = tuple[Transaction, ...]


class _Due(NamedTuple):
    """A transaction of the write phase, by its writer and its place there, and when it is due."""

    at_s: float
    writer: int
    place: int


def meeting(tenants: Sequence[int], rng: Random) -> frozenset[int]:
    """Return the numbers of those of ``tenants``, which have two writers, whose writers are to meet."""
    if rng.random() >= MEETING_SHARE:
        return frozenset()
    return frozenset(rng.sample(tenants, min(rng.randint(1, 2), len(tenants))))


def with_meeting(scribe: Scribe, writers: Sequence[Writer], counts: Sequence[int]) -> tuple[Writer, ...]:
    """Return a tenant's writers, of whom two change one row of the control plane at the same time.

    ``counts``: of each the transactions of the write phase, two of which meet. Nothing is changed for a
    tenant with one writer, or without a row that both may change.
    """
    pairs = [*_pairs(writers, counts)]
    rows = [*_common_rows(scribe)]
    if not pairs or not rows:
        return tuple(writers)
    first, second = scribe.rng.choice(pairs)
    hold_s = second.at_s - first.at_s + scribe.rng.uniform(*MEETS_S)
    row = scribe.rng.choice(rows)
    met = [[*writer] for writer in writers]
    for due, held_s in ((first, round(hold_s, 3)), (second, 0.0)):
        met[due.writer][due.place] = _serializable(scribe, met[due.writer][due.place], row, held_s)
    return tuple(tuple(writer) for writer in met)


def _pairs(writers: Sequence[Writer], counts: Sequence[int]) -> Iterator[tuple[_Due, _Due]]:
    """Yield pairs of different writers' transactions that are due one soon after the other."""
    due = [
        [
            _Due(at_s, number, place)
            for place, (tx, at_s) in enumerate(
                zip(writer[:count], accumulate(tx.pause_s for tx in writer), strict=False)
            )
            if tx.commit
        ]
        for number, (writer, count) in enumerate(zip(writers, counts, strict=True))
    ]
    for one, other in product(due, due):
        if one is not other:
            for first, second in product(one, other):
                if 0 <= second.at_s - first.at_s <= APART_S_MAX:
                    yield first, second


def _common_rows(scribe: Scribe) -> Iterator[LiveRow]:
    """Yield the rows of the control plane that an update can change: no writer's own, and always there."""
    for name in scribe.facts.changeable["update"]:
        yield from scribe.book.rows(name, COMMON)


def _serializable(scribe: Scribe, transaction: Transaction, row: LiveRow, hold_s: float) -> Transaction:
    """Return the transaction with a change of ``row`` before all it does, serializable."""
    table = scribe.facts.tables[row.table]
    now = next(one for one in scribe.book.rows(row.table, COMMON) if one.handle == row.handle)
    change = scribe.update(table, now)
    assert isinstance(change, Update)  # it can be changed
    operations = (change, *transaction.operations)
    return msgspec.structs.replace(transaction, operations=operations, hold_s=hold_s, serializable=True)


def with_thinkers(tenants: Sequence[TenantPlan], rng: Random) -> tuple[TenantPlan, ...]:
    """Return the tenants, whose writers in most plans think between the operations of each transaction."""
    if rng.random() >= THINKING_SHARE:
        return tuple(tenants)
    return tuple(
        msgspec.structs.replace(
            tenant,
            writers=tuple(_thinking(writer, rng.uniform(*THINKS_S)) for writer in tenant.writers),
        )
        for tenant in tenants
    )


def _thinking(writer: Writer, think_s: float) -> Writer:
    """Return the writer, who thinks for ``think_s``, or less where that would be often."""

    def thinks(transaction: Transaction) -> Transaction:
        gaps = len(transaction.operations) - 1
        if gaps < 1:
            return transaction
        least_s = min(think_s, THINKS_IN_ALL_S_MAX / gaps)
        return msgspec.structs.replace(transaction, think_s=round(least_s, 4))

    return tuple(map(thinks, writer))


def with_straddlers(
    tenants: Sequence[TenantPlan],
    damaged: Collection[str],
    rng: Random,
    script_s: float,
    *,
    share: float = STRADDLED_SHARE,
) -> tuple[TenantPlan, ...]:
    """Return the tenants, of whose writers some hold a transaction open when the script comes.

    ``script_s``: when that is, counted from when writers begin. Mostly they are of the ``damaged``; a quiet
    tenant's never are: it is silent then. ``share``: of the plans that come here.
    """
    if rng.random() >= share:
        return tuple(tenants)
    writers = [(t, n) for t in tenants if not t.quiet for n in range(len(t.writers))]
    hit = [(t, n) for t, n in writers if t.tenant in damaged]
    spared = [(t, n) for t, n in writers if t.tenant not in damaged]
    drawn = [*hit, *rng.sample(spared, min(1, len(spared)))]
    changed = {t.tenant: t for t in tenants}
    for tenant, number in rng.sample(drawn, min(rng.randint(1, STRADDLERS_MAX), len(drawn))):
        changed[tenant.tenant] = _straddling(changed[tenant.tenant], number, rng, script_s)
    return tuple(changed.values())


def _straddling(tenant: TenantPlan, number: int, rng: Random, script_s: float) -> TenantPlan:
    """Return the tenant, whose writer holds the last of its transactions that begins before the script."""
    due_s, last = 0.0, None
    for place, transaction in enumerate(tenant.writers[number]):
        due_s += transaction.pause_s
        if due_s > script_s - BEGUN_S_MIN:
            break
        if transaction.commit:
            last = place, due_s
    if last is None or script_s - last[1] > HELD_S_MAX - STRADDLES_S[0]:
        return tenant
    place, begins_s = last
    hold_s = min(script_s - begins_s + rng.uniform(*STRADDLES_S), HELD_S_MAX)
    return _held(tenant, number, place, round(hold_s, 3))


def _held(tenant: TenantPlan, number: int, place: int, hold_s: float) -> TenantPlan:
    writer: list[Transaction] = [*tenant.writers[number]]
    writer[place] = msgspec.structs.replace(writer[place], hold_s=hold_s)
    writers = [*tenant.writers]
    writers[number] = tuple(writer)
    return msgspec.structs.replace(tenant, writers=tuple(writers))
