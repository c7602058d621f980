"""What can only have committed after what."""

from __future__ import annotations

from harness.judge.incidents import certainly_after
from harness.judge.timeline import Transaction
from harness.model.history import Outcome


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
