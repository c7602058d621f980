"""A run folder is judged by its files alone; what is missing or torn is never taken for a pass."""

from __future__ import annotations

import gc
from pathlib import Path

import msgspec
import pytest

from chaos_tests.offline.judge_world import ITEM, World, a_drill, a_schema, checks, findings, finish
from harness.judge import check_run, decoding, load
from harness.judge.on_demand import OnDemand
from harness.judge.timeline import index
from harness.model import folder as names
from harness.model import plan as plans
from harness.model.errors import BadInput
from harness.model.history import Done, RestoreDone, Settled, encode_line
from harness.model.stages import TopicRead, encode_stage


@pytest.fixture
def world() -> World:
    """A good drill."""
    return finish(a_drill())


@pytest.fixture
def run(world: World, tmp_path: Path) -> Path:
    """Its run folder."""
    write_run(tmp_path, world)
    return tmp_path


def write_run(path: Path, world: World) -> None:
    """Write what a drill leaves into a run folder."""
    (path / names.RESTORED).mkdir()
    (path / names.PLAN).write_bytes(plans.encode(world.plan()))
    (path / names.SCHEMA).write_bytes(msgspec.json.encode(a_schema()))
    (path / names.HISTORY).write_bytes(b"".join(map(encode_line, world.entries)))
    for file, rows in world.files.items():
        (path / file).write_bytes(b"".join(map(encode_line, rows)))


def test_a_run_folder_gives_the_verdict_of_its_values(run: Path, world: World) -> None:
    """What was written and read again is judged like what never left memory."""
    assert check_run(run) == world.verdict()
    assert check_run(run).verdict == "proven"


def test_a_history_with_a_torn_last_line_is_unknown(run: Path) -> None:
    """The harness died while it wrote."""
    history = run / names.HISTORY
    history.write_bytes(history.read_bytes()[:-9])
    verdict = check_run(run)
    assert (verdict.verdict, checks(verdict)) == ("unknown", {"ended"})


def test_a_torn_line_after_the_end_is_unknown_too(run: Path) -> None:
    """Something was still writing: the end was not the end."""
    history = run / names.HISTORY
    history.write_bytes(history.read_bytes() + b'{"entry":"no')
    assert checks(check_run(run)) == {"ended"}


def test_a_history_without_its_end_is_unknown(run: Path) -> None:
    """All lines are whole, but the last ones are missing."""
    history = run / names.HISTORY
    history.write_bytes(b"".join(history.read_bytes().splitlines(keepends=True)[:-1]))
    assert check_run(run).verdict == "unknown"


def test_an_empty_history_is_unknown(run: Path) -> None:
    """Nothing happened, so nothing is proven."""
    (run / names.HISTORY).write_bytes(b"")
    assert check_run(run).verdict == "unknown"


def test_a_damaged_line_in_the_middle_is_bad_input(run: Path) -> None:
    """The error names the file and the line."""
    history = run / names.HISTORY
    lines = history.read_bytes().splitlines(keepends=True)
    lines[3] = b"{\n"
    history.write_bytes(b"".join(lines))
    with pytest.raises(BadInput, match="line 4"):
        check_run(run)


@pytest.mark.parametrize("name", [names.PLAN, names.SCHEMA, names.HISTORY])
def test_a_missing_file_is_bad_input(run: Path, name: str) -> None:
    """Without plan, schema or history there is nothing to judge."""
    (run / name).unlink()
    with pytest.raises(BadInput, match=name):
        check_run(run)


@pytest.mark.parametrize("body", [b"{", b""])
@pytest.mark.parametrize("name", [names.PLAN, names.SCHEMA])
def test_a_file_that_is_no_json_is_bad_input(run: Path, name: str, body: bytes) -> None:
    """The error names the file."""
    (run / name).write_bytes(body)
    with pytest.raises(BadInput, match=name):
        check_run(run)


@pytest.mark.parametrize("body", [None, b'{"restore":1,'])
def test_rows_that_are_missing_or_torn_were_not_read_back(run: Path, body: bytes | None) -> None:
    """A tenant without its rows has no verdict."""
    file = run / names.restored_file("a")
    file.unlink() if body is None else file.write_bytes(body)
    verdict = check_run(run)
    assert (verdict.verdict, checks(verdict)) == ("unknown", {"census"})


def test_missing_shared_rows_are_unknown(run: Path) -> None:
    """Their file is gone."""
    (run / names.SHARED_FILE).unlink()
    assert checks(check_run(run)) == {"shared rows"}


def test_a_run_folder_without_whole_stages_blames_by_what_is_there(tmp_path: Path) -> None:
    """A missing file blames nobody, a torn one by the lines before; neither changes the verdict."""
    lost = a_drill()
    del lost.saved["a"][ITEM, ("1011",)]
    finish(lost)
    write_run(tmp_path, lost)
    nobody = {f.blame.layer for f in findings(check_run(tmp_path)) if f.blame}
    assert (check_run(tmp_path).verdict, nobody) == ("broken", {None})
    told = TopicRead(feed="topic", cluster=1, first=0, end=99)
    (tmp_path / names.STAGES).write_bytes(encode_stage(told) + b'{"stage":')
    assert {f.blame.layer for f in findings(check_run(tmp_path)) if f.blame} == {"capture"}


def test_an_ack_that_is_not_kept_can_be_told_again(run: Path, world: World) -> None:
    """Most are joined to their transactions while they are decoded; what clients were told is known."""
    _, _, history, _ = load.read_run(run)
    timeline = index(history)
    told = [entry for entry in world.entries if isinstance(entry, Done)]
    assert 0 < len(timeline.of(Done)) < len(told) / 2
    assert timeline.outcomes == sorted(told, key=lambda done: done.at_s)


@pytest.mark.parametrize("block_bytes", [1, 7, 1000])
def test_it_does_not_matter_in_what_pieces_the_history_is_read(
    run: Path, world: World, monkeypatch: pytest.MonkeyPatch, block_bytes: int
) -> None:
    """Lines are longer than a piece, or end amid one; a damaged one has its number all the same."""
    monkeypatch.setattr(decoding, "BLOCK_BYTES", block_bytes)
    assert check_run(run) == world.verdict()
    file = run / names.HISTORY
    lines = file.read_bytes().splitlines(keepends=True)
    lines[30] = b"{\n"
    file.write_bytes(b"".join(lines))
    with pytest.raises(BadInput, match="line 31"):
        check_run(run)


def test_the_files_of_rows_are_named_and_read_when_asked_for(run: Path) -> None:
    """Each once, and none that the history does not name."""
    _, _, _, restored = load.read_run(run)
    assert sorted(restored) == sorted([names.SHARED_FILE, *map(names.restored_file, "abq")])
    assert len(restored) == 4
    assert restored.get(names.restored_file("stranger")) is None


@pytest.mark.parametrize("enabled", [True, False])
def test_cycles_are_looked_for_afterwards_as_before(run: Path, enabled: bool) -> None:
    """Whether or not somebody had the collector off."""
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        assert check_run(run).verdict == "proven"
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if before else gc.disable)()


def test_a_mapping_on_demand_is_made_once_and_only_when_looked_into() -> None:
    """Nobody pays for what nobody asks."""
    made: list[int] = []

    def make() -> dict[str, int]:
        made.append(1)
        return {"a": 1, "b": 2}

    mapping = OnDemand(make)
    assert made == []
    assert (mapping["a"], list(mapping), len(mapping), mapping.get("c")) == (1, ["a", "b"], 2, None)
    assert made == [1]


def test_what_is_told_of_something_that_never_began_is_passed_over() -> None:
    """A witness for a transaction that was never sent, an answer to a restore that was never asked for."""
    timeline = index(
        [
            Settled(at_s=1.0, name="nobody", outcome="acked", witness="the first snapshot"),
            RestoreDone(at_s=2.0, restore=7, tenant="a", result="restored"),
        ]
    )
    assert (timeline.transactions, timeline.restores) == ([], ())
