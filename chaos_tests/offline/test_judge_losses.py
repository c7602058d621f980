"""Loss, exposure and budget by small numbers: what lies exactly at a bound, and on which side."""

from __future__ import annotations

import pytest
from msgspec import structs

from chaos_tests.offline.judge_world import BUDGET_S, World, a_schema, begin
from chaos_tests.offline.told import damaged, ended, restored
from harness.judge.budget import over_budget, verdict_over
from harness.judge.case import Case, open_case
from harness.judge.incidents import Incident
from harness.judge.losses import Loss, Needs, exposure_of, loss_of
from harness.judge.states import Step, solve
from harness.judge.timeline import NEVER, Timeline, Transaction, index
from harness.model import history as h
from harness.model.history import Outcome
from harness.model.position import Position
from harness.model.values import image_of, row_key

ROW = row_key("t", ("1",))
EPOCHS = {1: 1, 2: 2, 3: 0}
"""By cluster; the archive never knew the third."""


def need(epoch: int, lsn: int, *keys: str) -> h.Need:
    """What a restore up to there needs besides all that earlier ones do."""
    return h.Need(epoch=epoch, lsn=lsn, objects=tuple((key, "v1") for key in keys))


def listed(at_s: float, key: str, version: str = "v1") -> h.ObjectSeen:
    """The harness's listing saw an object."""
    return h.ObjectSeen(at_s=at_s, key=key, version=version)


def a_timeline(*entries: h.Entry) -> Timeline:
    """Three clusters, of which the archive knows two, and these entries."""
    seen = [
        h.ClusterSeen(at_s=0.0, cluster=cluster, system_id="s", timeline=1, epoch=epoch)
        for cluster, epoch in EPOCHS.items()
    ]
    return index([*seen, *entries])


def the_archive() -> Timeline:
    """Needs, told in no order after an older word; the last object was never seen in its version."""
    return a_timeline(
        h.NeedsNamed(at_s=0.5, needs=(need(1, 99, "nothing"),)),
        listed(0.5, "two", "another version"),
        listed(0.75, "one"),
        listed(2.0, "three"),
        listed(3.0, "two"),
        listed(8.0, "one"),
        h.NeedsNamed(
            at_s=9.0,
            needs=(
                need(2, 9, "four"),
                need(2, 5, "three"),
                need(1, 20, "two", "one"),
                need(1, 10, "one"),
                need(1, 5),
            ),
        ),
    )


@pytest.mark.parametrize(
    ("at_s", "epoch", "lsn"),
    [(0.74, 1, 5), (0.75, 1, 10), (2.9, 1, 10), (3.0, 2, 5), (99.0, 2, 5)],
)
def test_what_is_durable_ends_before_the_first_object_that_is_not_there(
    at_s: float, epoch: int, lsn: int
) -> None:
    """An object counts from when it was seen first, in its version, and not before all earlier ones."""
    assert Needs(the_archive()).durable_until(at_s) == Position(epoch=epoch, lsn=lsn)


@pytest.mark.parametrize(
    ("epoch", "lsn", "readable_s"),
    [
        (1, 5, 0.0),
        (1, 6, 0.75),
        (1, 10, 0.75),
        (1, 11, 3.0),
        (1, 20, 3.0),
        (1, 21, 3.0),
        (2, 1, 3.0),
        (2, 5, 3.0),
        (2, 6, NEVER),
        (2, 10, NEVER),
        (3, 1, NEVER),
        (0, 1, NEVER),
    ],
)
def test_a_position_is_readable_with_the_first_need_that_reaches_it(
    epoch: int, lsn: int, readable_s: float
) -> None:
    """What lies past all of its epoch comes with the next one; of epoch 0 nothing is ever known."""
    assert Needs(the_archive()).of_epoch(epoch)(lsn) == readable_s


def test_before_anything_is_named_nothing_is_durable() -> None:
    """Nor can an exposure be told."""
    needs = Needs(a_timeline())
    assert (needs.named, needs.durable_until(9.0)) == (False, Position(epoch=0, lsn=0))
    assert exposure_of([a_step(20)], an_incident(9.0), needs, a_timeline()) is None


def a_step(
    lsn_upper: int | None,
    *,
    lsn_lower: int = 0,
    cluster: int = 1,
    ended_s: float = 2.0,
    outcome: Outcome = "acked",
    name: str = "w",
) -> Step:
    """A step that lies there."""
    tx = Transaction(
        name=name,
        actor="writer",
        tenant="a",
        cluster=cluster,
        xid=1,
        begun_s=0.0,
        sent_s=1.0,
        ended_s=ended_s,
        outcome=outcome,
        lsn_lower=lsn_lower,
        lsn_upper=lsn_upper,
    )
    return Step(tx=tx, writes={ROW: image_of({"v": name})})


def an_incident(at_s: float) -> Incident:
    """One at that time."""
    return Incident(at_s=at_s, why="because")


@pytest.mark.parametrize(
    ("step", "at_s", "exposed"),
    [
        (a_step(10), 2.5, False),
        (a_step(11), 2.5, True),
        (a_step(20), 3.5, False),
        (a_step(21), 3.5, False),
        (a_step(5, cluster=2), 3.5, False),
        (a_step(6, cluster=2), 3.5, True),
        (a_step(1, cluster=2), 2.5, True),
        (a_step(1, cluster=3), 3.5, True),
        (a_step(None, lsn_lower=9), 2.5, False),
        (a_step(None, lsn_lower=10), 2.5, True),
        (a_step(11, outcome="unknown"), 2.5, False),
        (a_step(11, ended_s=2.5), 2.5, False),
    ],
)
def test_what_lies_past_the_durable_is_exposed(step: Step, at_s: float, exposed: bool) -> None:
    """Of a COMMIT without an answer the least place counts; an ack at the incident is not before it."""
    expected = Loss(seconds=at_s - 2.0, step=step) if exposed else Loss(seconds=0.0, step=None)
    assert exposure_of([step], an_incident(at_s), Needs(the_archive()), the_archive()) == expected


def test_the_earliest_ack_sets_the_loss() -> None:
    """Not the first COMMIT, nor what was acked at the incident or later."""
    steps = [a_step(1, ended_s=4.0, name="x"), a_step(2, ended_s=3.0, name="y"), a_step(3, ended_s=5.0)]
    lost = loss_of(solve(steps, {}), an_incident(5.0))
    assert lost == Loss(seconds=2.0, step=steps[1])
    assert loss_of(solve(steps, {}), an_incident(3.0)) == Loss()


def the_case(*, late_s: float = 0.0) -> Case:
    """A drill on a machine that stood still for so long."""
    world: World = ended(restored(damaged(begin())))
    world.add(h.Stalled(at_s=1.0, late_s=late_s))
    plan = structs.replace(world.plan(), promise_s=60.0)
    return open_case(plan, a_schema(), world.entries, world.files)


@pytest.mark.parametrize(
    ("late_s", "seconds", "verdict"),
    [
        (1.0, 60.0, "broken"),
        (1.001, 60.0, "unknown"),
        (1.001, 60.001, "broken"),
        (0.0, 4.0, "broken"),
    ],
)
def test_a_stall_excuses_what_is_not_over_the_promise(late_s: float, seconds: float, verdict: str) -> None:
    """Over a second of it, up to the very promise."""
    assert verdict_over(the_case(late_s=late_s), seconds) == verdict


def test_exactly_the_budget_is_within_it() -> None:
    """A moment more is over it; without a step that was lost nothing is."""
    case = the_case()
    for loss, over in (
        (Loss(seconds=BUDGET_S, step=a_step(1)), 0),
        (Loss(seconds=BUDGET_S + 1e-6, step=a_step(1)), 1),
        (Loss(seconds=BUDGET_S + 1e-6), 0),
    ):
        assert len(list(over_budget(case, "loss", case.restores[0], loss))) == over
