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
    wilson,
)
from harness.report import power as report

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


def test_results_are_read_back_and_a_torn_line_does_not_count() -> None:
    """Whoever is killed while writing loses that line alone."""
    lines = b"".join([encode_entry(CAUGHT), encode_entry(CLEAN), encode_entry(SMALL)])
    assert decode_entries(lines) == [CAUGHT, CLEAN, SMALL]
    assert decode_entries(lines[:-5]) == [CAUGHT, CLEAN]
    assert decode(encode(a_result())) == a_result()
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
    assert "1 defects, 1 trials of at most 30 plans: 1 caught by the expected check" in page
    stored = tmp_path / "power.json"
    stored.write_bytes(encode(a_result()))
    assert report.main([str(stored), str(tmp_path / "power.md")]) == 0
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
    assert (tmp_path / report.PAGE).exists()


def test_what_was_missed_is_told_in_the_terminal_and_on_the_page(tmp_path: Path) -> None:
    """A defect without a catch, alarms, and that not all was done."""
    result = a_result(trials=(MISSED,), clean=(structs.replace(CLEAN, alarms=(ALARM,), failed=1),))
    result = structs.replace(result, small=())
    console = Console(record=True, width=120)
    report.show(console, result, "out")
    told = console.export_text()
    assert "0 of 1" in told
    assert "1 false alarms in 1 plans" in told
    assert "Not everything that was asked for was done" in told
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
    assert report.cells(row)[-2:] == ("3 of 90 operations, 2 tenants", "–")
    assert report.write(tmp_path, structs.replace(result, small=(small,))).exists()
