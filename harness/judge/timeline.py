"""The history, indexed: transactions joined from their entries, restores, and everything else by kind.

One pass over the entries. ``Sent``, ``Done`` and ``Settled`` of one transaction become one ``Transaction``;
``RestoreBegan``, ``RestoreDone`` and ``ReadBack`` become one ``Restore``. Nothing is judged here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal, TypeVar

import msgspec

from harness.model import history as h
from harness.model.position import Position

NEVER = math.inf
"""The time of something that was not seen to happen."""

E = TypeVar("E", bound=h.Entry)


class Transaction(msgspec.Struct, frozen=True, kw_only=True):
    """One transaction that sent COMMIT, with all that was seen of it.

    ``ended_s``: when it was known to have committed or not (NEVER while its outcome is open). ``restore``
    as an actor stands for the restore in place from which a tenant goes on.
    """

    order: int
    name: str
    actor: h.Actor | Literal["restore"]
    tenant: str | None
    cluster: int
    xid: int
    begun_s: float
    sent_s: float
    ended_s: float = NEVER
    outcome: h.Outcome = "unknown"
    lsn_lower: int = 0
    lsn_upper: int | None = None
    changes: tuple[h.Change, ...] = ()
    sight: h.Sight | None = None

    @property
    def acked(self) -> bool:
        """Whether it is known to have committed."""
        return self.outcome == "acked"


class Restore(msgspec.Struct, frozen=True, kw_only=True):
    """One restore: what was asked, what was answered, and where its rows were read back."""

    asked: h.RestoreBegan
    done: h.RestoreDone | None = None
    read_back: h.ReadBack | None = None

    @property
    def number(self) -> int:
        """The restore's ordinal in the drill, from 1."""
        return self.asked.restore

    @property
    def began_s(self) -> float:
        """When it was asked for."""
        return self.asked.at_s

    @property
    def done_s(self) -> float:
        """When the subject answered, NEVER when it did not."""
        return self.done.at_s if self.done else NEVER

    @property
    def restored(self) -> bool:
        """Whether the subject says that the tenant is back."""
        return self.done is not None and self.done.result == "restored"

    @property
    def refused(self) -> bool:
        """Whether the subject refused."""
        return self.done is not None and self.done.result == "refused"

    @property
    def in_place(self) -> bool:
        """Whether the tenant's live rows are what this restore made."""
        return self.restored and self.asked.place == "live"


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """The whole history of a drill, in order.

    ``destroyed_s``: when the primary was destroyed, NEVER when it was not; ``wiped_s``: when all rows went
    with it, NEVER where a standby survived it. ``systems``: by cluster its system id.
    """

    transactions: tuple[Transaction, ...]
    restores: tuple[Restore, ...]
    epochs: dict[int, int]
    systems: dict[int, str]
    destroyed_s: float
    wiped_s: float
    entries: dict[type[h.Entry], list[h.Entry]]

    def of(self, kind: type[E]) -> list[E]:
        """Return all entries of one kind, in order."""
        return self.entries.get(kind, [])  # type: ignore[return-value]  # filed under their own type

    def position(self, cluster: int, lsn: int | None) -> Position | None:
        """Return where ``lsn`` of ``cluster`` stands in commit order, None without an epoch for it."""
        epoch = self.epochs.get(cluster, 0)
        return Position(epoch=epoch, lsn=lsn) if epoch and lsn else None

    def same_rows(self, cluster: int, later: int) -> bool:
        """Whether ``later`` is that cluster, or went on from its rows on a later timeline."""
        return cluster == later or self.systems.get(cluster, "") == self.systems.get(later)

    def phase_s(self, phase: str) -> float:
        """Return when ``phase`` began, NEVER when it did not."""
        return next((e.at_s for e in self.of(h.PhaseBegan) if e.phase == phase), NEVER)

    @property
    def complete(self) -> bool:
        """Whether the drill was run to its end."""
        return any(e.complete for e in self.of(h.Ended))


def index(history: Iterable[h.Entry]) -> Timeline:
    """Index a history. Transactions come in the order in which they sent COMMIT.

    Of one that was sent again, under the same name, after it was refused, each try is a transaction.
    """
    entries: dict[type[h.Entry], list[h.Entry]] = {}
    transactions: dict[str, Transaction] = {}
    restores: dict[int, Restore] = {}
    for entry in history:
        entries.setdefault(type(entry), []).append(entry)
        _join_transaction(transactions, entry)
        _join_restore(restores, entry)
    destroyed = [e for e in entries.get(h.Destroyed, []) if isinstance(e, h.Destroyed)]
    return Timeline(
        transactions=tuple(sorted(transactions.values(), key=lambda tx: tx.order)),
        restores=tuple(restores.values()),
        epochs=_epochs(entries.get(h.ClusterSeen, [])),
        systems=_systems(entries.get(h.ClusterSeen, [])),
        destroyed_s=min((e.at_s for e in destroyed), default=NEVER),
        wiped_s=min((e.at_s for e in destroyed if e.survivors != "standby"), default=NEVER),
        entries=entries,
    )


def _join_transaction(transactions: dict[str, Transaction], entry: h.Entry) -> None:
    if isinstance(entry, h.Sent):
        order = len(transactions)
        if (earlier := transactions.pop(entry.name, None)) is not None:
            transactions[f"{entry.name}, try {order}"] = earlier
        transactions[entry.name] = _sent(order, entry)
    elif isinstance(entry, h.Done) and entry.name in transactions:
        transactions[entry.name] = msgspec.structs.replace(
            transactions[entry.name],
            outcome=entry.outcome,
            ended_s=NEVER if entry.outcome == "unknown" else entry.at_s,
            lsn_upper=entry.lsn_upper,
        )
    elif isinstance(entry, h.Settled) and entry.name in transactions:
        transactions[entry.name] = msgspec.structs.replace(
            transactions[entry.name], outcome=entry.outcome, ended_s=entry.at_s
        )


def _sent(order: int, entry: h.Sent) -> Transaction:
    return Transaction(
        order=order,
        name=entry.name,
        actor=entry.actor,
        tenant=entry.tenant,
        cluster=entry.cluster,
        xid=entry.xid,
        begun_s=entry.begun_s,
        sent_s=entry.at_s,
        lsn_lower=entry.lsn_lower,
        changes=entry.changes,
        sight=entry.sight,
    )


def _join_restore(restores: dict[int, Restore], entry: h.Entry) -> None:
    if isinstance(entry, h.RestoreBegan):
        restores[entry.restore] = Restore(asked=entry)
    elif isinstance(entry, h.RestoreDone) and entry.restore in restores:
        restores[entry.restore] = msgspec.structs.replace(restores[entry.restore], done=entry)
    elif isinstance(entry, h.ReadBack) and entry.restore in restores:
        restores[entry.restore] = msgspec.structs.replace(restores[entry.restore], read_back=entry)


def _systems(seen: Iterable[h.Entry]) -> dict[int, str]:
    return {e.cluster: e.system_id for e in seen if isinstance(e, h.ClusterSeen)}


def _epochs(seen: Iterable[h.Entry]) -> dict[int, int]:
    return {e.cluster: e.epoch for e in seen if isinstance(e, h.ClusterSeen) and e.epoch}
