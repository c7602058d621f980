"""Rows judged from their files, most of them undecoded, are judged like the same rows in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from chaos_tests.offline.judge_world import ITEM, World, a_drill, a_schema, checks, finish, item
from chaos_tests.offline.test_judge_load import write_run
from harness.judge import check_run
from harness.judge.readings import Found, Lines, Restored, found, keys_of, rows_in
from harness.judge.states import RowKey
from harness.model import folder as names
from harness.model import history as h
from harness.model.errors import BadInput
from harness.model.values import Row

FILE = names.restored_file("a")
KEYS = keys_of(a_schema())
KNOWN: dict[RowKey, Row] = {
    (ITEM, (f"{number}",)): {"id": f"{number}", "tenant": "a", "text": "ä\n"} for number in range(6)
}


def stored(number: int, restore: int = 1, table: str = ITEM, **cells: str | None) -> h.StoredRow:
    """A row as it was read: known with its number, unless it is given other cells."""
    return h.StoredRow(
        restore=restore, table=table, row={"id": f"{number}", "tenant": "a", "text": "ä\n", **cells}
    )


def from_lines(rows: list[h.StoredRow]) -> dict[int, Found] | None:
    """What is found in a file that holds these rows as we write them."""
    lines = Lines(b"".join(map(h.encode_line, rows)))
    return found({FILE: lines}, FILE, KEYS, KNOWN)


ROWS = st.lists(
    st.builds(
        stored,
        st.integers(min_value=0, max_value=8),
        restore=st.integers(min_value=0, max_value=2),
        table=st.sampled_from([ITEM, ITEM, ITEM, "app.nowhere"]),
        text=st.sampled_from(["ä\n", "ä\n", None, "other"]),
    ),
    max_size=12,
)


@settings(max_examples=300, deadline=None)
@given(ROWS)
def test_rows_are_found_in_undecoded_lines_as_in_memory(rows: list[h.StoredRow]) -> None:
    """Known ones and others, repeated ones and ones of no table, in the same order; whatever is known."""
    there = found({FILE: rows}, FILE, KEYS, {})
    assert from_lines(rows) == there
    for restore, one in (from_lines(rows) or {}).items():
        assert there is not None
        assert list(one.rows) == list(there[restore].rows)


def test_a_known_row_is_taken_to_be_that_very_value() -> None:
    """It takes no memory of its own, and is compared at once; also when its cells came in another order."""
    turned: Row = {"text": "ä\n", "tenant": "a", "id": "1"}
    there = from_lines([stored(0), h.StoredRow(restore=1, table=ITEM, row=turned)])
    assert there is not None
    assert all(there[1].rows[row] is KNOWN[row] for row in ((ITEM, ("0",)), (ITEM, ("1",))))


def spaced(body: bytes) -> bytes:
    """The same lines as another program might write them."""
    return body.replace(b":", b" : ").replace(b",", b" , ")


def with_blank_lines(body: bytes) -> bytes:
    """The same lines, and empty ones."""
    return body.replace(b"\n", b"\n\n")


@pytest.mark.parametrize("written", [spaced, with_blank_lines])
def test_lines_are_read_however_they_are_written(written: Callable[[bytes], bytes]) -> None:
    """Only their meaning counts."""
    rows = [stored(1), stored(2, text="other"), stored(1, restore=0)]
    body = written(b"".join(map(h.encode_line, rows)))
    assert found({FILE: Lines(body)}, FILE, KEYS, KNOWN) == found({FILE: rows}, FILE, KEYS, {})


@pytest.mark.parametrize("known", [{}, KNOWN])
@pytest.mark.parametrize("torn", [b'{"restore":1,"table":', b'{"restore":1', b"{", b'"restore":1,'])
def test_a_file_with_a_torn_line_is_not_there(torn: bytes, known: dict[RowKey, Row]) -> None:
    """Whether rows are known or not, and wherever it is torn."""
    restored: Restored = {FILE: Lines(h.encode_line(stored(1)) + torn)}
    assert found(restored, FILE, KEYS, known) is None
    assert rows_in(restored, FILE) is None


def test_a_file_that_is_missing_is_not_there() -> None:
    """Nobody read those rows."""
    assert found({}, FILE, KEYS, KNOWN) is None
    assert rows_in({}, FILE) is None


@pytest.fixture
def world() -> World:
    """A good drill with a write of a that nobody knows of: its rows differ from the known ones."""
    world = a_drill()
    world.write("a", item("a", 2900, "open"), outcome="unknown")
    return finish(world)


@pytest.mark.parametrize("place", range(6))
def test_a_folder_is_judged_like_memory_whatever_row_is_bent(
    world: World, tmp_path: Path, place: int
) -> None:
    """Findings and words, one after the other."""
    rows = list(world.files[FILE])
    rows[place] = structs.replace(rows[place], row={**rows[place].row, "text": "bent"})
    world.files[FILE] = rows
    write_run(tmp_path, world)
    assert check_run(tmp_path) == world.verdict()


def test_blank_lines_in_a_history_are_passed_over(world: World, tmp_path: Path) -> None:
    """At its end, and amid it, where the lines of a tenant are read together."""
    write_run(tmp_path, world)
    history = tmp_path / names.HISTORY
    whole = history.read_bytes()
    for written in (whole + b"\n", whole.replace(b"\n", b"\n\n", 3), b"\n" + whole):
        history.write_bytes(written)
        assert check_run(tmp_path) == world.verdict()


def test_an_entry_that_is_json_and_nothing_we_know_is_bad_input(world: World, tmp_path: Path) -> None:
    """Its line is named, though lines of one tenant are read together."""
    write_run(tmp_path, world)
    history = tmp_path / names.HISTORY
    lines = history.read_bytes().splitlines(keepends=True)
    lines[7] = msgspec.json.encode({"entry": "nothing", "tenant": "a"}) + b"\n"
    history.write_bytes(b"".join(lines))
    with pytest.raises(BadInput, match="line 8"):
        check_run(tmp_path)


def test_a_torn_file_of_rows_is_unknown_though_others_are_known(world: World, tmp_path: Path) -> None:
    """The tenant has no verdict."""
    write_run(tmp_path, world)
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"restore":1,')
    verdict = check_run(tmp_path)
    assert (verdict.verdict, checks(verdict)) == ("unknown", {"census"})
