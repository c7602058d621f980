"""Which transactions are in a restored state, found from its rows alone, in nearly linear time.

A state is the effect of a set ``S`` of steps. Two things bind ``S`` together: a step brings with it
every committed step that had *finished before it began*, and every committed step *earlier on a row* that
it wrote. Steps come in the order in which they sent COMMIT; on one row that is also the order in which they
committed, since the row's lock is held from the statement to the commit.

So each row has a *chain* of steps, and what was found of the row says at which places in its chain ``S``
may end there: where the image equals, or, for an absent row, before the first step and at each delete.

- ``_Greatest`` comes down from everything: sets that fit are closed under union (the later end of each
  chain wins), so there is one largest, and it has the least loss. A row at which no step is left that fits
  shows that no set fits at all.
- Then, to say why, ``_Least`` goes up from the evidence: what must be in ``S``. Where a row can't follow,
  it is a *hole*: a step is in that an earlier one, missing here, had to precede. ``_Greatest`` comes down
  once more, to that and no further.

Steps with an open outcome are never demanded by others: it may be that they never happened.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import compress
from operator import is_not
from typing import Literal

import msgspec

from harness.judge.on_demand import OnDemand
from harness.judge.timeline import Transaction
from harness.model.values import Image, RowKey, same

Role = Literal["own", "restore", "intended", "damage"]


class Step(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one transaction did to one tenant: for each row its state afterwards, None when it is gone.

    ``maybe``: rows that it deleted only if it saw them, since their writer ran at the same time.
    ``whole``: it removed the tenant as such, and was meant to.
    """

    tx: Transaction
    writes: Mapping[RowKey, Image | None]
    maybe: frozenset[RowKey] = frozenset()
    role: Role = "own"
    whole: bool = False

    @property
    def required(self) -> bool:
        """Whether steps that depend on this one demand it."""
        return self.tx.acked


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The rows after the first ``steps`` steps of a line, whatever the outcome of each."""

    steps: int
    rows: Mapping[RowKey, Image]


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why a step is in: ``row`` shows it, or step ``by`` demands it; without either, all committed are."""

    by: int = -1
    row: RowKey | None = None


class Hole(msgspec.Struct, frozen=True, kw_only=True):
    """A row whose state lags behind its chain: it shows place ``shown`` (-1: none), ``demanded`` is in."""

    row: RowKey
    shown: int
    demanded: int


class Solution(msgspec.Struct, frozen=True, kw_only=True):
    """What was found out about a state. Steps and places count from 0.

    ``inside``: for each step whether it is in ``S``. ``holes``: rows that lag behind ``S``. ``strange``:
    rows that no step produced. ``chains``: for each row the steps that wrote it, in order. ``reasons``
    are given where there are holes.
    """

    steps: Sequence[Step]
    found: Mapping[RowKey, Image]
    chains: Mapping[RowKey, list[int]]
    inside: Sequence[bool]
    reasons: Mapping[int, Reason]
    holes: tuple[Hole, ...]
    strange: tuple[RowKey, ...]

    @property
    def exact(self) -> bool:
        """Whether what was found is exactly the state after ``S``."""
        return not self.holes and not self.strange

    def last(self, row: RowKey) -> Step | None:
        """Return the last step of ``S`` that wrote ``row``."""
        numbers = self.chains.get(row, [])
        return next((self.steps[n] for n in reversed(numbers) if self.inside[n]), None)

    def expected(self, row: RowKey) -> Image | None:
        """Return the state of ``row`` after ``S``."""
        step = self.last(row)
        return step.writes[row] if step else None

    def witness(self, number: int) -> int:
        """Return the step, itself shown by a row, on whose account step ``number`` is in."""
        reason = self.reasons.get(number)
        while reason is not None and reason.by >= 0:
            number, reason = reason.by, self.reasons.get(reason.by)
        return number

    def lacking(self) -> list[Step]:
        """Return the committed steps that the state lacks, whole or in one of their rows."""
        numbers = {n for n, inside in enumerate(self.inside) if not inside}
        for hole in self.holes:
            chain = self.chains[hole.row]
            numbers.update(n for n in chain[hole.shown + 1 : hole.demanded + 1] if self.inside[n])
        return [self.steps[n] for n in sorted(numbers) if self.steps[n].required]


def solve(
    steps: Sequence[Step],
    found: Mapping[RowKey, Image],
    *,
    forced: bool = False,
    known: State | None = None,
) -> Solution:
    """Find the largest set of ``steps`` whose effects are ``found``, starting from an empty tenant.

    ``steps``: legal ones, in the order of their COMMITs. ``forced``: every committed step is in.
    ``known``: the state after the first of them, if somebody worked it out already.
    """
    inside = _fitting(steps, found, known)
    if inside is None or (forced and _leaves_out_committed(steps, inside)):
        return _explained(steps, found, forced=forced)
    return Solution(
        steps=steps,
        found=found,
        chains=OnDemand(lambda: _chains(steps)),
        inside=inside,
        reasons={},
        holes=(),
        strange=(),
    )


def _fitting(
    steps: Sequence[Step], found: Mapping[RowKey, Image], known: State | None
) -> list[bool] | None:
    """Return the largest set of steps whose effects are exactly ``found``, None when there is none."""
    if known is not None:
        return _fitting_from(steps, found, known.rows)
    after: dict[RowKey, Image | None] = {}
    for step in steps:
        after.update(step.writes)
    gone = [row for row, image in after.items() if image is None]
    for row in gone:
        del after[row]
    if after == found:
        return [True] * len(steps)
    back = [row for row in found if row not in after]
    if not set(gone).issuperset(back):
        return None
    amiss = [row for row, image in after.items() if not same(image, found.get(row))] + back
    return _Greatest(_Problem(steps, found, _SomeChains(steps, amiss)), amiss).run()


def _fitting_from(
    steps: Sequence[Step], found: Mapping[RowKey, Image], after: Mapping[RowKey, Image]
) -> list[bool] | None:
    """Do as ``_fitting`` does, with the rows that are there after all steps."""
    there = list(map(found.get, after))
    others = compress(after, map(is_not, after.values(), there))
    amiss = [row for row in others if not same(after[row], found.get(row))]
    known = len(there) - there.count(None)
    back = [row for row in found if row not in after] if known < len(found) else []
    if not amiss and not back:
        return [True] * len(steps)
    chains = _SomeChains(steps, [*amiss, *back])
    if any(row not in chains for row in back):
        return None
    return _Greatest(_Problem(steps, found, chains), amiss + back).run()


def _leaves_out_committed(steps: Sequence[Step], inside: Sequence[bool]) -> bool:
    return any(step.required for step, there in zip(steps, inside, strict=True) if not there)


def _explained(steps: Sequence[Step], found: Mapping[RowKey, Image], *, forced: bool) -> Solution:
    """Return the set that comes nearest to ``found``, with what doesn't fit and why it should."""
    problem = _Problem(steps, found, _chains(steps))
    problem.look()
    least = _Least(problem)
    least.run(forced=forced)
    unbound = least.holes.keys() | problem.strange.keys()
    rows = [row for row in problem.chains if row not in unbound]
    return Solution(
        steps=steps,
        found=found,
        chains=problem.chains,
        inside=_Greatest(problem, rows, kept=least.inside, unbound=unbound).run() or (),
        reasons=least.reasons,
        holes=tuple(least.holes.values()),
        strange=tuple(problem.strange),
    )


def _chains(steps: Sequence[Step]) -> dict[RowKey, list[int]]:
    """Return for each row the steps that wrote it, in order."""
    chains: dict[RowKey, list[int]] = defaultdict(list)
    for number, step in enumerate(steps):
        for row in step.writes:
            chains[row].append(number)
    return dict(chains)


class _SomeChains(dict[RowKey, list[int]]):
    """The chains of ``rows`` and of what was written with them; all, once another one is asked for."""

    def __init__(self, steps: Sequence[Step], rows: Iterable[RowKey]) -> None:
        self._steps = steps
        asked = set(rows)
        near = asked.union(*(step.writes for step in steps if not asked.isdisjoint(step.writes)))
        for number, step in enumerate(steps):
            if not near.isdisjoint(step.writes):
                for row in near.intersection(step.writes):
                    self.setdefault(row, []).append(number)

    def __missing__(self, row: RowKey) -> list[int]:
        self.update(_chains(self._steps))
        return self[row]


class _Problem:
    """Steps, their chains, and what was found of each row."""

    def __init__(
        self, steps: Sequence[Step], found: Mapping[RowKey, Image], chains: Mapping[RowKey, list[int]]
    ) -> None:
        self.steps, self.found, self.chains = steps, found, chains
        self.shown: dict[RowKey, int | None] = {}
        self.strange: dict[RowKey, None] = {}

    def look(self) -> None:
        """Find the first place that each found row shows; rows that show none are strange."""
        self.shown = {row: self.first_fit(row, -1) for row in self.found}
        self.strange = {row: None for row, place in self.shown.items() if place is None}

    def place(self, row: RowKey, number: int) -> int:
        """Return the place of a step in the chain of a row that it wrote."""
        return bisect_left(self.chains[row], number)

    def fits(self, row: RowKey, place: int) -> bool:
        """Whether what was found of ``row`` is its state at ``place`` of its chain (-1: before all)."""
        image = self.found.get(row)
        if place < 0:
            return image is None
        step = self.steps[self.chains[row][place]]
        if same(step.writes[row], image):
            return True
        return row in step.maybe and self.fits(row, place - 1)

    def first_fit(self, row: RowKey, above: int) -> int | None:
        """Return the first place after ``above`` that fits what was found of ``row``."""
        places = range(above + 1, len(self.chains.get(row, ())))
        return next((place for place in places if self.fits(row, place)), None)


class _Least:
    """What must be in: goes up from the evidence to the least closed set, noting holes on the way."""

    def __init__(self, problem: _Problem) -> None:
        self.problem = problem
        self.inside = [False] * len(problem.steps)
        self.reasons: dict[int, Reason] = {}
        self.holes: dict[RowKey, Hole] = {}
        self._ended = sorted(
            (n for n, step in enumerate(problem.steps) if step.required),
            key=lambda n: problem.steps[n].tx.ended_s,
            reverse=True,
        )
        self._reached: dict[RowKey, int] = {}
        self._last: dict[RowKey, int] = {}
        self._todo: list[int] = []
        self._dirty: dict[RowKey, None] = {}

    def run(self, *, forced: bool) -> None:
        """Add what the rows show (and all committed steps when ``forced``), then what follows from it."""
        if forced:
            for number, step in enumerate(self.problem.steps):
                if step.required:
                    self._add(number, Reason())
        for row, place in self.problem.shown.items():
            if place is not None:
                self._add(self.problem.chains[row][place], Reason(row=row))
        self._close()
        while self._dirty:
            row = self._dirty.popitem()[0]
            self._follow(row)
            self._close()

    def _add(self, number: int, reason: Reason) -> None:
        if not self.inside[number]:
            self.inside[number] = True
            self.reasons[number] = reason
            self._todo.append(number)

    def _close(self) -> None:
        while self._todo:
            number = self._todo.pop()
            self._demand_finished(number)
            for row in self.problem.steps[number].writes:
                self._demand_earlier(row, number)

    def _demand_finished(self, number: int) -> None:
        begun_s = self.problem.steps[number].tx.begun_s
        while self._ended and self.problem.steps[self._ended[-1]].tx.ended_s < begun_s:
            self._add(self._ended.pop(), Reason(by=number))

    def _demand_earlier(self, row: RowKey, number: int) -> None:
        chain, place = self.problem.chains[row], self.problem.place(row, number)
        for earlier in chain[self._reached.get(row, 0) : place]:
            if self.problem.steps[earlier].required:
                self._add(earlier, Reason(by=number))
        self._reached[row] = max(self._reached.get(row, 0), place)
        self._last[row] = max(self._last.get(row, -1), place)
        self._dirty[row] = None

    def _follow(self, row: RowKey) -> None:
        """Let a row that lags behind follow to its next place that fits; without one it is a hole."""
        last = self._last[row]
        if row in self.problem.strange or self.problem.fits(row, last):
            return
        place = self.problem.first_fit(row, last)
        if place is None:
            shown = max(p for p in range(-1, last) if p < 0 or self.problem.fits(row, p))
            self.holes[row] = Hole(row=row, shown=shown, demanded=last)
        else:
            self._add(self.problem.chains[row][place], Reason(row=row))


class _Greatest:
    """What may be in: comes down from all steps to the largest set that fits every row that binds.

    ``rows``: those that may not fit as they are. ``kept``: steps that are in whatever the rows say.
    ``unbound``: rows that need not fit.
    """

    def __init__(
        self,
        problem: _Problem,
        rows: Iterable[RowKey],
        *,
        kept: Sequence[bool] = (),
        unbound: Collection[RowKey] = (),
    ) -> None:
        self.problem, self.kept, self.unbound = problem, kept, unbound
        self.inside = [True] * len(problem.steps)
        self._begun: list[int] | None = None
        self._last: dict[RowKey, int] = {}
        self._cut: dict[RowKey, int] = {}
        self._todo: list[int] = []
        self._dirty = list(rows)

    def run(self) -> list[bool] | None:
        """Take out, row by row, the steps beyond the last place that fits, and what depends on them.

        None when a row that is there is left without any place that fits.
        """
        while self._dirty:
            row = self._dirty.pop()
            if self._lower(row) < 0 and row in self.problem.found:
                return None
            while self._todo:
                self._take_dependents(self._todo.pop())
        return self.inside

    def _lower(self, row: RowKey) -> int:
        chain = self.problem.chains[row]
        place = self._last.get(row, len(chain) - 1)
        while place >= 0 and not (self.inside[chain[place]] and self.problem.fits(row, place)):
            self._take(chain[place])
            place -= 1
        self._last[row] = place
        return place

    def _take(self, number: int) -> None:
        if self.inside[number] and not (self.kept and self.kept[number]):
            self.inside[number] = False
            self._todo.append(number)

    def _take_dependents(self, number: int) -> None:
        step = self.problem.steps[number]
        self._dirty.extend(row for row in step.writes if row not in self.unbound)
        if step.required:
            for row in step.writes:
                self._take_later(row, self.problem.place(row, number) + 1)
            self._take_begun_after(step.tx.ended_s)

    def _take_begun_after(self, ended_s: float) -> None:
        steps = self.problem.steps
        if self._begun is None:
            self._begun = sorted(range(len(steps)), key=lambda n: steps[n].tx.begun_s)
        while self._begun and steps[self._begun[-1]].tx.begun_s > ended_s:
            self._take(self._begun.pop())

    def _take_later(self, row: RowKey, place: int) -> None:
        chain = self.problem.chains[row]
        cut = self._cut.get(row, len(chain))
        for later in chain[place:cut]:
            self._take(later)
        self._cut[row] = min(cut, place)


def fold(steps: Iterable[Step]) -> dict[RowKey, Image]:
    """Return the rows after all these steps, in order; rows that may be gone count as gone."""
    rows: dict[RowKey, Image] = {}
    for step in steps:
        for row, image in step.writes.items():
            if image is None:
                rows.pop(row, None)
            else:
                rows[row] = image
    return rows
