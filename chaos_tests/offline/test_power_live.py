"""The zoo on real services, as data: what each defect replaces, its turn, and how it is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs
from rich.console import Console

from chaos_tests.offline.test_power import ALARM, CAUGHT, CLEAN, MISSED, a_result, with_near_miss
from harness.generate.validate import validate
from harness.judge.checks import CHECKS
from harness.model.errors import UnknownName
from harness.model.power import Clean, Entry, Near, Power, encode
from harness.power import work
from harness.power.live import archiver, measure
from harness.power.live.plant import LiveDefect, Plant
from harness.power.live.trials import Site
from harness.power.live.zoo import ZOO, live_defect, planted
from harness.power.measure import choose
from harness.report import power as report
from harness.report import power_live

OPEN = Clean(number=2, seed=4, drills=5, failed=1, opens=(ALARM,))
NEAR = Near(defect="forgets", number=1, drills=1)


def a_live_result(*, near: tuple[Near, ...] = (NEAR,), clean: tuple[Clean, ...] = (CLEAN,)) -> Power:
    """The result of one defect on real services."""
    result = a_result(clean=clean)
    return structs.replace(result, asked=structs.replace(result.asked, host="local"), near=near, small=())


def test_there_are_enough_of_them_and_no_name_is_given_twice() -> None:
    """The zoo has the size that is promised."""
    names = [one.name for one in ZOO]
    assert len(names) == len(set(names)) >= 25


def fields_of(plant: Plant) -> tuple[object, ...]:
    """Return a plant's parts, but for the subject's wrapper, of which nothing can be compared."""
    return plant.restorer, plant.target, plant.archiver, plant.misset, plant.programs


@pytest.mark.parametrize("one", ZOO, ids=lambda one: one.name)
def test_each_replaces_something_and_names_checks_that_there_are(one: LiveDefect) -> None:
    """Neither a defect nor its near miss is the reference, and somebody must name it."""
    plants = [one.plant(), *([one.near_miss()] if one.near_miss else [])]
    for plant, words in zip(plants, (one.switch, one.near_switch), strict=False):
        assert fields_of(plant) != fields_of(Plant()) or words.startswith("subject="), words
    assert set(one.caught_by) <= {check.name for check in CHECKS}
    assert one.near_miss is not None or one.near_switch.startswith("none: ")


def is_bound(one: LiveDefect) -> bool:
    """Whether its plans are."""
    return bool(one.kind or one.survivors or one.changed)


def test_what_plans_are_bound_to_is_told() -> None:
    """A reader knows which defects a campaign that knows nothing was not asked to find."""
    assert [bool(measure.as_told(one).hint) for one in ZOO] == [is_bound(one) for one in ZOO]


@pytest.mark.parametrize("one", [one for one in ZOO if is_bound(one)], ids=lambda one: one.name)
def test_plans_that_are_bound_can_be_run(one: LiveDefect, tmp_path: Path) -> None:
    """Whatever was changed in them."""
    site = Site(structs.replace(a_live_result().asked, plans_max=1, profile="chase"), tmp_path)
    (plan,) = site.plans_for(one, 7)
    validate(plan, site.loaded.schema)
    assert not one.kind or plan.scripts[0].kind == one.kind
    assert not one.survivors or plan.survivors == one.survivors


def test_an_unknown_defect_is_refused() -> None:
    """The error lists the ones that there are."""
    with pytest.raises(UnknownName, match="forgets one child table"):
        live_defect("forgets everything")
    with pytest.raises(UnknownName, match="forgets one child table"):
        choose(["forgets everything"], ZOO, "defect on real services")


def test_the_archivers_process_is_told_by_name_what_it_is() -> None:
    """A wrong archiver is made in its own process: the name leads there."""
    assert archiver.program("skips a tenant", near=False)[-2:] == ("defect", "skips a tenant")
    assert planted("skips a tenant", near=False).archiver is not None
    assert planted("sends numerics as doubles", near=True).archiver is None
    assert planted("flushes half a transaction", near=True).archiver is not None


def test_what_is_left_is_done_in_rounds() -> None:
    """A trial of each, then a share of the drills without a defect; near misses last; nothing twice."""
    chosen = choose(["forgets one child table", "skips a tenant"], ZOO, "defect")
    asked = structs.replace(a_live_result().asked, trials=2, clean=12)
    skips, forgets = (one.name for one in chosen)  # the second is a guest, and comes first
    left = [(u.number, u.defect, u.near, u.clean) for u in measure.units(asked, chosen, [])]
    assert left == [
        (1, forgets, False, 0), (1, skips, False, 0), (1, "", False, 5), (2, "", False, 5),
        (2, forgets, False, 0), (2, skips, False, 0), (3, "", False, 2), (1, skips, True, 0),
        (1, forgets, True, 0),
    ]  # fmt: skip
    done: list[Entry] = [
        structs.replace(CAUGHT, defect=skips), structs.replace(CLEAN, number=2),
        structs.replace(NEAR, defect=forgets),
    ]  # fmt: skip
    again = [(u.number, u.defect, u.near, u.clean) for u in measure.units(asked, chosen, done)]
    assert again == [one for one in left[:-1] if one not in {(1, skips, False, 0), (2, "", False, 5)}]


def test_each_piece_of_work_is_told_in_a_line() -> None:
    """Who named it and how fast; what was not named; what of the drills without a defect was not proven."""
    assert measure.told(CAUGHT) == "forgets #1: honest, in 4 drills, 0.25 s"
    assert measure.told(MISSED) == "forgets #2: not named in 30 drills"
    seen = structs.replace(MISSED, first=1, first_checks=("loss",), failed=1)
    assert measure.told(seen).endswith("30 drills; others said loss (1 could not be run to their end)")
    assert measure.told(structs.replace(NEAR, alarms=(ALARM,))).endswith("forgets: ('loss',) lost it")
    assert measure.told(OPEN).startswith("without a defect: 3 of 5 proven drill 3: ('loss',) lost it (1 ")


def test_near_misses_and_open_drills_count() -> None:
    """An alarm of a near miss and a drill not proven are not sharp; one that failed is not whole."""
    assert (a_live_result().sharp, a_live_result().whole) == (True, True)
    assert a_live_result().rows()[0].near_drills == CAUGHT.near_drills + 1
    assert not a_live_result(near=(structs.replace(NEAR, alarms=(ALARM,)),)).sharp
    assert not a_live_result(near=(structs.replace(NEAR, failed=1),)).whole
    assert not a_live_result(clean=(CLEAN, OPEN)).sharp
    assert a_live_result(clean=(CLEAN, OPEN)).clean_proven == 5


def test_a_near_miss_has_to_be_met_where_there_is_one() -> None:
    """A trial of the defect itself says nothing of it; where there is none nothing is missing."""
    trials = (structs.replace(CAUGHT, near_drills=0),)
    for words, near, whole in (("`x=Y`", (NEAR,), True), ("`x=Y`", (), False), ("none: so", (), True)):
        power = with_near_miss(structs.replace(a_live_result(near=near), trials=trials), words)
        assert power.whole is whole, words
    assert {one.near_miss is not None for one in ZOO} == {True, False}
    assert all(measure.as_told(one).has_near_miss is (one.near_miss is not None) for one in ZOO)


def test_a_near_miss_without_a_plan_to_meet_is_told(tmp_path: Path) -> None:
    """Its defect was not caught, or the plan that did is gone: no stack is started, and a line says so."""
    chosen = choose(["forgets one child table"], ZOO, "defect")
    kept = work.Kept(tmp_path, "code")
    kept.add(structs.replace(CAUGHT, defect=chosen[0].name))
    console = Console(record=True, width=120)
    asked = structs.replace(a_live_result().asked, trials=1, clean=0)
    measure.run(asked, chosen, kept, console, lambda: None)
    assert "near miss of forgets one child table: not tried, for no plan is kept" in console.export_text()
    assert len(kept.entries) == 1


def test_the_section_tells_the_sums_and_what_was_not_proven() -> None:
    """Seconds, drills proven, and that not all was done."""
    power = a_live_result(clean=(CLEAN, OPEN))
    section = "\n".join(power_live.section(power))
    assert "1 of 1 defect caught in 1 of 1 trial. 1 trial: 1 caught by the expected check." in section
    assert "Median time to catch, once the stack was up: 0 s." in section
    assert (
        "7 quick drills: 5 proven, 1 unknown, 0 broken (false alarms), 1 not run to their end." in section
    )
    assert "- Unknown: plan of seed 9, without a defect, batch 2: loss (lost it)" in section
    assert "start it again with the same --out" in section
    assert "| forgets | `restorer=Forgets` | honest | none: so | 0 alarms in 5 |" in section
    none = structs.replace(a_live_result(near=()), trials=())
    assert "Median" not in "\n".join(power_live.section(none))
    assert report.summary(none)[0].startswith(
        "0 of 1 defect caught in 1 of 1 trial; 1 not tried yet. 0 trials:"
    )


def test_a_false_alarm_is_not_told_as_an_unknown(tmp_path: Path) -> None:
    """A drill without a defect found broken, and an alarm of a near miss, are told as what they are."""
    near = structs.replace(NEAR, alarms=(structs.replace(ALARM, seed=77, words="of the near one"),))
    power = a_live_result(clean=(structs.replace(CLEAN, alarms=(ALARM,)), OPEN), near=(near,))
    told = report.summary(structs.replace(power, remarks=("it was the near one's own fault.",)))
    assert "Found out since: it was the near one's own fault." in told
    assert any("7 quick drills: 4 proven, 1 unknown, 1 broken (false alarms)" in line for line in told)
    assert "False alarm: plan of seed 9, without a defect, batch 1: loss (lost it)" in told
    assert "False alarm: plan of seed 77, near miss of forgets, trial 1: loss (of the near one)" in told
    assert "Unknown: plan of seed 9, without a defect, batch 2: loss (lost it)" in told
    alarms, _, opens = report.write(tmp_path, power).read_text().partition('<table id="opens">')
    alarms = alarms.partition('<table id="alarms">')[2]
    assert "of the near one" in alarms
    assert "without a defect, batch 1" in alarms
    assert "without a defect, batch 2" in opens


def test_each_result_replaces_its_own_part_of_the_page(tmp_path: Path) -> None:
    """The simulator's part stays when real services are measured, and theirs when the simulator is."""
    simulated, live = tmp_path / "a.json", tmp_path / "b.json"
    simulated.write_bytes(encode(a_result()))
    live.write_bytes(encode(a_live_result()))
    for source in (simulated, live, live, simulated):
        assert report.main([str(source)], tmp_path) == 0
    text = (tmp_path / "power.md").read_text()
    assert text == report.page(a_result(), a_live_result())
    assert text.count("## On real services") == 1
