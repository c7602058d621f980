"""Shared rows on a fresh cluster, and outside the envelope: how much may be lost, and whose doing it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec import structs

from chaos_tests.offline.judge_world import COUNTRY, World, a_schema, begin, findings, finish, insert
from chaos_tests.offline.told import damaged, ended, restored
from harness.judge import judge
from harness.model import history as h
from harness.model.envelope import Envelope
from harness.model.folder import SHARED_FILE
from harness.model.verdict import Finding

NOBODY = Envelope(survivors=("archive",))
"""An envelope that no drill with all survivors lies in."""


def told(world: World, envelope: Envelope | None = None) -> list[Finding]:
    """What the check on shared rows found."""
    plan = structs.replace(world.plan(), envelope=envelope or Envelope())
    verdict = judge(plan, a_schema(), world.entries, world.files)
    return [structs.replace(f, blame=None) for f in findings(verdict) if f.check == "shared rows"]


@pytest.mark.parametrize(("age_s", "lost"), [(2.99, False), (3.0, False), (3.01, True)])
def test_what_a_fresh_cluster_lacks_may_be_as_old_as_the_budget(age_s: float, lost: bool) -> None:
    """A shared row that was acked so long before the cluster was destroyed did not come back."""
    world = damaged(begin(survivors="archive"))
    world.at_s = 9.73
    world.write(None, insert(COUNTRY, code="XX", name="late"), actor="shared", name="late")
    world.at_s = round(world.at_s + age_s - 0.01, 6)
    world.destroy()
    del world.unowned[COUNTRY, ("XX",)]
    assert [f.operation for f in told(finish(world))] == ["late"] * lost


def refused(*tenants: str, place: h.Place = "live") -> World:
    """A drill in which these were refused, and which shows no shared row at the end."""
    world = damaged(begin())
    for tenant in tenants:
        world.restore(tenant, result="refused", place=place)
    restored(world, *(tenant for tenant in "abq" if tenant not in tenants))
    world.unowned = {row: image for row, image in world.unowned.items() if row[0] != COUNTRY}
    return ended(world)


UNSURE = Finding(
    check="shared rows",
    point=0,
    verdict="unknown",
    message="shared rows are missing, and nobody was brought back in place, as they are with",
)


@pytest.mark.parametrize(
    ("world", "envelope", "verdicts"),
    [
        (lambda: refused("a", "q"), NOBODY, ["unknown"]),
        (lambda: refused("a", "q"), None, ["broken"]),
        (lambda: refused("a"), NOBODY, ["broken"]),
        (lambda: refused("a", "q", place="scratch"), NOBODY, ["broken"]),
    ],
    ids=["nobody", "inside", "q came back", "nobody asked for it"],
)
def test_shared_rows_come_with_whoever_is_brought_back_in_place(
    world: Callable[[], World], envelope: Envelope | None, verdicts: list[str]
) -> None:
    """Outside the envelope all may be refused rightly, and then nothing brings them."""
    found = told(world(), envelope)
    assert [f.verdict for f in found] == verdicts
    assert verdicts == ["broken"] or found == [UNSURE]


def test_what_is_missing_for_want_of_a_restore_was_lost_with_the_cluster_too() -> None:
    """One doubt about whose doing it is, and the loss beside it: a later row shows that it was written."""
    world = damaged(begin(survivors="archive"))
    world.write(None, insert(COUNTRY, code="XX", name="late"), actor="shared", name="late")
    world.destroy()
    for tenant in "abq":
        world.restore(tenant, result="refused", place="live")
    del world.unowned[COUNTRY, ("AT",)]
    lost = told(ended(world), Envelope(survivors=("all",)))
    assert [(f.verdict, f.operation) for f in lost] == [("unknown", None), ("broken", "shared.0")]


def test_rows_that_nobody_read_are_a_doubt() -> None:
    """Nothing is known of them."""
    world = ended(restored(damaged(begin())))
    world.files = {file: rows for file, rows in world.files.items() if file != SHARED_FILE}
    assert told(world) == [
        structs.replace(UNSURE, message="shared and infrastructure rows were not read at the end")
    ]
