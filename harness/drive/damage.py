"""Who is damaged and who was rightly deleted, by which transaction: what restores must know of a script.

Membership is by effect. What counts is what a transaction, once its COMMIT was sent, can have done: planned
effects that touched a row which was there. The judge derives the same from the history alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import msgspec

from harness.drive.bindings import RowName
from harness.model.history import Change, Done, Sent
from harness.model.plan import Effect, ScriptTransaction
from harness.model.values import table_and_key

Present = Callable[[Effect], Iterable[RowName]]
"""Rows (table and key) of the effect's tenant that are there, as far as the harness knows."""

Removing = Callable[[str], Mapping[str, frozenset[RowName]]]
"""By name a tenant's transactions that sent COMMIT and have no clear outcome: the rows they removed."""


def unintended(transaction: ScriptTransaction) -> tuple[Effect, ...]:
    """Return the effects of ``transaction`` that go beyond what was intended."""
    return tuple(e for e in transaction.actual if not _within(e, transaction.intended))


def _within(effect: Effect, intended: Iterable[Effect]) -> bool:
    """Whether what was intended covers ``effect`` wholly, table by table."""
    fitting = [i for i in intended if i.tenant == effect.tenant and i.mode == effect.mode]
    return all(any(table in i.tables and _covers(i, effect) for i in fitting) for table in effect.tables)


def _covers(intended: Effect, effect: Effect) -> bool:
    return intended.keys is None or (effect.keys is not None and set(effect.keys) <= set(intended.keys))


WHOLESALE = ("truncate", "drop")
"""Modes that empty tables for everybody at once, after waiting for whoever writes there."""


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """The transaction that hit a tenant: its COMMIT as sent, and its outcome once there is one."""

    sent: Sent
    done: Done | None = None

    def came_to(self, done: Done) -> Hit:
        """Return this hit with its outcome."""
        return Hit(sent=self.sent, done=done)


class Disputed(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that seemed to go with a partition, and what transactions without an answer yet removed."""

    missing: frozenset[RowName]
    removing: Mapping[str, frozenset[RowName]]

    def settled_by(self, committed: Callable[[str], bool]) -> bool:
        """Whether all were removed by those of these transactions that ``committed``."""
        gone = (rows for name, rows in self.removing.items() if committed(name))
        return self.missing <= frozenset().union(*gone)


class Damage:
    """First damage of each tenant, and rightful deletions, of one script. See ``Present``, ``Removing``."""

    def __init__(self, present: Present, removing: Removing) -> None:
        self._present = present
        self._removing = removing
        self._gone: set[tuple[str, str]] = set()
        self._gone_rows: set[tuple[str, str, RowName]] = set()
        self._truncates: dict[str, Sent] = {}
        self._detaches: dict[str, Sent] = {}
        self._disputed: dict[tuple[str, str], Disputed] = {}
        self._given: list[tuple[str, Sent]] = []
        self._hits: dict[tuple[str, str], Hit] = {}
        self.deleted: dict[str, Hit] = {}

    @property
    def damaged(self) -> dict[str, Hit]:
        """By tenant the first transaction that damaged it."""
        first: dict[str, Hit] = {}
        for (_, tenant), hit in self._hits.items():
            first.setdefault(tenant, hit)
        return first

    def sent(self, transaction: ScriptTransaction, sent: Sent) -> bool:
        """Note that a COMMIT is being sent; return whether it damages anybody who was not damaged."""
        before = self.damaged
        if any(effect.mode in WHOLESALE for effect in transaction.actual):
            self._truncates[transaction.name] = sent
        if any(effect.mode == "detach" for effect in transaction.actual):
            self._detaches[transaction.name] = sent
        for effect in unintended(transaction):
            if self._lost_with_leaf(effect, sent) or self._touches(effect, sent.changes):
                self._hit(effect, Hit(sent=sent))
                self._given += [(effect.to, sent)] if effect.to is not None else []
        damaged = self.damaged
        for effect in transaction.actual:
            if effect.whole and effect.tenant not in damaged and self._touches(effect, ()):
                self.deleted.setdefault(effect.tenant, Hit(sent=sent))
        return len(damaged) > len(before)

    def _hit(self, effect: Effect, hit: Hit) -> None:
        self._hits.setdefault((hit.sent.name, effect.tenant), hit)

    def done(self, transaction: ScriptTransaction, done: Done) -> None:
        """Note the outcome: a refused transaction did nothing. One that was open may turn out to be."""
        _came_to(self._hits, [hit for hit in self._hits if hit[0] == transaction.name], done)
        mine = [tenant for tenant, hit in self.deleted.items() if hit.sent.name == transaction.name]
        _came_to(self.deleted, mine, done)
        if done.outcome == "refused":
            self._gone = {gone for gone in self._gone if gone[0] != done.name}
            self._gone_rows = {gone for gone in self._gone_rows if gone[0] != done.name}
            self._given = [(to, sent) for to, sent in self._given if sent.name != transaction.name]
        else:
            self._meet_late_rows(transaction, done)
            self._look_again(transaction, done)
            self._forget_rows(transaction)

    def learn(self, committed: Callable[[str], bool]) -> None:
        """Take back what the script seemed to do to rows that transactions which ``committed`` removed.

        They did so before it, and were answered only after it.
        """
        for hit, disputed in self._disputed.items():
            if disputed.settled_by(committed):
                self._hits.pop(hit, None)

    def given(self, tenant: str) -> list[Sent]:
        """Return the transactions that gave the tenant rows of others by mistake."""
        found = {sent.name: sent for to, sent in self._given if to == tenant}
        return list(found.values())

    def _meet_late_rows(self, transaction: ScriptTransaction, done: Done) -> None:
        """Note whom a TRUNCATE or DROP hit through rows that were committed, but not yet known, when sent.

        It waited for their writers, and none could add a row until it ended.
        """
        sent = self._truncates.get(transaction.name)
        if sent is None:
            return
        for effect in unintended(transaction):
            if effect.mode in WHOLESALE and self._touches(effect, ()):
                self._hit(effect, Hit(sent=sent, done=done))

    def _look_again(self, transaction: ScriptTransaction, done: Done) -> None:
        """Note whose rows went with a partition, by what is known now of those who wrote there before.

        When it was sent, a deletion of theirs may have been committed of which nobody had heard yet.
        """
        sent = self._detaches.get(transaction.name)
        if sent is None:
            return
        for effect in unintended(transaction):
            of, missing = (sent.name, effect.tenant), self._lost_with_leaf(effect, sent)
            if missing:
                self._hit(effect, Hit(sent=sent, done=done))
                self._disputed[of] = Disputed(missing=missing, removing=self._removing(effect.tenant))
            elif effect.mode == "detach":
                self._hits.pop(of, None)

    def _forget_rows(self, transaction: ScriptTransaction) -> None:
        by = transaction.name
        for effect in transaction.actual:
            if effect.whole:
                self._gone.add((by, effect.tenant))
            elif effect.mode == "permanent":
                self._gone_rows |= {(by, effect.tenant, row) for row in _named(effect)}

    def _lost_with_leaf(self, effect: Effect, sent: Sent) -> frozenset[RowName]:
        """Return the rows of the tenant that a partition took along: known ones that were not left."""
        if effect.mode != "detach" or sent.sight is None:
            return frozenset()
        left = sent.sight.left.get(effect.tenant, {})
        known = self._present(effect)
        return frozenset((table, key) for table, key in known if key not in left.get(table, ()))

    def _touches(self, effect: Effect, changes: Iterable[Change]) -> bool:
        """Whether the effect meets a row: for a mark, one whose new image was seen."""
        if any(effect.tenant == tenant for _, tenant in self._gone):
            return False
        gone = {row for _, tenant, row in self._gone_rows if tenant == effect.tenant}
        there = set(self._present(effect)) - gone
        meant = there if effect.keys is None else _named(effect)
        if effect.mode == "detach":
            return False
        if effect.mode == "mark":
            return any(table_and_key(change.key) in meant for change in changes)
        return not meant.isdisjoint(there)


Of = TypeVar("Of")


def _came_to(hits: dict[Of, Hit], mine: Iterable[Of], done: Done) -> None:
    for of in mine:
        if done.outcome == "refused":
            del hits[of]
        else:
            hits[of] = hits[of].came_to(done)


def _named(effect: Effect) -> set[RowName]:
    return {(table, key) for table in effect.tables for key in effect.keys or ()}
