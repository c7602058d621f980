"""Campaigns hold every kind of case by design: the same seed gives the same plans, strata are covered."""

from __future__ import annotations

from collections import Counter
from itertools import product
from random import Random

import pytest

from harness.generate import campaign
from harness.generate.campaigns import strata
from harness.generate.steps import possible
from harness.generate.strategies import BATCHINGS, SURVIVORS
from harness.model import plan as model_plan
from harness.model.errors import BadInput
from harness.schemas import load, names

SCHEMAS = {name: load(name).schema for name in names()}
SHOP = SCHEMAS["shop"]


def test_a_seed_gives_the_same_campaign_again() -> None:
    """Plans are equal byte for byte for the same seed, and differ for another."""
    first, second = (campaign(SHOP, seed=4, plans=2, tenants=2) for _ in range(2))
    assert [model_plan.encode(p) for p in first] == [model_plan.encode(p) for p in second]
    assert campaign(SHOP, seed=5, plans=1, tenants=2) != first[:1]
    assert first[0] != first[1]


def test_three_plans_have_one_of_each_kind() -> None:
    """All survivors, one loaded before capture starts, one fault, one with tenants damaged twice."""
    plans = campaign(SHOP, seed=9, plans=3, tenants=3)
    assert [plan.survivors for plan in plans] == ["all", "archive", "standby"]
    assert [plan.initial for plan in plans] == ["snapshot", "streamed", "streamed"]
    assert [len(plan.faults) for plan in plans] == [0, 1, 0]
    assert [bool(plan.again) for plan in plans] == [False, False, True]
    assert [len(plan.scripts) for plan in plans] == [1, 1, 2]


@pytest.mark.parametrize("seed", range(20))
def test_twelve_plans_cover_every_value(seed: int) -> None:
    """Every step, means, batching, and both of killed-or-not and survivors, whatever the seed."""
    pins = list(strata(SCHEMAS["helpdesk"], Random(seed), 12, None))
    assert {p.kind for p in pins[:5]} == {
        "wrong_database",
        "mode_flipped",
        "wrong_kind",
        "stale_list",
        "off_by_one",
    }
    assert {p.means for p in pins[:6]} == {"tables", "cascade", "function"}
    assert {p.batching for p in pins[:6]} == set(BATCHINGS)
    assert {p.killed for p in pins[:6]} == {True, False}


@pytest.mark.parametrize("name", names())
def test_pairs_are_covered_in_time(name: str) -> None:
    """Forty plans hold every pair of batching with survivors, and of batching with killed-or-not."""
    pins = list(strata(SCHEMAS[name], Random(3), 40, None))
    assert {(p.batching, p.survivors) for p in pins} == set(product(BATCHINGS, SURVIVORS))
    assert {(p.batching, p.killed) for p in pins} == set(product(BATCHINGS, (True, False)))


@pytest.mark.parametrize("seed", range(20))
def test_kinds_come_in_turn_where_their_traces_are_seen(seed: int) -> None:
    """Thirty plans of a storm show every kind, none more than three times.

    What a script did to a catalogue, or gave to others, a fresh cluster does not show: that is not counted.
    """
    kinds = {step.kind: step for step in possible(SCHEMAS["helpdesk"], storm=True)}
    pins = list(strata(SCHEMAS["helpdesk"], Random(seed), 30, None, storm=True))
    shown = Counter(p.kind for p in pins if p.survivors != "archive" or not kinds[p.kind or ""].in_place)
    assert shown.keys() == kinds.keys()
    assert max(shown.values()) <= 3
    again = [p.kind for p in pins if p.survivors != "archive" and kinds[p.kind or ""].in_place]
    assert set(Counter(again).values()) <= {1, 2}


def test_survivors_meet_faults_and_second_damages() -> None:
    """Nine plans hold each kind of survivors without more, with a fault, and with tenants damaged twice."""
    pins = list(strata(SHOP, Random(4), 9, None))
    assert len({(p.survivors, p.fault != "none", p.again) for p in pins}) == 9


def test_without_a_failover_no_standby_survives() -> None:
    """Where Postgres would lose the connector's slot, no plan loses its primary for good."""
    plans = campaign(SHOP, seed=9, plans=4, tenants=3, failover=False)
    assert [plan.survivors for plan in plans] == ["all", "archive", "archive", "all"]


def test_survivors_asked_for_are_given() -> None:
    """With survivors given all plans have them, and no archiver is killed while there is none."""
    pins = list(strata(SHOP, Random(1), 9, "archive"))
    assert {p.survivors for p in pins} == {"archive"}
    assert {p.fault for p in pins} == {"none", "write"}


def test_a_single_drill_has_no_fault() -> None:
    """A campaign of one is a plain drill, loaded before the connector's first start."""
    (plan,) = campaign(SHOP, seed=2, plans=1, tenants=2)
    assert (plan.initial, plan.faults, plan.again) == ("snapshot", (), ())


@pytest.mark.parametrize(("plans", "seed"), [(0, 1), (1, -1)])
def test_impossible_numbers_are_refused(plans: int, seed: int) -> None:
    """No plans at all, or a negative seed, are refused."""
    with pytest.raises(BadInput, match="can't be drawn"):
        campaign(SHOP, seed=seed, plans=plans)
