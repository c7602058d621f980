"""The guarantee's points 1 to 4 once more, by brute force: every set of transactions is tried.

Nothing of the judge is used: what a history says is read from its entries here, and a state is what one of
all sets of a tenant's transactions leaves behind. Slow, and short enough to be checked by reading it.

    a set is closed   whoever is in brings every committed transaction that had finished before it began,
                      and every committed earlier one on a row that it wrote
    it fits           its effects, in order, are exactly the rows found
    its loss          the instant of the incident minus the earliest ack, before that, of what it leaves out
    the answer        whether any closed set fits, and the least loss of those that do
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import inf

from harness.model import history as h
from harness.model import values

RowKey = tuple[str, str]
State = dict[RowKey, dict[str, object]]


@dataclass
class Tx:
    """A transaction that sent COMMIT. ``was`` and ``then``: whether each row was there before and after."""

    order: int
    entry: h.Sent
    outcome: str = "unknown"
    ended_s: float = inf
    upper: int | None = None
    writes: dict[RowKey, dict[str, object] | None] = field(default_factory=dict)
    was: dict[RowKey, bool] = field(default_factory=dict)

    @property
    def committed(self) -> bool:
        """Whether it is known to have committed."""
        return self.outcome == "acked"

    def then(self, row: RowKey) -> bool:
        """Whether it left the row there."""
        return self.writes[row] is not None


@dataclass(frozen=True)
class Answer:
    """Whether any set fits, and the least loss in seconds of those that do."""

    fits: bool
    loss_s: float = 0.0


def read(entries: Iterable[h.Entry]) -> list[Tx]:
    """Return the transactions of a history, with what is known of their outcomes by its end."""
    found: list[Tx] = []
    for entry in entries:
        if isinstance(entry, h.Sent):
            found.append(Tx(order=len(found), entry=entry))
            _write(found[-1])
        elif isinstance(entry, h.Done | h.Settled):
            for tx in [tx for tx in found if tx.entry.name == entry.name][-1:]:
                tx.outcome = entry.outcome
                tx.ended_s = inf if entry.outcome == "unknown" else entry.at_s
                if isinstance(entry, h.Done):
                    tx.upper = entry.lsn_upper
    breaks_s = [tx.entry.at_s for tx in found if tx.entry.actor == "script"]
    _settle([tx for tx in found if tx.outcome != "refused"], breaks_s)
    return found


def only(row: values.RowKey) -> RowKey:
    """A row's table and the one cell of its key."""
    table, (cell,) = values.table_and_key(row)
    return table, cell


def _write(tx: Tx) -> None:
    for change in tx.entry.changes:
        image = json.loads(bytes(change.row)) if change.row else None
        old = only(change.was or change.key) if change.op != "insert" else None
        new = (change.table, str(image["id"])) if image else None
        for row in (old, new):
            if row is not None:
                tx.was.setdefault(row, row == old)
                tx.writes[row] = image if row == new else None


def _settle(found: Sequence[Tx], breaks_s: Sequence[float]) -> None:
    """Settle each open outcome that is the same in all worlds that the statements allow.

    A world says of each open transaction whether it committed. A statement saw its row as the transaction
    before it on that row had left it; what scripts did in between nobody's statement shows.
    """
    opened = [tx for tx in found if tx.outcome == "unknown"]
    links = [
        (one, other, row)
        for other in found
        for row in other.writes
        for one in _before(found, other, row)
        if not any(one.entry.at_s <= at_s <= other.entry.at_s for at_s in breaks_s)
    ]
    worlds = [
        world
        for outcomes in product((True, False), repeat=len(opened))
        if _possible(world := dict(zip([tx.order for tx in opened], outcomes, strict=True)), links)
    ]
    for tx in opened:
        told = {world[tx.order] for world in worlds}
        if told == {True}:
            tx.outcome = "acked"
            tx.ended_s = min(
                other.entry.at_s for one, other, row in links if one is tx and tx.was[row] != tx.then(row)
            )
        elif told == {False}:
            tx.outcome = "refused"


def _before(found: Sequence[Tx], other: Tx, row: RowKey) -> list[Tx]:
    return [tx for tx in found if tx.order < other.order and row in tx.writes][-1:]


def _possible(world: Mapping[int, bool], links: Iterable[tuple[Tx, Tx, RowKey]]) -> bool:
    return all(
        other.was[row] == (one.then(row) if world.get(one.order, True) else one.was[row])
        for one, other, row in links
    )


def answer(
    transactions: Sequence[Tx], found: State, *, hit: Tx | None, incident_s: float, until_s: float = inf
) -> Answer:
    """Judge rows restored of one tenant; ``transactions`` are its own, and what scripts meant to do to it.

    ``hit``: the one before which it is cut. ``incident_s``: ``I(t)``. ``until_s``: the restore's end.
    """
    legal = [
        tx
        for tx in transactions
        if tx.outcome != "refused" and tx.entry.at_s <= until_s and not (hit and after(tx, hit))
    ]
    losses_s = [
        max((incident_s - tx.ended_s for tx in _left_out(legal, inside, incident_s)), default=0.0)
        for inside in closed_sets(legal)
        if effects(inside) == found
    ]
    return Answer(fits=bool(losses_s), loss_s=min(losses_s, default=0.0))


def after(tx: Tx, hit: Tx) -> bool:
    """Whether it can only have come after the damage, or is the damage."""
    if tx.entry.actor == "script":
        return tx.order >= hit.order
    if not hit.committed:
        return False
    if tx.entry.cluster != hit.entry.cluster:
        return tx.entry.cluster > hit.entry.cluster
    beyond = hit.upper is not None and tx.entry.lsn_lower >= hit.upper
    return beyond or tx.entry.begun_s > hit.ended_s


def _left_out(legal: Sequence[Tx], inside: Sequence[Tx], incident_s: float) -> Iterator[Tx]:
    for tx in legal:
        if tx not in inside and tx.committed and tx.ended_s < incident_s:
            yield tx


def closed_sets(legal: Sequence[Tx]) -> Iterator[list[Tx]]:
    """Yield every set that is closed."""
    needs = [sum(1 << n for n, one in enumerate(legal) if _demands(tx, one)) for tx in legal]
    for chosen in range(1 << len(legal)):
        inside = [n for n in range(len(legal)) if chosen >> n & 1]
        if all(needs[n] & ~chosen == 0 for n in inside):
            yield [legal[n] for n in inside]


def _demands(tx: Tx, one: Tx) -> bool:
    """Whether ``tx`` can't be in without ``one``."""
    same_row = one.order < tx.order and bool(one.writes.keys() & tx.writes.keys())
    return one.committed and (one.ended_s < tx.entry.begun_s or same_row)


def effects(inside: Iterable[Tx]) -> State:
    """Return the rows after these transactions, in order."""
    state: State = {}
    for tx in inside:
        for row, image in tx.writes.items():
            state.pop(row, None)
            if image is not None:
                state[row] = image
    return state
