"""Whole drills in the simulator: they repeat themselves, cover both survivors, and fill a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path

import pytest

from fixtures.handmade import QUIET, TENANTS, shop_plan
from harness import schemas
from harness.judge import check_run, judge
from harness.model.faults import Kill
from harness.model.history import Destroyed, Done, RestoreDone, Settled, WatermarkSeen
from harness.model.plan import Survivors
from harness.simulate import drill, simulate, simulate_into, simulate_series
from harness.simulate.feed import Connector, events_of
from harness.simulate.gaps import PassesOver
from harness.simulate.server import Committed
from harness.simulate.world import Parts

SHOP = schemas.load("shop").schema


def test_the_same_plan_takes_the_same_course() -> None:
    """Two runs of one plan leave the very same history, object versions and rows."""
    plan = shop_plan(survivors="archive", destroy_after_s=0.5)
    first, second = simulate(plan, SHOP), simulate(plan, SHOP)
    assert first.history == second.history
    assert first.restored == second.restored


def test_another_seed_takes_another_course() -> None:
    """How long things take is drawn from the plan's seed."""
    acks = {
        seed: [e.at_s for e in simulate(shop_plan(seed=seed), SHOP).history if isinstance(e, Done)]
        for seed in (1, 2)
    }
    assert acks[1] != acks[2]


def test_a_run_folder_is_judged_like_the_drill_in_memory(tmp_path: Path) -> None:
    """What is written to a folder says the same as what was kept in memory."""
    plan = shop_plan(again=(TENANTS[1],))
    simulate_into(tmp_path, plan, SHOP)
    judged, kept = check_run(tmp_path), drill(plan, SHOP)
    assert (judged.verdict, judged.tenants) == (kept.verdict, kept.tenants)
    assert judged.verdict == "proven"


@pytest.mark.parametrize("survivors", ["all", "archive"])
def test_every_tenant_is_restored(survivors: Survivors) -> None:
    """Damaged or not, quiet or not, each tenant of the plan has its restore."""
    plan = shop_plan(survivors=survivors, destroy_after_s=0.3)
    history = simulate(plan, SHOP).history
    done = {e.tenant: e.result for e in history if isinstance(e, RestoreDone)}
    assert done == dict.fromkeys((*TENANTS, QUIET), "restored")
    assert sum(isinstance(e, Destroyed) for e in history) == (survivors == "archive")


@pytest.mark.parametrize("after_s", [0.1 * n for n in range(20, 32)])
def test_a_killed_archiver_changes_no_verdict(after_s: float) -> None:
    """Whenever in a flush interval the archiver is killed, every tenant is proven."""
    fault = Kill(service="archiver", phase="write", after_s=after_s, down_s=0.4)
    assert drill(shop_plan(faults=(fault,)), SHOP).verdict == "proven"


def test_an_archiver_killed_during_restores_changes_no_verdict() -> None:
    """Restores go on while the archiver is down, and what they put back is archived afterwards."""
    fault = Kill(service="archiver", phase="restore", after_s=0.01, down_s=1.0)
    assert drill(shop_plan(faults=(fault,)), SHOP).verdict == "proven"


def test_destruction_at_the_very_commit_leaves_its_outcome_open() -> None:
    """With everything destroyed as COMMIT is sent nobody knows what became of it, and all is proven."""
    plan = shop_plan(survivors="archive", destroy_after_s=0.0)
    history = simulate(plan, SHOP).history
    outcomes = {e.name: e.outcome for e in history if isinstance(e, Done) and e.actor == "script"}
    assert outcomes["first.0"] == "unknown"
    assert not [e for e in history if isinstance(e, Settled) and e.name == "first.0"]
    assert drill(plan, SHOP).verdict == "proven"


def test_drills_follow_each_other_in_one_world() -> None:
    """As on a warm stack: rows of the drill before are removed, a snapshot begins a new cluster."""
    plans = [
        shop_plan(),
        shop_plan(survivors="archive", destroy_after_s=0.2),
        shop_plan(initial="snapshot"),
        shop_plan(again=(TENANTS[0],)),
    ]
    for plan, left in zip(plans, simulate_series(plans, SHOP), strict=True):
        assert judge(plan, SHOP, left.history, left.restored).verdict == "proven"


class TornSnapshot(Connector):
    """Begins its snapshot, is interrupted in the middle, and begins anew."""

    def snapshot(self) -> None:
        """Emit half a snapshot, then a whole one."""
        rows = self.rows()
        self.begin_snapshot(rows[: len(rows) // 2])
        super().snapshot()


class Repeating(Connector):
    """Is restarted all the time: sends a part of a transaction, and then all since the last batch again."""

    _before: Sequence[Committed] = ()

    def publish(self, transactions: Sequence[Committed]) -> None:
        """Emit more than was asked for."""
        *whole, torn = transactions
        super().publish([*self._before, *whole])
        part = list(events_of(torn, count(len(self.topic.events))))[:-2]
        self.topic.publish(part)
        super().publish([*self._before, *transactions])
        self._before = transactions


@pytest.mark.parametrize("connector", [TornSnapshot, Repeating])
@pytest.mark.parametrize("survivors", ["all", "archive"])
def test_a_connector_that_misbehaves_changes_no_verdict(
    survivors: Survivors, connector: type[Connector]
) -> None:
    """A snapshot killed midway is void as a whole; pieces and duplicates fold away."""
    plan = shop_plan(survivors=survivors, destroy_after_s=0.3, initial="snapshot")
    assert drill(plan, SHOP, Parts(connector=connector)).verdict == "proven"


def test_the_watermark_never_goes_back() -> None:
    """Positions in commit order only grow, over the destruction of a cluster too."""
    plan = shop_plan(survivors="archive", destroy_after_s=0.5, initial="snapshot")
    seen = [(e.epoch, e.lsn) for e in simulate(plan, SHOP).history if isinstance(e, WatermarkSeen)]
    assert seen == sorted(seen)
    assert {epoch for epoch, _ in seen} == {1, 2}


def test_a_capture_that_passes_over_commits_stops_the_archiver() -> None:
    """As after a slot was advanced: the next heartbeat shows it, and nothing is archived from then on."""
    plan = shop_plan()
    left = simulate(plan, SHOP, Parts(connector=PassesOver))
    assert judge(plan, SHOP, left.history, left.restored).verdict == "broken"
    assert {e.state for e in left.history if isinstance(e, WatermarkSeen)} >= {"stopped"}
