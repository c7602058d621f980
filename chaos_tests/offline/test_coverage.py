"""The coverage map: what a drill marks, how maps add up, and how they are read."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from msgspec import structs
from rich.console import Console

from chaos_tests.offline.judge_world import a_drill, finish
from harness import __main__ as cli
from harness.generate.steps import STEPS
from harness.model import coverage, folder
from harness.model.coverage import Cell, Map, cells_named, cells_of, marked, merge
from harness.model.errors import EXIT_BAD_INPUT
from harness.model.faults import KINDS, STAGES, CutLink, Kill, RestartConnector, names, stages_of
from harness.model.history import FaultBegan, FaultHealed
from harness.model.verdict import DrillVerdict, encode
from harness.report import coverage as maps
from harness.report import terminal

KILL = Kill(service="primary", phase="write", after_s=1.0, down_s=1.0)
CUT = CutLink(link="archiver-minio", phase="write", after_s=1.0, down_s=1.0)
ACK, WAL, BUCKET = (
    Cell("kill primary", "ack", "stale_list"),
    Cell("kill primary", "WAL", "stale_list"),
    Cell("cut archiver-minio", "bucket", "stale_list"),
)


def began(number: int, *, bit: bool = True) -> FaultBegan:
    """A fault that was injected."""
    return FaultBegan(at_s=2.0, fault=number, proof="seen", bit=bit)


def test_a_drill_marks_the_cells_of_each_fault_that_bit() -> None:
    """One that did not bite, or never struck, marks nothing."""
    plan = structs.replace(a_drill().plan(), faults=(KILL, CUT))
    assert marked(plan, [began(0), began(1)]) == tuple(sorted((ACK, WAL, BUCKET)))
    assert marked(plan, [began(0, bit=False), began(1)]) == (BUCKET,)
    assert marked(plan, []) == ()


def test_the_judge_writes_the_cells_into_the_verdict() -> None:
    """They are a function of plan and history, and lie in the run folder with the verdict."""
    world = a_drill()
    world.faults = (CUT,)
    world.add(began(0), FaultHealed(at_s=2.5, fault=0, proof="seen"))
    assert finish(world).verdict().cells == (BUCKET,)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_touches_the_same_stages_by_its_value_and_by_its_name(kind: type) -> None:
    """Each name that a fault can have leads to at least one stage of the pipeline."""
    for name in names(kind):
        assert set(stages_of(name)) <= set(STAGES)
        assert stages_of(name)
    assert cells_of(CUT, "x") == cells_named("cut archiver-minio", ["x"])
    restart = RestartConnector(phase="write", after_s=1.0, down_s=1.0)
    assert cells_of(restart, "x") == cells_named("restart connector", ["x"])
    assert stages_of("no such fault") == ()


def a_map() -> Map:
    """Three drills: two with the same fault, one without any."""
    return merge([(ACK, WAL), (ACK, BUCKET), ()], ["stale_list", "canary"])


def test_maps_count_how_often_each_cell_was_marked() -> None:
    """And know what was never met, of faults that are drawn and of kinds of script."""
    the_map = a_map()
    assert (the_map.hits[ACK], the_map.hits[WAL], the_map.hits[BUCKET], the_map.drills) == (2, 1, 1, 3)
    assert the_map.under("kill primary", "ack") == 1
    assert the_map.under("kill primary", "bucket") == 0
    assert "kill primary" not in the_map.empty
    assert "pause primary" in the_map.empty
    assert the_map.untried == ("canary",)
    assert the_map.possible == 2 * sum(len(stages_of(fault)) for fault in the_map.faults)


def test_what_is_met_beyond_what_is_drawn_counts_too() -> None:
    """A fault that only a plan by hand holds, and a kind of script that nobody listed, get their places."""
    odd = Cell("drop slot", "slot", "by hand")
    the_map = merge([(odd,)], [])
    assert "drop slot" in the_map.faults
    assert the_map.scripts == ("by hand",)
    assert "drop slot" not in merge([], []).faults


def test_the_map_fits_eighty_columns() -> None:
    """Numbers where faults have met stages, dots where none has, blanks where none can."""
    lines = maps.lines(a_map())
    assert max(map(len, lines)) <= 80
    kill = next(line for line in lines if line.startswith("kill"))
    slow = next(line for line in lines if line.startswith("slow store"))
    assert kill.split() == ["kill", "1", "1", *"......"]
    assert slow.split() == ["slow", "store", "."]
    script = next(line for line in lines if line.startswith("stale_list"))
    assert script.split() == ["stale_list", "1", "1", *".....", "1", "."]
    text = " ".join(" ".join(lines).split())
    assert f"3 of {a_map().possible} cells (" in text
    assert "in 3 drills" in text
    assert "kill archiver, connect, kafka, minio, standby, restorer; pause anything;" in text
    assert "slow store;" in text
    assert "Kinds of script under which none was met: canary." in text


def test_a_full_map_has_nothing_left() -> None:
    """The lines of what was never met say so."""
    every = [Cell(f, s, "canary") for kind in KINDS for f in names(kind) for s in stages_of(f)]
    text = " ".join(maps.lines(merge([every], ["canary"])))
    assert "(100.0 %)" in text
    assert "Faults never met: none." in text
    assert "none was met: none." in text


def a_verdict(*cells: Cell) -> DrillVerdict:
    """A proven drill that marked these cells."""
    return structs.replace(finish(a_drill()).verdict(), cells=cells)


def test_a_campaigns_end_tells_the_map_in_short(capsys: pytest.CaptureFixture[str]) -> None:
    """With figures when a fault bit, and not at all when none did."""
    terminal.show(Console(width=80), [a_verdict(ACK, BUCKET), a_verdict()], "runs")
    assert "2 faults bit, at 2 of 9 stages, under 1 kind of script: 2 cells" in " ".join(
        capsys.readouterr().out.split()
    )
    assert maps.sentence(maps.of([a_verdict()])) == ""


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder of campaigns, with three judged runs at different depths."""
    for place, cells in (("c1/drill-01", (ACK,)), ("c1/drill-02", (ACK, WAL)), ("single", (BUCKET,))):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / folder.VERDICT).write_bytes(encode(a_verdict(*cells)))
    return tmp_path


@pytest.mark.parametrize(
    ("places", "drills"), [(["."], 3), (["c1"], 2), (["c1/drill-01", "single"], 2), (["single"], 1)]
)
def test_runs_are_found_at_any_depth(runs: Path, places: list[str], drills: int) -> None:
    """A run folder, a campaign, or the folder of all campaigns."""
    the_map = maps.read([runs / place for place in places], [])
    assert the_map.drills == drills
    assert sum(the_map.hits.values()) == {3: 4, 2: 3 if places == ["c1"] else 2, 1: 1}[drills]


def command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Run the command line."""
    monkeypatch.setattr(sys, "argv", ["restoreproof", "coverage", *map(str, arguments)])
    return cli.main()


def test_the_command_prints_the_map(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a table, or as JSON with each cell."""
    assert command(monkeypatch, runs) == 0
    assert "3 of " in capsys.readouterr().out
    assert command(monkeypatch, runs / "c1", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["hits"] == [
        {"fault": "kill primary", "stage": "WAL", "script": "stale_list", "times": 1},
        {"fault": "kill primary", "stage": "ack", "script": "stale_list", "times": 2},
    ]
    assert told["drills"] == 2
    assert set(told["no_fault_under"]) == {s.kind for s in STEPS.values() if s.weight} - {"stale_list"}
    assert "pause primary" in told["never_met"]


def test_what_holds_no_run_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder without a judged run, and a verdict that can't be read, are one clear error."""
    assert command(monkeypatch, tmp_path) == EXIT_BAD_INPUT
    assert "holds no judged run" in capsys.readouterr().err
    (tmp_path / folder.VERDICT).write_text("{}")
    assert command(monkeypatch, tmp_path) == EXIT_BAD_INPUT
    assert "judge that run again" in capsys.readouterr().err


def test_a_map_of_nothing_is_empty() -> None:
    """No drill, no cell, no division by nothing."""
    assert coverage.merge([], []).hits == {}
    assert "0 of 0 cells (0.0 %) in 0 drills" in " ".join(maps.lines(merge([], [])))
