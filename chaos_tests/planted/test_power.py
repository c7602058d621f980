"""Trials on the simulator: what they catch, that they go on where they were, and the canaries."""

from __future__ import annotations

import subprocess
from collections import Counter
from itertools import islice
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from harness.judge.checks import CHECKS
from harness.model.errors import BadInput, UnknownName
from harness.model.power import Asked, Trial
from harness.model.verdict import DrillVerdict, Finding
from harness.power import draws, measure, trials, work
from harness.simulate.defects import DEFECTS, defect

ROOT = Path(__file__).parents[2]

CANARIES = (
    "drops the last segment",
    "restores a neighbour's row",
    "brings back a deleted row",
    "reports a watermark that runs ahead",
    "leaves segments unlocked",
)
"""Caught by any campaign within a few plans: if one is not, the oracle has gone blind."""

ASKED = Asked(
    host="simulated", schema="helpdesk", profile="hunt", seed=11, trials=1, plans_max=12, clean=0, code="x"
)


@pytest.mark.parametrize("name", CANARIES)
def test_a_canary_is_caught(name: str) -> None:
    """A campaign that knows nothing of the defect finds it, by the check that is expected to name it."""
    trial, plan = trials.try_defect(ASKED, defect(name), 1)
    assert trial.named is not None, f"CANARY MISSED: {name!r} went unseen in {trial.drills} plans"
    assert set(trial.checks) <= set(defect(name).caught_by)
    assert trial.alarms == ()
    assert plan is not None


def test_a_harness_whose_writers_never_wrote_is_never_proven() -> None:
    """It is told as unknown, by the floors, on a plan that is proven otherwise."""
    trial, _ = trials.try_defect(ASKED, defect("writers never wrote"), 1)
    assert (trial.named, trial.checks, trial.alarms) == (1, ("floors",), ())


def broken(*checks: str) -> DrillVerdict:
    """A verdict in which these checks found something."""
    return DrillVerdict(
        verdict="broken", budget_s=3.0, profile="hunt", plan="", script="", survivors="all",
        points_judged=(), points_not_judged=(), tenants=(),
        findings=tuple(Finding(check=check, point=1, verdict="broken", message="") for check in checks),
    )  # fmt: skip


def test_a_chase_tells_what_each_drill_came_to() -> None:
    """One that failed catches nothing, a stranger's finding is no catch, an expected one ends it."""
    plan, other = islice(draws.campaign_of(ASKED, 3, 2, "hunt"), 2)
    said: list[DrillVerdict | None] = [None, broken("loss"), broken("honest", "prefix")]
    drills = iter(said)
    chase = trials.Chase(defect("drops the last segment"), lambda _: next(drills))
    assert [chase.by(plan), chase.by(plan)] == [False, False]
    open_yet = chase.trial(1, 3, 0.5)
    assert (open_yet.drills, open_yet.named, open_yet.named_s, open_yet.failed) == (2, None, None, 1)
    assert chase.by(other)
    caught = chase.trial(1, 3, 0.5)
    assert (caught.first, caught.first_checks, caught.named, caught.checks) == (
        2,
        ("loss",),
        3,
        ("honest",),
    )
    assert (caught.named_s, caught.failed, caught.kind) == (0.5, 1, other.scripts[0].kind)
    assert chase.caught is other


def test_the_program_is_known_by_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that is checked out; where git knows nothing of the source there is none."""
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True, cwd=ROOT
    )
    assert measure.commit().removesuffix("-dirty") == head.stdout.strip()
    monkeypatch.setattr("harness.__file__", str(tmp_path / "__init__.py"))
    assert measure.commit() == ""


def test_results_are_kept_and_not_made_twice(tmp_path: Path) -> None:
    """A second start with the same folder finds all done, and tells the same."""
    options = measure.Options(
        out=tmp_path, defects=("leaves segments unlocked",), trials=1, plans=2, seed=3, processes=1
    )
    console = Console(quiet=True)
    first = measure.measure(options, console)
    assert (first.sharp, first.whole) == (True, True)
    [lines] = tmp_path.glob("trials-*.jsonl")
    before = lines.read_bytes()
    again = measure.measure(options, console)
    assert lines.read_bytes() == before
    assert (again.trials, again.clean, again.small) == (first.trials, first.clean, first.small)
    assert [one.defect for one in again.small] == ["leaves segments unlocked"]
    assert (tmp_path / "report.html").exists()
    with pytest.raises(BadInput, match="other plans"):
        measure.measure(measure.Options(out=tmp_path, seed=4), console)


def test_an_unknown_defect_is_refused_by_name(tmp_path: Path) -> None:
    """With the names that there are."""
    with pytest.raises(UnknownName, match="no such thing"):
        measure.measure(measure.Options(out=tmp_path, defects=("no such thing",)), Console(quiet=True))


def test_only_what_is_left_is_done(tmp_path: Path) -> None:
    """Trials that are kept already are left out of the units."""
    kept = work.Kept(tmp_path, "code")
    kept.add(Trial(defect="a", number=1, seed=1, drills=1))
    asked = msgspec.structs.replace(ASKED, trials=2, clean=31)
    todo = list(work.units(asked, ["a", "b"], kept))
    assert [(unit.number, unit.defects, unit.clean) for unit in todo] == [
        (1, ("b",), 0),
        (2, ("a", "b"), 0),
        (1, (), 30),
        (2, (), 1),
    ]


@pytest.mark.parametrize("planted", DEFECTS, ids=lambda planted: planted.name)
def test_each_defect_says_how_it_is_switched_on_and_what_its_near_miss_is(planted: object) -> None:
    """And where there is no near miss, why."""
    one = defect(getattr(planted, "name", ""))
    assert one.switch
    assert one.near_words not in ("", "none: ", "``")
    assert bool(one.hint) == bool(one.changed)


def test_no_check_is_without_a_defect_that_it_must_name() -> None:
    """Each check of the judge is seen to find what it is there for."""
    assert {check.name for check in CHECKS} <= {name for one in DEFECTS for name in one.caught_by}


def test_no_experiment_is_made_twice() -> None:
    """No two defects are the same parts on the same plans, under two names."""
    tried = Counter((one.switch, one.kind, one.hint, one.profile) for one in DEFECTS)
    assert [experiment for experiment, times in tried.items() if times > 1] == []


def test_the_zoo_has_all_places_and_is_large_enough() -> None:
    """At least 45, in every place where something can be wrong, none of them twice."""
    assert len(DEFECTS) >= 45
    assert len({one.name for one in DEFECTS}) == len(DEFECTS)
    places = {"source", "capture", "broker", "archiver", "store", "restorer", "harness"}
    assert {one.where for one in DEFECTS} == places
