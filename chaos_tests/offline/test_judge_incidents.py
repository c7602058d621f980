"""What can only have committed after what."""

from __future__ import annotations

import pytest
from msgspec import structs

from harness.judge.incidents import Incident, certainly_after, steps_behind
from harness.judge.states import Step
from harness.judge.timeline import Timeline, Transaction, index
from harness.model.history import ClusterSeen, Cut, Outcome


def tx(
    *,
    begun_s: float = 0.0,
    ended_s: float = 1.0,
    cluster: int = 1,
    lsn_lower: int = 0,
    lsn_upper: int | None = None,
    outcome: Outcome = "acked",
) -> Transaction:
    """A transaction with times and positions."""
    return Transaction(
        order=0,
        name="x",
        actor="writer",
        tenant="a",
        cluster=cluster,
        xid=0,
        begun_s=begun_s,
        sent_s=begun_s,
        ended_s=ended_s,
        outcome=outcome,
        lsn_lower=lsn_lower,
        lsn_upper=lsn_upper,
    )


def test_what_began_after_the_other_ended_came_after_it() -> None:
    """In the very instant of its end is not after."""
    assert certainly_after(tx(begun_s=1.1), tx(ended_s=1.0))
    assert not certainly_after(tx(begun_s=1.0), tx(ended_s=1.0))


def test_what_lies_beyond_the_others_upper_bound_came_after_it() -> None:
    """Positions order transactions that overlap in time."""
    assert certainly_after(tx(lsn_lower=20), tx(lsn_upper=20))
    assert not certainly_after(tx(lsn_lower=19), tx(lsn_upper=20))
    assert not certainly_after(tx(lsn_lower=20), tx())


def test_nothing_is_certainly_after_what_may_never_have_happened() -> None:
    """The outcome of the hit is open."""
    assert not certainly_after(tx(begun_s=9.0), tx(outcome="unknown"))


def test_a_later_cluster_comes_after_an_earlier_one() -> None:
    """Positions of two clusters do not compare; the clusters do."""
    assert certainly_after(tx(cluster=2), tx(lsn_upper=99))
    assert not certainly_after(tx(cluster=1, lsn_lower=99), tx(cluster=2, lsn_upper=9))


def two_clusters() -> Timeline:
    """Clusters 1 and 2, which are epochs 1 and 2; of cluster 3 the archive never heard."""
    return index(
        [
            ClusterSeen(at_s=float(n), cluster=n, system_id="s1", timeline=n, epoch=n if n < 3 else 0)
            for n in (1, 2, 3)
        ],
        (),
    )


@pytest.mark.parametrize(
    ("cut", "cluster", "lsn_lower", "behind"),
    [
        (Cut(epoch=1, xid=7, lsn_lower=10, lsn_upper=20), 1, 20, True),
        (Cut(epoch=1, xid=7, lsn_lower=10, lsn_upper=20), 1, 19, False),
        (Cut(epoch=1, xid=7, lsn_lower=10), 1, 99, False),  # nobody knows where that COMMIT lies
        (Cut(epoch=1, xid=7, lsn_lower=10), 2, 1, True),
        (Cut(epoch=2, xid=7, lsn_lower=10, lsn_upper=20), 1, 99, False),
        (Cut(epoch=1, xid=7, lsn_lower=10, lsn_upper=20), 3, 99, False),
        (Cut(xid=7, lsn_lower=10, lsn_upper=20), 2, 99, False),
        (Cut(), 2, 99, False),
    ],
)
def test_behind_a_cut_is_what_can_only_have_committed_after_it(
    cut: Cut, cluster: int, lsn_lower: int, behind: bool
) -> None:
    """By its position, or on a later cluster; what is not known of either is never behind."""
    step = Step(tx=tx(cluster=cluster, lsn_lower=lsn_lower), writes={})
    other = Incident(at_s=9.0, why="")
    assert steps_behind([step], cut, other, two_clusters()) == ([step] if behind else [])
    own = structs.replace(other, tx=structs.replace(tx(), xid=7))
    assert steps_behind([step], cut, own, two_clusters()) == []


def test_a_step_that_is_not_the_applications_is_never_behind_a_cut() -> None:
    """What a restore in place had made is where its tenant began anew."""
    step = Step(tx=tx(cluster=2), writes={}, role="restore")
    asked = Cut(epoch=1, xid=7, lsn_lower=10, lsn_upper=20)
    assert steps_behind([step], asked, Incident(at_s=9.0, why=""), two_clusters()) == []
