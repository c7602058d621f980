"""The zoo on real services, as data: what each defect replaces, its turn, and how it is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from chaos_tests.offline.test_power import ALARM, CAUGHT, CLEAN, MISSED, a_result
from harness.generate.validate import validate
from harness.judge.checks import CHECKS
from harness.model.errors import UnknownName
from harness.model.power import Clean, Entry, Near, Power, encode
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
    assert planted("skips a tenant", near=True).archiver is None
    assert planted("flushes half a transaction", near=True).archiver is not None


def test_what_is_left_is_done_in_rounds() -> None:
    """A trial of each, then a share of the drills without a defect; near misses last; nothing twice."""
    chosen = choose(["forgets one child table", "skips a tenant"], ZOO, "defect")
    asked = structs.replace(a_live_result().asked, trials=2, clean=12)
    skips, forgets = (one.name for one in chosen)  # the second is a guest, and comes first
    left = [(u.number, u.defect, u.near, u.clean) for u in measure.units(asked, chosen, [])]
    assert left == [
        (1, forgets, False, 0), (1, skips, False, 0), (1, "", False, 5), (2, "", False, 5),
        (2, forgets, False, 0), (2, skips, False, 0), (3, "", False, 2), (1, forgets, True, 0),
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


def test_the_section_tells_the_sums_and_what_was_not_proven() -> None:
    """Seconds, drills proven, and that not all was done."""
    power = a_live_result(clean=(CLEAN, OPEN))
    section = power_live.section(power, [report.cells(row) for row in power.rows()])
    assert "1 defects, 1 trials: 1 caught by the expected check; 1 defects were caught in every" in section
    assert "Median time to catch, once the stack was up: 0 s." in section
    assert "5 of 7 quick drills were proven" in section
    assert "Not proven: loss (lost it)" in section
    assert "start it again with the same --out" in section
    assert "| forgets | `restorer=Forgets` | honest | none: so | 0 in 5 |" in section
    none = structs.replace(a_live_result(near=()), trials=())
    assert "Median" not in power_live.section(none, [])
    assert report.summary(none)[0].startswith("1 defects, 0 trials")


def test_each_result_replaces_its_own_part_of_the_page(tmp_path: Path) -> None:
    """The simulator's page stays when real services are measured, and theirs when the simulator is."""
    simulated, live, page = tmp_path / "a.json", tmp_path / "b.json", tmp_path / "power.md"
    simulated.write_bytes(encode(a_result()))
    live.write_bytes(encode(a_live_result()))
    for source in (simulated, live, live, simulated):
        assert report.main([str(source), str(page)]) == 0
    text = page.read_text()
    assert text.startswith(report.page(a_result()))
    assert text.count("## On real services") == 1
