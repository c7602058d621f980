"""The history, indexed: transactions joined from their entries, restores, and everything else by kind.

One pass over the entries. ``Sent``, ``Done`` and ``Settled`` of one transaction become one ``Transaction``;
``RestoreBegan``, ``RestoreDone`` and ``ReadBack`` become one ``Restore``. Nothing is judged here.

Nearly every outcome is an ack and nothing else. One that is decoded next to its transaction goes into it at
once (``joined``) and is not kept; all others are.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from operator import attrgetter
from types import MappingProxyType
from typing import Literal, TypeVar

import msgspec

from harness.model import history as h
from harness.model.position import Position
from harness.model.values import Image, RowKey

NEVER = math.inf
"""The time of something that was not seen to happen."""

Writes = Mapping[RowKey, Image | None]
"""The state of each row after a transaction, None when it is gone."""

NOTHING: Writes = MappingProxyType({})

Begin = tuple[str, ...]
"""How the keys of some tables' rows begin."""

E = TypeVar("E", bound=h.Entry)

_decoder = msgspec.json.Decoder(h.Sent)


in_order = attrgetter("order")
"""By what transactions are sorted."""


class Transaction(
    msgspec.Struct,
    kw_only=True,
    gc=False,
    tag_field="entry",
    tag="sent",
    rename={"sent_s": "at_s", "unread": "changes"},
):
    """One transaction that sent COMMIT, with all that was seen of it.

    A history's ``Sent`` is decoded as one: what it wrote, its ``order`` and its outcome are filled in when
    it is joined, or settled, and never change again. ``order``: the later it sent COMMIT the higher.

    ``ended_s``: when it was known to have committed or not (NEVER while its outcome is open). ``restore``
    as an actor stands for the restore in place from which a tenant goes on. ``joined``: its client was
    told that it had committed, and nothing else, so that its ``Done`` is not kept.

    ``line``: it as it stands in the history; ``unread``: its changes until ``writes`` is filled in, what
    they come to in tables of tenants, and ``beyond``, the same elsewhere; ``rows``: how many of them are of
    tenants. They take most of the memory, so that they are decoded again where somebody asks once more.
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
    unread: tuple[h.Change, ...] = ()
    sight: h.Sight | None = None
    line: bytes = b""
    joined: bool = False
    writes: Writes = NOTHING
    beyond: Writes = NOTHING
    rows: int = 0

    @property
    def acked(self) -> bool:
        """Whether it is known to have committed."""
        return self.outcome == "acked"

    @property
    def changes(self) -> tuple[h.Change, ...]:
        """What it changed, row by row, decoded at each look."""
        return _decoder.decode(self.line).changes


def read_changes(tx: Transaction, line: bytes, owned: Begin) -> None:
    """Fill in what a transaction wrote, which ``line`` tells of; the last change of a row counts."""
    writes: dict[RowKey, Image | None] = {}
    beyond: dict[RowKey, Image | None] = {}
    rows = 0
    for change in tx.unread:
        key = change.key
        if key.startswith(owned):
            rows += 1
            of = writes
        else:
            of = beyond
        if change.was is not None:
            of[change.was] = None
        of[key] = change.row or None
    tx.line, tx.unread, tx.writes, tx.rows = line, (), writes, rows
    if beyond:
        tx.beyond = beyond


def join(tx: Transaction, done: h.Done) -> bool:
    """Let a writer's transaction end with ``done`` if that says nothing but that it did; return whether."""
    plain = (
        done.outcome == "acked"
        and done.actor == "writer"
        and done.lsn_upper is not None
        and done.begun_s == tx.begun_s
        and not (done.lost or done.conflicted or done.detail or tx.joined)
    )
    if plain:
        tx.outcome, tx.ended_s, tx.lsn_upper, tx.joined = done.outcome, done.at_s, done.lsn_upper, True
    return plain


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
    those that were joined to transactions. ``by_tenant``: its transactions; ``in_doubt``: all of whose
    clients were not told at once that they had committed; ``others``: all that are no writer's; ``beyond``:
    all that wrote rows of no tenant; in order.
    """

    by_tenant: Mapping[str | None, Sequence[Transaction]]
    in_doubt: Sequence[Transaction]
    others: Sequence[Transaction]
    beyond: Sequence[Transaction]
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
    def tenant_by_tenant(self) -> Iterator[Transaction]:
        """One tenant's transactions after another's: so they lie in memory, and are looked at faster."""
        return chain.from_iterable(self.by_tenant.values())

    @cached_property
    def transactions(self) -> list[Transaction]:
        """All transactions, in order."""
        return sorted(self.tenant_by_tenant, key=in_order)

    def by(self, *actors: h.Actor) -> list[Transaction]:
        """Return the transactions of some actors, none of them a writer, in order."""
        return [tx for tx in self.others if tx.actor in actors]

    def joined(self, tenant: str) -> set[str]:
        """Return the names of a tenant's transactions whose ``Done`` is not kept: they were acked."""
        return {tx.name for tx in self.by_tenant.get(tenant, ()) if tx.joined}

    @cached_property
    def of_scripts(self) -> list[Transaction]:
        """The transactions of scripts, in order."""
        return self.by("script")

    @cached_property
    def outcomes(self) -> list[h.Done]:
        """All that clients were told, in the order of its time."""
        joined = (_done(tx) for tx in self.transactions if tx.joined)
        return sorted(chain(self.of(h.Done), joined), key=lambda done: done.at_s)

    @property
    def complete(self) -> bool:
        """Whether the drill was run to its end."""
        return any(e.complete for e in self.of(h.Ended))


def index(history: Iterable[h.Entry | Transaction], owned: Begin = ()) -> Timeline:
    """Index a history. What is not ``joined`` comes in the order in which it was seen.

    Of one that was sent again, under the same name, after it was refused, each try is a transaction. One
    that was decoded as such knows its order and what it wrote in ``owned`` tables already.
    """
    joiner = _Joiner(owned)
    joiner.take_all(history)
    joiner.settle()
    for mine in joiner.by_tenant.values():
        mine.sort(key=in_order)
    entries = joiner.entries
    destroyed = [e for e in entries.get(h.Destroyed, []) if isinstance(e, h.Destroyed)]
    return Timeline(
        by_tenant=dict(joiner.by_tenant),
        in_doubt=joiner.in_doubt,
        others=joiner.others,
        beyond=sorted(joiner.beyond, key=in_order),
        restores=tuple(joiner.restores.values()),
        epochs=_epochs(entries.get(h.ClusterSeen, [])),
        systems=_systems(entries.get(h.ClusterSeen, [])),
        destroyed_s=min((e.at_s for e in destroyed), default=NEVER),
        wiped_s=min((e.at_s for e in destroyed if e.survivors != "standby"), default=NEVER),
        entries=dict(entries),
    )


class _Joiner:
    """Joins entries to transactions and restores.

    ``newest``: by name the last try of those that are not joined. ``done``: by their order what came of
    these, if it did.
    """

    def __init__(self, owned: Begin) -> None:
        self.owned = owned
        self.entries: dict[type[h.Entry], list[h.Entry]] = defaultdict(list)
        self.by_tenant: dict[str | None, list[Transaction]] = defaultdict(list)
        self.in_doubt: list[Transaction] = []
        self.others: list[Transaction] = []
        self.beyond: list[Transaction] = []
        self.newest: dict[str, Transaction] = {}
        self.done: dict[int, h.Done] = {}
        self.settled: dict[int, h.Settled] = {}
        self.restores: dict[int, Restore] = {}

    def take_all(self, history: Iterable[h.Entry | Transaction]) -> None:
        """Join each entry to what it belongs to, if it does."""
        by_tenant = self.by_tenant
        for entry in history:
            if isinstance(entry, Transaction):
                by_tenant[entry.tenant].append(entry)
                if entry.beyond:
                    self.beyond.append(entry)
                if not entry.joined:
                    self._doubt(entry)
            else:
                self._take(entry)

    def _doubt(self, tx: Transaction) -> None:
        """Have an eye on a transaction whose outcome is to come."""
        self.in_doubt.append(tx)
        self.newest[tx.name] = tx
        if tx.actor != "writer":
            self.others.append(tx)

    def _take(self, entry: h.Entry) -> None:
        """Join one of the kinds that are not frequent in a history that was decoded."""
        if isinstance(entry, h.Sent):
            self.take_all([begun(entry, self.owned, order=len(self.in_doubt))])
            return
        self.entries[type(entry)].append(entry)
        if isinstance(entry, h.Done):
            if (tx := self.newest.get(entry.name)) is not None:
                self.done[tx.order] = entry
        elif isinstance(entry, h.Settled):
            if (tx := self.newest.get(entry.name)) is not None:
                self.settled[tx.order] = entry
        elif isinstance(entry, h.RestoreBegan):
            self.restores[entry.restore] = Restore(asked=entry)
        elif isinstance(entry, h.RestoreDone | h.ReadBack) and entry.restore in self.restores:
            restore = self.restores[entry.restore]
            answer = {"done": entry} if isinstance(entry, h.RestoreDone) else {"read_back": entry}
            self.restores[entry.restore] = msgspec.structs.replace(restore, **answer)

    def settle(self) -> None:
        """Fill in what came of the doubtful; what a witness says counts more than what the client saw."""
        for tx in self.in_doubt:
            done = self.done.get(tx.order)
            fate = self.settled.get(tx.order, done)
            tx.outcome = fate.outcome if fate is not None else "unknown"
            tx.ended_s = NEVER if fate is None or tx.outcome == "unknown" else fate.at_s
            tx.lsn_upper = done.lsn_upper if done is not None else None


def begun(sent: h.Sent, owned: Begin, *, order: int) -> Transaction:
    """Return the transaction as it was when it sent COMMIT."""
    tx = Transaction(
        order=order,
        name=sent.name,
        actor=sent.actor,
        tenant=sent.tenant,
        cluster=sent.cluster,
        xid=sent.xid,
        begun_s=sent.begun_s,
        sent_s=sent.at_s,
        lsn_lower=sent.lsn_lower,
        unread=sent.changes,
        sight=sent.sight,
    )
    read_changes(tx, h.encode_line(sent), owned)
    return tx


def _done(tx: Transaction) -> h.Done:
    """Return the outcome that was joined to a writer's transaction."""
    return h.Done(
        at_s=tx.ended_s,
        name=tx.name,
        actor="writer",
        tenant=tx.tenant,
        outcome="acked",
        lsn_upper=tx.lsn_upper,
        begun_s=tx.begun_s,
    )


def _systems(seen: Iterable[h.Entry]) -> dict[int, str]:
    return {e.cluster: e.system_id for e in seen if isinstance(e, h.ClusterSeen)}


def _epochs(seen: Iterable[h.Entry]) -> dict[int, int]:
    return {e.cluster: e.epoch for e in seen if isinstance(e, h.ClusterSeen) and e.epoch}
