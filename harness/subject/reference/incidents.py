"""Incidents: which transactions of an archive took most of a tenant's rows, and where to cut before them.

Found from the archive alone: every segment is read once, in commit order, and of each row only its key is
kept, and its parent's. An incident is one transaction that took more than half of the rows that some tenant
had before it, by DELETE, by moving them (or what they hang below) to another tenant, by TRUNCATE or DROP. A
script that takes a tenant apart in many small transactions is found at the one that took most of what was
still there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from datetime import UTC, datetime

import msgspec

from harness.model.errors import BadInput
from harness.model.history import Cut
from harness.model.position import Position, Xid
from harness.model.schema import Schema
from harness.model.values import RawRow
from harness.subject.reference.format import SHARED, Global, Part, Rehome, RowChange, old_row
from harness.subject.reference.homes import Row, Tree
from harness.subject.reference.manifest import Link
from harness.subject.reference.ports import KeyStore, ObjectStore
from harness.subject.reference.replay import read_all_parts


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """What one tenant lost: ``rows`` of the ``had`` rows it had before."""

    tenant: str
    rows: int
    had: int


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """One transaction. ``number`` counts from 1 in commit order, and stays what it is as the archive grows.

    ``xid`` is EPOCH:XID, ``position`` EPOCH:LSN, ``at`` when it was committed on the database's clock, if
    the feed said so. ``losses``: every tenant that lost most of its rows; ``tables``: rows by table.
    """

    number: int
    xid: str
    position: str
    at: str | None
    losses: tuple[Loss, ...]
    tables: dict[str, int]
    rows: int
    cut: Cut


async def find_incidents(
    store: ObjectStore, keys: KeyStore, schema: Schema, links: Sequence[Link]
) -> list[Incident]:
    """Read the whole archive and return its incidents in commit order; raises ArchiveBroken."""
    finder = _Finder(schema)
    found: list[Incident] = []
    async for transaction in _transactions(store, keys, links):
        losses = finder.follow(transaction)
        if losses:
            found.append(_incident(len(found) + 1, transaction, losses))
    return found


def numbered(found: Sequence[Incident], number: int) -> Incident:
    """Return incident ``number``; raises BadInput with those there are."""
    if not 1 <= number <= len(found):
        raise BadInput(
            f"the archive has no incident {number}",
            cure=f"it has {len(found)}: `restoreproof archive incidents` lists them",
        )
    return found[number - 1]


class _Transaction:
    """All that the archive has of one transaction."""

    def __init__(self, position: Position, xid: int) -> None:
        self.position, self.xid = position, xid
        self.committed_ms: int | None = None
        self.parts: list[tuple[str, Part]] = []
        self.globals: list[Global] = []

    def rehomed(self) -> list[Rehome]:
        """Return which parents went, with all below them, from one tenant to another."""
        return [home for tenant, part in self.parts for home in part.rehomed if home.origin == tenant]

    def steps(self) -> list[tuple[int, str, RowChange | Global]]:
        """Return its changes with their tenants, in order; what concerns everybody has none."""
        changes = [(c.order, tenant, c) for tenant, part in self.parts for c in part.changes]
        return sorted([*((g.order, "", g) for g in self.globals), *changes], key=lambda step: step[0])


async def _transactions(
    store: ObjectStore, keys: KeyStore, links: Sequence[Link]
) -> AsyncIterator[_Transaction]:
    """Yield the archive's transactions in commit order: an entry never ends within one."""
    for link in links:
        found: dict[tuple[Position, int], _Transaction] = {}
        for one in link.entry.globals:
            at = (one.position, one.xid)
            found.setdefault(at, _Transaction(*at)).globals.append(one)
        async for tenant, part in read_all_parts(store, keys, [link]):
            at = (part.position, part.xid)
            whole = found.setdefault(at, _Transaction(*at))
            whole.parts.append((tenant, part))
            whole.committed_ms = part.committed_ms
        for at in sorted(found):
            yield found[at]


class _Finder:
    """Follows which rows each tenant has."""

    def __init__(self, schema: Schema) -> None:
        self._keys = {table.name: table.key for table in schema.owned}
        self._rows: dict[str, set[Row]] = {}
        self._tree = Tree(schema)

    def follow(self, transaction: _Transaction) -> dict[str, tuple[int, set[Row]]]:
        """Apply a transaction; return, by tenant that lost most, how many rows it had and what is gone."""
        had: dict[str, int] = {}
        gone: dict[str, set[Row]] = {}
        for _, tenant, step in transaction.steps():
            for whose, row in list(self._removed(tenant, step)):
                had.setdefault(whose, len(self._rows[whose]))
                self._rows[whose].discard(row)
                self._tree.forget(row)
                gone.setdefault(whose, set()).add(row)
            if isinstance(step, RowChange) and step.table in self._keys and tenant != SHARED:
                self._add(tenant, step, gone.get(tenant, set()))
        for home in transaction.rehomed():
            for row in self._moved_along(home):
                had.setdefault(home.origin, len(self._rows[home.origin]))
                self._rows[home.origin].discard(row)
                gone.setdefault(home.origin, set()).add(row)
                self._rows.setdefault(home.to, set()).add(row)
        if any(one.kind == "snapshot" for one in transaction.globals):
            return {}
        return {t: (had[t], rows) for t, rows in gone.items() if 2 * len(rows) > had[t]}

    def _removed(self, tenant: str, step: RowChange | Global) -> Iterator[tuple[str, Row]]:
        """Yield the rows that a step takes away, with their tenants."""
        if isinstance(step, Global):
            if step.kind in ("alter", "schema"):
                return
            everything = step.kind == "snapshot"
            for whose, rows in self._rows.items():
                yield from ((whose, row) for row in rows if everything or row[0] == step.table)
            return
        row = self._row(step.table, old_row(step))
        if row is not None and row in self._rows.get(tenant, ()):
            yield tenant, row

    def _moved_along(self, home: Rehome) -> list[Row]:
        """Return the rows that went with a parent, and were its old tenant's."""
        place = (home.table, tuple(home.parent), tuple(cell or "" for cell in home.parent.values()))
        mine = self._rows.get(home.origin, set())
        return [row for row in self._tree.below(place) if row in mine]

    def _add(self, tenant: str, change: RowChange, gone: set[Row]) -> None:
        row, old = self._row(change.table, change.after), self._row(change.table, old_row(change))
        if row is not None and change.after is not None:
            self._rows.setdefault(tenant, set()).add(row)
            self._tree.put(row, change.after)
            gone -= {row, old} if old is not None else {row}  # an update takes nothing away

    def _row(self, table: str, row: RawRow | None) -> Row | None:
        key = self._keys.get(table)
        return None if row is None or key is None else (table, tuple(row[column] for column in key))


def _incident(number: int, transaction: _Transaction, losses: dict[str, tuple[int, set[Row]]]) -> Incident:
    at = transaction.position
    tables = [row[0] for _, rows in losses.values() for row in rows]
    times = (transaction.committed_ms, *(one.committed_ms for one in transaction.globals))
    return Incident(
        number=number,
        xid=str(Xid(epoch=at.epoch, xid=transaction.xid)),
        position=str(at),
        at=next((clock(ms) for ms in times if ms is not None), None),
        losses=tuple(
            Loss(tenant=tenant, rows=len(rows), had=had) for tenant, (had, rows) in sorted(losses.items())
        ),
        tables={table: tables.count(table) for table in sorted(set(tables))},
        rows=len(tables),
        cut=Cut(epoch=at.epoch, xid=transaction.xid, lsn_lower=at.lsn - 1, lsn_upper=at.lsn),
    )


class NamedCut(msgspec.Struct, frozen=True, kw_only=True):
    """A cut that was found, and in words which it is and what is ambiguous about it."""

    cut: Cut
    words: str


def cut_before_time(at: datetime, parts: Iterable[Part], globals_: Iterable[Global], end: str) -> NamedCut:
    """Choose the cut for one tenant just before the first of its transactions from ``at`` on.

    First in commit order, which is what a restored state follows; the clock may have gone otherwise. A
    TRUNCATE whose time is unknown is left out if it may be from ``at`` on. ``end``: the archive's end.
    """
    at_ms = at.timestamp() * 1000
    found: list[Part | Global] = [*parts, *(g for g in globals_ if g.kind in ("truncate", "drop"))]
    found.sort(key=lambda one: one.position)
    early = [n for n, one in enumerate(found) if one.committed_ms is not None and one.committed_ms < at_ms]
    late = [n for n, one in enumerate(found) if _may_be_late(one, n, early, at_ms)]
    if not late:
        return NamedCut(cut=Cut(), words=f"cut at the archive's end, {end}: nothing of the tenant is later")
    first = found[late[0]]
    cut = Cut(epoch=first.epoch, lsn_lower=first.lsn - 1, lsn_upper=first.lsn - 1)
    return NamedCut(
        cut=cut,
        words=f"cut just before {_named(first)}; last one kept: {_named_last(found[: late[0]])}"
        + "".join(_doubts(first, [found[n] for n in early if n > late[0]])),
    )


def _may_be_late(one: Part | Global, place: int, early: Sequence[int], at_ms: float) -> bool:
    if one.committed_ms is not None:
        return one.committed_ms >= at_ms
    return isinstance(one, Global) and not any(place < n for n in early)


def _doubts(first: Part | Global, earlier: Sequence[Part | Global]) -> Iterator[str]:
    if first.committed_ms is None:
        yield "; ambiguous: when that TRUNCATE or DROP was committed is unknown"
    if earlier:
        yield (
            "; ambiguous: the clock went back, and left out though from before that time:"
            f" {', '.join(map(_named, earlier))}"
        )


def _named_last(kept: Sequence[Part | Global]) -> str:
    return _named(kept[-1]) if kept else "none"


def _named(one: Part | Global) -> str:
    when = "at an unknown time" if one.committed_ms is None else f"of {clock(one.committed_ms)}"
    what = "transaction" if one.xid else "the snapshot"
    return f"{what} {Xid(epoch=one.epoch, xid=one.xid)} at {one.position} {when}"


def clock(ms: int) -> str:
    """Write milliseconds since 1970 as a UTC time."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


def read_time(text: str) -> datetime:
    """Read a time with its offset from UTC; raises BadInput."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise BadInput(f"{text!r} is not a time with its offset", cure="write it like 2026-04-05T07:38:00Z")
    return at
