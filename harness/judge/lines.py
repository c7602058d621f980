"""Each tenant's line: what befell its rows, step by step, in the order of the COMMITs.

A line is cut into *stretches*. The first begins with nothing; each restore in place begins a new one from
the rows that were read back; the loss of the cluster begins one with nothing, which is never restored
itself.
"""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter

import msgspec

from harness.judge.scripts import Book, Forecast, ScriptReader
from harness.judge.states import State, Step
from harness.judge.timeline import NEVER, Restore, Timeline, Transaction, in_order
from harness.model.history import ClusterSeen
from harness.model.plan import Plan, ScriptTransaction
from harness.model.schema import Schema
from harness.model.values import Image, RowKey

ReadRows = Callable[[int, str, Mapping[RowKey, Image]], Mapping[RowKey, Image] | None]
"""Gives the rows read back after a restore of a tenant, if they were; with what its rows may be."""


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """Steps from one beginning on: ``base`` is the restore in place it began with, if any.

    ``fresh``: it began with the loss of the cluster, so nothing of it can be in the archive's past.
    ``known``: the state when the first script came that changed the tenant, or at the end.
    """

    base: Restore | None = None
    fresh: bool = False
    steps: list[Step]
    known: list[State]

    def known_of(self, steps: Sequence[Step]) -> State | None:
        """Return the state after ``steps``, some of its own in order, if it is known."""
        last = len(steps) - 1
        for state in self.known:
            if 0 < state.steps == len(steps) and steps[last] is self.steps[last]:
                return state
        return None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """All stretches of one tenant, and the forecasts for each script transaction that touched it.

    ``scripted``: the steps of scripts among all, in order.
    """

    tenant: str
    stretches: list[Stretch]
    forecasts: list[Forecast]
    scripted: list[Step]

    def before(self, restore: Restore) -> Stretch:
        """Return the stretch that ``restore`` has to bring back."""
        return next(
            s
            for s in reversed(self.stretches)
            if not s.fresh and (s.base is None or s.base.began_s < restore.began_s)
        )

    @property
    def live(self) -> Stretch:
        """The stretch whose rows are the tenant's live ones at the end."""
        return self.stretches[-1]

    @property
    def rows(self) -> Mapping[RowKey, Image]:
        """Rows as they are known to have been at some time: probably those that come back."""
        return next((state.rows for stretch in self.stretches for state in stretch.known), {})

    @property
    def live_rows(self) -> Mapping[RowKey, Image]:
        """Rows as they probably are at the end."""
        return next((state.rows for state in self.live.known), {})

    @property
    def damage(self) -> Iterator[Step]:
        """All steps that damaged the tenant, in order."""
        return (step for step in self.scripted if step.role == "damage")


def draw(plan: Plan, schema: Schema, timeline: Timeline, found: ReadRows) -> Iterator[Line]:
    """Yield the line of every tenant of the census."""
    scripts = {tx.name: tx for script in plan.scripts for tx in script.transactions}
    scripted = _scripted(timeline, scripts)
    reader = ScriptReader(schema, scripts)
    restores: dict[str, list[Restore]] = defaultdict(list)
    for restore in timeline.restores:
        if restore.in_place:
            restores[restore.asked.tenant].append(restore)
    wiped = _wiped(timeline)
    for tenant in (t.tenant for t in plan.tenants):
        touching = _touching(timeline, tenant, scripted.get(tenant, ()))
        events = _events(touching, restores.get(tenant, ()), wiped)
        yield _Pen(tenant, reader).draw(events, found)


def _scripted(timeline: Timeline, scripts: Mapping[str, ScriptTransaction]) -> dict[str, list[Transaction]]:
    """Return, by tenant, the transactions of scripts that touched it or looked at it."""
    scripted: dict[str, list[Transaction]] = defaultdict(list)
    for tx in timeline.of_scripts:
        for tenant in _touched_by(tx, scripts) if tx.outcome != "refused" else ():
            scripted[tenant].append(tx)
    return scripted


def _touching(timeline: Timeline, tenant: str, scripted: Iterable[Transaction]) -> list[Transaction]:
    """Return a tenant's transactions: its own, and those of scripts."""
    mine = timeline.by_tenant.get(tenant, ())
    touching = [tx for tx in mine if tx.outcome != "refused" and tx.actor != "script"]
    for tx in scripted:
        insort(touching, tx, key=in_order)
    return touching


def _touched_by(tx: Transaction, scripts: Mapping[str, ScriptTransaction]) -> set[str]:
    seen = set(tx.sight.left) if tx.sight else set()
    return seen | {effect.tenant for effect in scripts[tx.name].actual} if tx.name in scripts else seen


class _Wiped(msgspec.Struct, frozen=True, kw_only=True):
    """The loss of a cluster, after all that was sent to it."""

    cluster: int
    sent_s: float = NEVER


_Event = Transaction | Restore | _Wiped


def _wiped(timeline: Timeline) -> list[_Wiped]:
    """Return the loss of the cluster, if it was lost."""
    if timeline.wiped_s == NEVER:
        return []
    seen = [c.cluster for c in timeline.of(ClusterSeen) if c.at_s <= timeline.wiped_s]
    return [_Wiped(cluster=max(seen, default=1))]


def _events(
    touching: Iterable[Transaction], restores: Iterable[Restore], wiped: Iterable[_Wiped]
) -> list[_Event]:
    """Return, by cluster and time, a tenant's transactions, restores in place, and cluster's loss."""
    ordered = sorted(touching, key=attrgetter("sent_s"))  # by both at once takes twice as long
    ordered.sort(key=attrgetter("cluster"))
    events: list[_Event] = [*ordered]
    others: list[_Event] = [*restores, *wiped]
    for event in others:
        insort(events, event, key=_when)
    return events


def _when(event: _Event) -> tuple[int, float]:
    if isinstance(event, Restore):
        return event.asked.cluster, event.began_s
    return event.cluster, event.sent_s


class _Pen:
    """Draws one tenant's line, keeping a book of the rows that are there."""

    def __init__(self, tenant: str, reader: ScriptReader) -> None:
        self.tenant, self.reader = tenant, reader
        self.line = Line(tenant=tenant, stretches=[], forecasts=[], scripted=[])
        self._begin(Stretch(steps=[], known=[]))

    def draw(self, events: Iterable[_Event], found: ReadRows) -> Line:
        for event in events:
            if isinstance(event, Transaction):
                if event.actor == "script":
                    self._script(event)
                elif event.writes:
                    self.steps.append(Step(tx=event, writes=event.writes))
            elif isinstance(event, Restore):
                self._go_on_from(event, found(event.number, self.tenant, self.line.rows) or {})
            else:
                self._begin(Stretch(fresh=True, steps=[], known=[]))
        self._keep_state()
        return self.line

    def _begin(self, stretch: Stretch) -> None:
        self.steps, self.book = stretch.steps, Book(stretch.steps)
        self.line.stretches.append(stretch)

    def _go_on_from(self, restore: Restore, rows: Mapping[RowKey, Image]) -> None:
        self._begin(Stretch(base=restore, steps=[], known=[]))
        self.steps.append(Step(tx=_as_transaction(restore), writes=rows, role="restore"))

    def _script(self, tx: Transaction) -> None:
        step, forecast = self.reader.read(tx, self.tenant, self.book)
        self.line.forecasts.append(forecast)
        if step.writes:
            self._keep_state()
            self.line.scripted.append(step)
            self.steps.append(step)

    def _keep_state(self) -> None:
        if not self.line.live.known:
            self.line.live.known.append(self.book.state())


def _as_transaction(restore: Restore) -> Transaction:
    """Return the restore in place as the transaction with which a tenant's rows begin anew."""
    return Transaction(
        name=f"restore {restore.number}",
        actor="restore",
        tenant=restore.asked.tenant,
        cluster=restore.asked.cluster,
        xid=0,
        begun_s=restore.began_s,
        sent_s=restore.began_s,
        ended_s=restore.done_s,
        outcome="acked",
    )
