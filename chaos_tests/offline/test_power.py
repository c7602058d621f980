"""Detection power as values, and how it is told: shares, intervals, and what must not pass for good."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs
from rich.console import Console

from harness.model.errors import BadInput
from harness.model.power import (
    Alarm,
    Asked,
    Clean,
    Machine,
    Planted,
    Power,
    Small,
    Trial,
    decode,
    decode_entries,
    encode,
    encode_entry,
    encode_short,
    wilson,
)
from harness.report import power as report
from harness.report import power_rows

ALARM = Alarm(plan=3, seed=9, checks=("loss",), words="lost it")
CAUGHT = Trial(
    defect="forgets", number=1, seed=5, drills=4, first=2, first_checks=("loss",), named=4,
    checks=("honest",), named_s=0.25, kind="moved", survivors="all", near_drills=4,
)  # fmt: skip
MISSED = Trial(defect="forgets", number=2, seed=6, drills=30, near_drills=5)
CLEAN = Clean(number=1, seed=3, drills=2, wall_ms=(10.0, 30.0), cpu_ms=(5.0, 7.0))
SMALL = Small(
    defect="forgets", number=1, operations_before=90, operations=3, tenants=1, faults=2, attacks=1
)


def a_result(*, trials: tuple[Trial, ...] = (CAUGHT,), clean: tuple[Clean, ...] = (CLEAN,)) -> Power:
    """One defect, tried as often as there are trials."""
    return Power(
        made_at="2026-11-26 03:00:00 UTC",
        asked=Asked(
            host="simulated", schema="shop", profile="hunt", seed=1, trials=len(trials), plans_max=30,
            clean=2, code="abc",
        ),
        machine=Machine(system="Linux", processor="some", cores=2, load=1.5, versions={"python": "3"}),
        wall_s=60.0,
        planted=(
            Planted(
                name="forgets", failure_mode="FM-1", where="restorer", words="it forgets | much",
                switch="restorer=Forgets", caught_by=("honest",), near_miss="none: so", hint="moved",
            ),
        ),
        trials=trials,
        clean=clean,
        small=(SMALL,),
    )  # fmt: skip


def with_near_miss(power: Power, words: str) -> Power:
    """The same, its defects' near miss in these words."""
    return structs.replace(
        power, planted=tuple(structs.replace(one, near_miss=words) for one in power.planted)
    )


def test_the_interval_is_wilsons() -> None:
    """Figures of the paper's formula: 20 of 20, none of 2,000, one half, and nothing known of nothing."""
    assert wilson(20, 20) == pytest.approx((0.8389, 1.0), abs=1e-4)
    assert wilson(0, 2000) == pytest.approx((0.0, 0.00192), abs=1e-5)
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


def test_a_defect_that_every_trial_caught_makes_it_sharp() -> None:
    """All was done, all was caught, and nobody was accused wrongly."""
    result = a_result()
    [row] = result.rows()
    assert (row.caught, row.trials, row.any_check, row.at_first) == (1, 1, 1, 0)
    assert (row.plans, row.plans_most, row.seconds, row.named_by) == (4, 4, 0.25, (("honest", 1),))
    assert row.small == SMALL
    assert (result.sharp, result.whole) == (True, True)
    assert result.drill_ms == (20.0, 6.0)
    assert (result.clean_drills, result.clean_alarms) == (2, 0)


@pytest.mark.parametrize(
    "result",
    [
        a_result(trials=(CAUGHT, MISSED)),
        a_result(trials=(structs.replace(CAUGHT, alarms=(ALARM,)),)),
        a_result(clean=(structs.replace(CLEAN, alarms=(ALARM,)),)),
    ],
)
def test_a_miss_or_a_false_alarm_is_not_sharp(result: Power) -> None:
    """One defect missed once, a near miss or a plan without a defect found broken: each is enough."""
    assert not result.sharp


def test_what_was_not_done_or_could_not_be_run_is_not_whole() -> None:
    """A trial too few, plans too few, drills that failed."""
    assert not structs.replace(a_result(), trials=()).whole
    assert not structs.replace(a_result(), clean=()).whole
    assert not a_result(clean=(structs.replace(CLEAN, failed=1),)).whole
    assert not a_result(trials=(structs.replace(CAUGHT, near_failed=1),)).whole
    assert a_result(trials=(structs.replace(CAUGHT, failed=1),)).whole


@pytest.mark.parametrize(
    ("words", "near", "whole"), [("`x=Y`", 4, True), ("`x=Y`", 0, False), ("none: so", 0, True)]
)
def test_a_near_miss_that_nobody_met_leaves_it_open(words: str, near: int, whole: bool) -> None:
    """Where there is one it has to be tried; where there is none nothing is missing."""
    result = with_near_miss(a_result(trials=(structs.replace(CAUGHT, near_drills=near),)), words)
    assert result.whole is whole
    assert result.near_untried == (() if whole else ("forgets",))
    assert ("1 near miss was not tried" in " ".join(report.summary(result))) is not whole
    assert (
        power_rows.cells(result.rows()[0])[-1]
        == {4: "0 alarms in 4", 0: "–" if whole else "not tried"}[near]
    )


def test_a_defect_counts_as_caught_only_when_all_its_trials_were_made() -> None:
    """Those missed, tried less often, or not at all are told apart."""
    names = ("always", "missed", "seldom", "never")
    planted = tuple(structs.replace(a_result().planted[0], name=name) for name in names)
    made = {"always": (CAUGHT, CAUGHT), "missed": (CAUGHT, MISSED), "seldom": (CAUGHT,), "never": ()}
    trials = tuple(structs.replace(one, defect=name) for name in names for one in made[name])
    result = structs.replace(a_result(trials=trials), planted=planted)
    result = structs.replace(result, asked=structs.replace(result.asked, trials=2))
    caught, _, others = power_rows.tried(result).partition("; ")
    assert caught == "1 of 4 defects caught in 2 of 2 trials"
    assert others == "1 missed at least once; 1 tried less often; 1 not tried yet."
    assert [row.always for row in result.rows()] == [True, False, False, False]
    assert power_rows.cells(result.rows()[-1])[3:5] == ("not tried", "–")
    console = Console(record=True, width=120)
    report.show(console, result, "out")
    assert "not tried" in console.export_text()


def test_drills_that_came_to_no_end_are_told_by_kind() -> None:
    """With a defect, with a near miss, without either; where all came to their end nothing is said."""
    trial = structs.replace(CAUGHT, failed=2, near_failed=1)
    result = a_result(trials=(trial,), clean=(structs.replace(CLEAN, failed=1),))
    words = "4 drills did not run to the end: 2 with a defect, 1 with a near miss, 1 without a defect."
    assert words in report.summary(result)
    assert list(power_rows.failed(a_result())) == []


def test_false_alarms_of_both_kinds_are_told_with_their_seed() -> None:
    """Of plans without a defect, and of near misses: no bound is given where drills share their plans."""
    alarmed = structs.replace(CAUGHT, alarms=(ALARM,))
    told = report.summary(a_result(trials=(alarmed,), clean=(structs.replace(CLEAN, alarms=(ALARM,)),)))
    assert "False alarm: plan of seed 9, without a defect, batch 1: loss (lost it)" in told
    assert "False alarm: plan of seed 9, near miss of forgets, trial 1: loss (lost it)" in told
    shared = "they share plans with each other, so no bound is given"
    assert f"Near misses: 1 false alarm in 4 drills ({shared})." in told


@pytest.mark.parametrize(
    ("count", "word", "told"),
    [
        (1, "drill", "1 drill"),
        (0, "drill", "0 drills"),
        (1, "near miss", "1 near miss"),
        (2, "near miss", "2 near misses"),
    ],
)
def test_one_is_told_in_the_singular(count: int, word: str, told: str) -> None:
    """And none, or several, in the plural."""
    assert power_rows.counted(count, word) == told


def test_the_program_is_named_by_its_commit_where_that_is_known() -> None:
    """A digest of files says nothing to a reader who has git alone."""
    result = a_result()
    known = structs.replace(result, asked=structs.replace(result.asked, commit="fd7699b"))
    assert "; digest of the source `abc`." in report.page(result)
    assert "; commit `fd7699b`, digest of the source `abc`." in report.page(known)


def test_results_are_read_back_and_a_torn_line_does_not_count() -> None:
    """Whoever is killed while writing loses that line alone."""
    lines = b"".join([encode_entry(CAUGHT), encode_entry(CLEAN), encode_entry(SMALL)])
    assert decode_entries(lines) == [CAUGHT, CLEAN, SMALL]
    assert decode_entries(lines[:-5]) == [CAUGHT, CLEAN]
    assert decode(encode(a_result())) == decode(encode_short(a_result())) == a_result()
    before = encode(a_result()).replace(b'"commit": ""', b'"unknown": ""')
    assert decode(before) == a_result()
    with pytest.raises(BadInput, match="there"):
        decode(b"{}", source="there")


def test_the_page_tells_each_defect_and_the_sums(tmp_path: Path) -> None:
    """Names, shares, plans, the smallest plan, and a bar in words does not break the table."""
    page = report.page(a_result())
    assert (
        "| forgets (hint: moved) | FM-1 | restorer | 1 of 1 | 0.21–1.00 | 4 | 4 | 0.25 | honest 1 |" in page
    )
    assert "it forgets \\| much" in page
    assert "3 of 90 operations, 2 faults, 1 attack, 1 tenant" in page
    assert "1 of 1 defect caught in 1 of 1 trial. 1 trial of at most 30 plans: 1 caught by the" in page
    assert page.count("its number in [failure-modes.md](failure-modes.md)") == 1
    stored = tmp_path / "power.json"
    stored.write_bytes(encode(a_result()))
    assert report.main([str(stored)], tmp_path) == 0
    assert (tmp_path / "power.md").read_text() == page
    assert decode((tmp_path / "power/simulated.json").read_bytes()) == a_result()
    assert report.main([], tmp_path) == 0
    assert (tmp_path / "power.md").read_text() == page


def test_the_page_says_when_the_machine_was_shared() -> None:
    """Seconds by the clock of a machine on which others were at work say little."""
    result = a_result()
    busy = structs.replace(result, machine=structs.replace(result.machine, load=7.0))
    words = "Others were at work on the machine"
    assert (words in report.page(busy), words in report.page(result)) == (True, False)


def test_the_page_goes_to_its_place_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The repository's own page is the default."""
    (tmp_path / "docs").mkdir()
    stored = tmp_path / "power.json"
    stored.write_bytes(encode(a_result()))
    monkeypatch.chdir(tmp_path)
    assert report.main([str(stored)]) == 0
    assert (tmp_path / "docs/power.md").exists()


def test_what_was_missed_is_told_in_the_terminal_and_on_the_page(tmp_path: Path) -> None:
    """A defect without a catch, alarms, and that not all was done."""
    result = a_result(trials=(MISSED,), clean=(structs.replace(CLEAN, alarms=(ALARM,), failed=1),))
    result = structs.replace(result, small=())
    console = Console(record=True, width=120)
    report.show(console, result, "out")
    told = console.export_text()
    assert "0 of 1" in told
    assert "1 false alarm in 1 plan" in told
    assert "False alarm: plan of seed 9" in told
    assert "Not everything that was asked for (1 trial of each defect, its near miss, 2 drills" in told
    html = report.write(tmp_path, result).read_text()
    assert "Detection power, so far" in html
    assert "lost it" in html


def test_a_result_without_clean_plans_is_told_too(tmp_path: Path) -> None:
    """Nothing is said of times that nobody took, or of near misses that nobody met."""
    planted = structs.replace(a_result().planted[0], hint="")
    result = structs.replace(a_result(), clean=(), planted=(planted,))
    result = structs.replace(result, trials=(structs.replace(CAUGHT, near_drills=0),))
    console = Console(record=True, width=120)
    report.show(console, result, "out")
    assert "median" not in console.export_text()
    small = structs.replace(SMALL, tenants=2, faults=0, attacks=0)
    [row] = structs.replace(result, small=(small,)).rows()
    assert power_rows.cells(row)[-2:] == ("3 of 90 operations, 2 tenants", "–")
    assert report.write(tmp_path, structs.replace(result, small=(small,))).exists()
