"""A natural key that was taken meanwhile: what a refusal must say, and what must work all the same."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from harness.generate import pinned_plan
from harness.judge import judge
from harness.judge.takings import _unique_cells
from harness.model.history import AnyEntry, ReadBack, RestoreBegan, RestoreDone
from harness.model.values import image_of
from harness.model.verdict import DrillVerdict, Finding
from harness.schemas import load
from harness.simulate.run import Simulated, simulate

HELPDESK = load("helpdesk").schema
PLAN = pinned_plan(HELPDESK, kind="taken", seed=1, profile="simulated", survivors="all")
Bend = Callable[[AnyEntry], AnyEntry | None]


@pytest.fixture(scope="module")
def left() -> Simulated:
    """What the drill left behind, which is run once."""
    return simulate(PLAN, HELPDESK)


def judged(left: Simulated, bend: Bend) -> DrillVerdict:
    """Judge the drill with each entry bent, or left out where it becomes None."""
    history = [new for entry in left.history if (new := bend(entry)) is not None]
    return judge(PLAN, HELPDESK, history, left.restored)


def findings(verdict: DrillVerdict) -> list[Finding]:
    """Return all findings."""
    return verdict.every_finding


def refusal(left: Simulated) -> RestoreDone:
    """Return the answer of the one restore that was refused."""
    (refused,) = [e for e in left.history if isinstance(e, RestoreDone) and e.result == "refused"]
    return refused


def test_a_refusal_that_names_both_rows_and_a_restore_beside_are_proven(left: Simulated) -> None:
    """Somebody else has the key: nothing else can be asked, and the live rows are as they were."""
    assert judged(left, lambda entry: entry).verdict == "proven"
    assert "helpdesk.tenants" in refusal(left).detail


def test_a_refusal_that_does_not_name_the_rows_is_broken(left: Simulated) -> None:
    """An operator could not find out what is in the way."""

    def mumble(entry: AnyEntry) -> AnyEntry:
        if entry == refusal(left):
            return msgspec.structs.replace(refusal(left), detail="something is in the way")
        return entry

    (found,) = findings(judged(left, mumble))
    assert (found.check, found.point, found.verdict) == ("restored", 6, "broken")


def test_who_was_not_restored_beside_has_no_verdict(left: Simulated) -> None:
    """A refusal alone proves nothing of the archive."""
    tenant = refusal(left).tenant
    beside = next(
        e.restore
        for e in left.history
        if isinstance(e, RestoreBegan) and e.tenant == tenant and e.place == "scratch"
    )

    def forget(entry: AnyEntry) -> AnyEntry | None:
        mine = isinstance(entry, RestoreBegan | RestoreDone | ReadBack) and entry.restore == beside
        return None if mine else entry

    (found,) = findings(judged(left, forget))
    assert (found.check, found.verdict, found.tenant) == ("restored", "unknown", tenant)


def test_a_refusal_where_nothing_is_taken_is_broken(left: Simulated) -> None:
    """The neighbour's taking never happened: then the tenant could have come back."""

    def never(entry: AnyEntry) -> AnyEntry | None:
        return None if getattr(entry, "name", "").endswith(".takes.0") else entry

    found = [f for f in findings(judged(left, never)) if f.check == "restored"]
    assert [(f.point, f.verdict) for f in found] == [(1, "broken")]


def test_a_null_is_in_nobodys_way() -> None:
    """NULLs are unique however often they come."""
    table = HELPDESK.table("helpdesk.tenants")
    assert list(_unique_cells(table, image_of({"id": "1", "slug": None}))) == []
    assert list(_unique_cells(table, image_of({"id": "1", "slug": "acme"}))) == [(("slug",), ("acme",))]
