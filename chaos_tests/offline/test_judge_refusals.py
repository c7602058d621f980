"""Which refusals are a restore's doing: by the instant, by whose they are, by what else explains them."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from chaos_tests.offline.judge_world import World, a_schema, begin
from chaos_tests.offline.told import damaged, ended
from harness.judge.case import Case, open_case
from harness.judge.checks import refusals
from harness.judge.timeline import NEVER
from harness.model import history as h
from harness.model.faults import Kill
from harness.model.operations import Transaction


def restored_once() -> tuple[World, float, float]:
    """A drill in which a alone is restored, and when that began and was done."""
    world = damaged(begin())
    world.restore("a")
    began = next(e for e in world.entries if isinstance(e, h.RestoreBegan))
    done = next(e for e in world.entries if isinstance(e, h.RestoreDone))
    return world, began.at_s, done.at_s


def failed(begun_s: float | None, at_s: float, **fields: Any) -> h.Done:
    """n, a transaction of the neighbour b, failed."""
    given: dict[str, Any] = {"name": "n", "tenant": "b", "outcome": "refused", **fields}
    return h.Done(at_s=at_s, begun_s=begun_s, actor="writer", **given)


def opened(world: World) -> Case:
    """All that the check looks at."""
    return open_case(ended(world).plan(), a_schema(), world.entries, world.files)


def named(case: Case) -> list[str | None]:
    """Whose refusals are told."""
    return [finding.operation for finding in refusals.CHECK.run(case)]


@pytest.mark.parametrize(
    ("begun", "at", "told"),
    [
        (("began", -1.0), ("began", -0.001), False),
        (("began", -1.0), ("began", 0.0), True),
        (("done", 0.0), ("done", 1.0), True),
        (("done", 0.001), ("done", 1.0), False),
        (None, ("done", 0.0), True),
        (None, ("done", 0.001), False),
    ],
)
def test_what_ran_at_any_instant_of_a_restore_may_be_its_doing(
    begun: tuple[str, float] | None, at: tuple[str, float], told: bool
) -> None:
    """From its beginning to its end, both included; without a beginning its end counts."""
    world, began_s, done_s = restored_once()
    bound_s = {"began": began_s, "done": done_s}
    begun_s = None if begun is None else bound_s[begun[0]] + begun[1]
    world.add(failed(begun_s, bound_s[at[0]] + at[1]))
    assert named(opened(world)) == ["n"] * told


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, True),
        ({"outcome": "unknown"}, True),
        ({"outcome": "acked"}, False),
        ({"tenant": "a"}, False),
        ({"tenant": "q"}, False),
        ({"tenant": None}, False),
        ({"conflicted": True}, True),
    ],
)
def test_only_what_went_wrong_for_a_neighbour_is_told(fields: dict[str, Any], told: bool) -> None:
    """Those who were damaged are stopped; a transaction that was not to be serializable has no excuse."""
    world, began_s, done_s = restored_once()
    world.add(failed(began_s, done_s, **fields))
    assert named(opened(world)) == ["n"] * told


def test_a_tenant_that_was_given_rows_is_no_neighbour() -> None:
    """A restore takes them back."""
    world, began_s, done_s = restored_once()
    world.add(failed(began_s, done_s))
    case = opened(world)
    for gifts, told in ((("a", "b"), []), (("b", "a"), ["n"])):
        assert named(structs.replace(case, gifts=frozenset({gifts}))) == told


@pytest.mark.parametrize(
    ("destroyed", "told"), [("begun", False), ("between", False), ("ended", True), ("never", True)]
)
def test_what_went_down_with_its_cluster_is_explained(destroyed: str, told: bool) -> None:
    """It had begun by then, and was not over."""
    world, began_s, done_s = restored_once()
    world.add(failed(began_s, done_s))
    at_s = {"begun": began_s, "between": (began_s + done_s) / 2, "ended": done_s, "never": NEVER}[destroyed]
    case = opened(world)
    timeline = structs.replace(case.timeline, destroyed_s=at_s)
    assert named(structs.replace(case, timeline=timeline)) == ["n"] * told


@pytest.mark.parametrize(
    ("struck_s", "healed_s", "told"),
    [(-1.0, 0.0, False), (-1.0, -0.001, True), (1.0, 2.0, False), (1.001, 2.0, True)],
)
def test_what_met_a_fault_is_explained(struck_s: float, healed_s: float, told: bool) -> None:
    """Each instant counts from the beginning of the transaction, which takes a second."""
    world, began_s, _ = restored_once()
    world.faults = (Kill(service="primary", phase="script", after_s=0.0, down_s=0.1),)
    world.add(
        h.FaultBegan(at_s=began_s + struck_s, fault=0, proof="gone", bit=True),
        h.FaultHealed(at_s=began_s + healed_s, fault=0, proof="back"),
        failed(began_s, began_s + 1.0),
    )
    assert named(opened(world)) == ["n"] * told


@pytest.mark.parametrize(
    ("begun_s", "ended_s", "serializable", "told"),
    [
        (-1.0, 0.0, True, False),
        (-1.0, -0.001, True, True),
        (1.0, 2.0, True, False),
        (1.001, 2.0, True, True),
        (-1.0, 2.0, False, True),
    ],
)
def test_a_conflict_is_explained_by_another_serializable_one_of_its_time(
    begun_s: float, ended_s: float, serializable: bool, told: bool
) -> None:
    """That of the other runs from its beginning to its end; n, which conflicted, takes a second."""
    world, began_s, _ = restored_once()
    world.tenants["b"]["writer"] += [
        Transaction(name="n", operations=(), serializable=True),
        Transaction(name="other", operations=(), serializable=serializable),
    ]
    other = failed(began_s + begun_s, began_s + ended_s, name="other", outcome="acked")
    world.add(other, failed(began_s, began_s + 1.0, conflicted=True))
    assert named(opened(world)) == ["n"] * told


def test_a_rollback_that_was_planned_is_no_refusal() -> None:
    """Nor does it explain another one."""
    world, began_s, done_s = restored_once()
    world.tenants["b"]["writer"].append(Transaction(name="n", operations=(), commit=False))
    world.add(failed(began_s, done_s), failed(began_s, done_s, name="m"))
    assert named(opened(world)) == ["m"]
