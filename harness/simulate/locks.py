"""Row locks of the simulated database, with waiting and deadlocks, as Postgres has them.

What is locked is an entry of a unique index: (table, columns, cells). That way a child that arrives and a
parent that goes meet at the same item, whichever columns the foreign key names, and so do two rows that
want the same natural key. A statement locks first and looks afterwards.
"""

from __future__ import annotations

import asyncio
from enum import IntEnum
from typing import Protocol

from harness.drive.ports import Conflicted, ConnectionLost

Item = tuple[str, tuple[str, ...], tuple[str, ...]]


class Hold(IntEnum):
    """How an item is held; two holds conflict when their values add up to 2 or more."""

    REFER = 0  # a child refers to it (FOR KEY SHARE)
    CHANGE = 1  # its row is updated, its unique columns are not (FOR NO KEY UPDATE)
    OWN = 2  # it comes, goes, or changes its unique columns (FOR UPDATE)


class Holder(Protocol):
    """A transaction, as far as locks know it. ``patient``: others give way to it in a deadlock."""

    patient: bool


class Locks:
    """Who holds what, and who waits for it, in the order of asking."""

    def __init__(self) -> None:
        self._held: dict[Item, dict[Holder, Hold]] = {}
        self._items: dict[Holder, dict[Item, None]] = {}
        self._waits: dict[Holder, tuple[Item, Hold, asyncio.Future[None]]] = {}

    async def take(self, holder: Holder, item: Item, hold: Hold) -> None:
        """Hold ``item`` until ``release``, waiting for others to let it go.

        Raises Refused when that would wait for ever and this holder is the one to give way.
        """
        while item in self._held and self._blockers(holder, item, hold):
            await self._wait(holder, item, hold)
        holders = self._held.get(item)
        if holders is None:
            holders = self._held[item] = {}
        mine = holders.get(holder)
        holders[holder] = hold if mine is None or hold > mine else mine
        if mine is None:
            self._items.setdefault(holder, {})[item] = None

    def release(self, holder: Holder) -> None:
        """Let go of everything ``holder`` has and wake those who wait."""
        freed = self._items.pop(holder, {})
        for item in freed:
            holders = self._held[item]
            del holders[holder]
            if not holders:
                del self._held[item]
        for item, _, woken in self._waits.values():
            if item in freed and not woken.done():
                woken.set_result(None)

    def break_all(self) -> None:
        """The server is gone: everybody who waits loses the connection."""
        for _, _, woken in self._waits.values():
            if not woken.done():
                woken.set_exception(ConnectionLost("the server went away"))

    def _blockers(self, holder: Holder, item: Item, hold: Hold) -> list[Holder]:
        held = self._held.get(item)
        if held is None:
            return []
        return [other for other, theirs in held.items() if other is not holder and theirs + hold >= 2]

    async def _wait(self, holder: Holder, item: Item, hold: Hold) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waits[holder] = (item, hold, woken)
        try:
            self._resolve_deadlock(holder)
            await woken
        finally:
            del self._waits[holder]

    def _resolve_deadlock(self, holder: Holder) -> None:
        """Refuse the impatient one that has waited longest, if this wait closed a circle."""
        circle = self._circle(holder)
        if not circle:
            return
        in_order = [waiter for waiter in self._waits if waiter in circle]
        victim = next((waiter for waiter in in_order if not waiter.patient), in_order[0])
        woken = self._waits[victim][2]
        if not woken.done():
            woken.set_exception(Conflicted("deadlock detected"))

    def _circle(self, start: Holder) -> list[Holder]:
        """Return those through whom ``start`` waits for itself, itself included; empty if it does not."""
        trail: list[Holder] = []

        def leads_back(holder: Holder) -> bool:
            wait = self._waits.get(holder)
            if wait is None or holder in trail or wait[2].done():
                return False
            trail.append(holder)
            for blocker in self._blockers(holder, wait[0], wait[1]):
                if blocker is start or leads_back(blocker):
                    return True
            trail.pop()
            return False

        return trail if leads_back(start) else []
