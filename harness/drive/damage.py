"""Who is damaged and who was rightly deleted, by which transaction: what restores must know of a script.

Membership is by effect. What counts is what a transaction, once its COMMIT was sent, can have done: planned
effects that touched a row which was there. The judge derives the same from the history alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from harness.drive.bindings import RowName
from harness.model.history import Change, Done, Sent
from harness.model.plan import Effect, ScriptTransaction
from harness.model.values import table_and_key

Present = Callable[[Effect], Iterable[RowName]]
"""Rows (table and key) of the effect's tenant that are there, as far as the harness knows."""


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


class Damage:
    """First damage of each tenant, and rightful deletions, of one script. ``present``: see ``Present``."""

    def __init__(self, present: Present) -> None:
        self._present = present
        self._gone: set[tuple[str, str]] = set()
        self._gone_rows: set[tuple[str, str, RowName]] = set()
        self._truncates: dict[str, Sent] = {}
        self._detaches: dict[str, Sent] = {}
        self._given: list[tuple[str, Sent]] = []
        self.damaged: dict[str, Hit] = {}
        self.deleted: dict[str, Hit] = {}

    def sent(self, transaction: ScriptTransaction, sent: Sent) -> bool:
        """Note that a COMMIT is being sent; return whether it damages anybody."""
        before = len(self.damaged)
        if any(effect.mode in WHOLESALE for effect in transaction.actual):
            self._truncates[transaction.name] = sent
        if any(effect.mode == "detach" for effect in transaction.actual):
            self._detaches[transaction.name] = sent
        for effect in unintended(transaction):
            if self._lost_leaf(effect, sent) or self._touches(effect, sent.changes):
                self.damaged.setdefault(effect.tenant, Hit(sent=sent))
                self._given += [(effect.to, sent)] if effect.to is not None else []
        for effect in transaction.actual:
            if effect.whole and effect.tenant not in self.damaged and self._touches(effect, ()):
                self.deleted.setdefault(effect.tenant, Hit(sent=sent))
        return len(self.damaged) > before

    def done(self, transaction: ScriptTransaction, done: Done) -> None:
        """Note the outcome: a refused transaction did nothing. One that was open may turn out to be."""
        for hits in (self.damaged, self.deleted):
            mine = [tenant for tenant, hit in hits.items() if hit.sent.name == transaction.name]
            for tenant in mine:
                if done.outcome == "refused":
                    del hits[tenant]
                else:
                    hits[tenant] = hits[tenant].came_to(done)
        if done.outcome == "refused":
            self._gone = {gone for gone in self._gone if gone[0] != done.name}
            self._gone_rows = {gone for gone in self._gone_rows if gone[0] != done.name}
            self._given = [(to, sent) for to, sent in self._given if sent.name != transaction.name]
        else:
            self._meet_late_rows(transaction, done)
            self._look_again(transaction, done)
            self._forget_rows(transaction)

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
                self.damaged.setdefault(effect.tenant, Hit(sent=sent, done=done))

    def _look_again(self, transaction: ScriptTransaction, done: Done) -> None:
        """Note whose rows went with a partition, by what is known now of those who wrote there before.

        When it was sent, a deletion of theirs may have been committed of which nobody had heard yet.
        """
        sent = self._detaches.get(transaction.name)
        if sent is None:
            return
        for effect in unintended(transaction):
            hit = self.damaged.get(effect.tenant)
            if self._lost_leaf(effect, sent):
                self.damaged.setdefault(effect.tenant, Hit(sent=sent, done=done))
            elif hit is not None and hit.sent is sent:
                del self.damaged[effect.tenant]

    def _forget_rows(self, transaction: ScriptTransaction) -> None:
        by = transaction.name
        for effect in transaction.actual:
            if effect.whole:
                self._gone.add((by, effect.tenant))
            elif effect.mode == "permanent":
                self._gone_rows |= {(by, effect.tenant, row) for row in _named(effect)}

    def _lost_leaf(self, effect: Effect, sent: Sent) -> bool:
        """Whether a partition that is gone took rows of the tenant along: known ones that were not left."""
        if effect.mode != "detach" or sent.sight is None:
            return False
        left = sent.sight.left.get(effect.tenant, {})
        return any(key not in left.get(table, ()) for table, key in self._present(effect))

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


def _named(effect: Effect) -> set[RowName]:
    return {(table, key) for table in effect.tables for key in effect.keys or ()}
