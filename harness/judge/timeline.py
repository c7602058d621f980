"""The history, indexed: transactions joined from their entries, restores, and everything else by kind.

One pass over the entries. ``Sent``, ``Done`` and ``Settled`` of one transaction become one ``Transaction``;
``RestoreBegan``, ``RestoreDone`` and ``ReadBack`` become one ``Restore``. Nothing is judged here.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain
from typing import Literal, TypeVar

import msgspec
from msgspec.structs import force_setattr

from harness.model import history as h
from harness.model.position import Position

NEVER = math.inf
"""The time of something that was not seen to happen."""

E = TypeVar("E", bound=h.Entry)


class Transaction(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    gc=False,
    tag_field="entry",
    tag="sent",
    rename={"sent_s": "at_s"},
):
    """One transaction that sent COMMIT, with all that was seen of it.

    A history's ``Sent`` is decoded as one: ``order`` and its outcome are filled in when it is joined, and
    never change again.

    ``ended_s``: when it was known to have committed or not (NEVER while its outcome is open). ``restore``
    as an actor stands for the restore in place from which a tenant goes on.
    """

    order: int = -1
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


class Timeline(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The whole history of a drill, in order.

    ``destroyed_s``: when the primary was destroyed, NEVER when it was not; ``wiped_s``: when all rows went
    with it, NEVER where a standby survived it. ``systems``: by cluster its system id. ``entries``: all but
    those that were joined to transactions when they sent COMMIT. ``orders``: numbers of the
    transactions, one tenant's after another's.
    """

    transactions: tuple[Transaction, ...]
    orders: Sequence[int]
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

    @cached_property
    def tenant_by_tenant(self) -> list[Transaction]:
        """One tenant's transactions after another's: so they lie in memory, and are looked at faster."""
        return [self.transactions[order] for order in self.orders]

    @cached_property
    def of_scripts(self) -> list[Transaction]:
        """The transactions of scripts, in order."""
        scripts = (tx for tx in self.tenant_by_tenant if tx.actor == "script")
        return sorted(scripts, key=lambda tx: tx.order)

    @property
    def complete(self) -> bool:
        """Whether the drill was run to its end."""
        return any(e.complete for e in self.of(h.Ended))


def index(history: Iterable[h.Entry | Transaction]) -> Timeline:
    """Index a history. Transactions come in the order in which they sent COMMIT.

    Of one that was sent again, under the same name, after it was refused, each try is a transaction. One
    that was decoded as such is joined in place.
    """
    joiner = _Joiner()
    joiner.take_all(history)
    entries, orders = joiner.entries, joiner.orders()
    destroyed = [e for e in entries.get(h.Destroyed, []) if isinstance(e, h.Destroyed)]
    return Timeline(
        transactions=tuple(joiner.transactions(orders)),
        orders=orders,
        restores=tuple(joiner.restores.values()),
        epochs=_epochs(entries.get(h.ClusterSeen, [])),
        systems=_systems(entries.get(h.ClusterSeen, [])),
        destroyed_s=min((e.at_s for e in destroyed), default=NEVER),
        wiped_s=min((e.at_s for e in destroyed if e.survivors != "standby"), default=NEVER),
        entries=dict(entries),
    )


class _Joiner:
    """Joins entries to transactions and restores.

    ``newest``: by name the number of its last try. ``done``: what each try of ``sent`` came to, if it did.
    """

    def __init__(self) -> None:
        self.entries: dict[type[h.Entry], list[h.Entry]] = defaultdict(list)
        self.sent: list[h.Sent | Transaction] = []
        self.newest: dict[str, int] = {}
        self.done: list[h.Done | None] = []
        self.settled: dict[int, h.Settled] = {}
        self.restores: dict[int, Restore] = {}

    def take_all(self, history: Iterable[h.Entry | Transaction]) -> None:
        """Join each entry to what it belongs to, if it does."""
        sent, done, newest, outcomes = self.sent, self.done, self.newest, self.entries[h.Done]
        for entry in history:
            if isinstance(entry, _SENT):
                newest[entry.name] = len(sent)
                sent.append(entry)
                done.append(None)
            elif isinstance(entry, h.Done):
                outcomes.append(entry)
                if (number := newest.get(entry.name)) is not None:
                    done[number] = entry
            else:
                self._take(entry)

    def _take(self, entry: h.Entry) -> None:
        """Join one of the kinds that are not frequent."""
        self.entries[type(entry)].append(entry)
        if isinstance(entry, h.Settled):
            if (number := self.newest.get(entry.name)) is not None:
                self.settled[number] = entry
        elif isinstance(entry, h.RestoreBegan):
            self.restores[entry.restore] = Restore(asked=entry)
        elif isinstance(entry, h.RestoreDone | h.ReadBack) and entry.restore in self.restores:
            restore = self.restores[entry.restore]
            answer = {"done": entry} if isinstance(entry, h.RestoreDone) else {"read_back": entry}
            self.restores[entry.restore] = msgspec.structs.replace(restore, **answer)

    def orders(self) -> list[int]:
        """Return the numbers of the transactions, one tenant's after another's."""
        mine: dict[str | None, list[int]] = defaultdict(list)
        for order, sent in enumerate(self.sent):
            mine[sent.tenant].append(order)
        return list(chain.from_iterable(mine.values()))

    def transactions(self, orders: Iterable[int]) -> list[Transaction]:
        """Return the transactions, in order; what a witness says counts more than what the client saw.

        They are joined tenant by tenant, since so they lie in memory.
        """
        for order in orders:
            self.sent[order] = self._joined(order)
        return self.sent  # type: ignore[return-value]  # each has been joined

    def _joined(self, order: int) -> Transaction:
        sent, done = self.sent[order], self.done[order]
        tx = sent if isinstance(sent, Transaction) else _begun(sent)
        fate = self.settled.get(order, done)
        outcome = fate.outcome if fate is not None else "unknown"
        force_setattr(tx, "order", order)
        force_setattr(tx, "outcome", outcome)
        force_setattr(tx, "ended_s", NEVER if fate is None or outcome == "unknown" else fate.at_s)
        force_setattr(tx, "lsn_upper", done.lsn_upper if done is not None else None)
        return tx


_SENT = (Transaction, h.Sent)


def _begun(sent: h.Sent) -> Transaction:
    """Return the transaction as it was when it sent COMMIT."""
    return Transaction(
        name=sent.name,
        actor=sent.actor,
        tenant=sent.tenant,
        cluster=sent.cluster,
        xid=sent.xid,
        begun_s=sent.begun_s,
        sent_s=sent.at_s,
        lsn_lower=sent.lsn_lower,
        changes=sent.changes,
        sight=sent.sight,
    )


def _systems(seen: Iterable[h.Entry]) -> dict[int, str]:
    return {e.cluster: e.system_id for e in seen if isinstance(e, h.ClusterSeen)}


def _epochs(seen: Iterable[h.Entry]) -> dict[int, int]:
    return {e.cluster: e.epoch for e in seen if isinstance(e, h.ClusterSeen) and e.epoch}
