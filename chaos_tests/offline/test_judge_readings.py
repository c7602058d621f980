"""Rows judged from their files, undecoded, are judged like the same rows in memory."""

from __future__ import annotations

import json
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
from harness.judge.load import read_run
from harness.judge.readings import Found, Readings, found, owned_keys
from harness.judge.timeline import index
from harness.model import folder as names
from harness.model import history as h
from harness.model.errors import BadInput
from harness.model.values import Image, Row, RowKey, image_of, row_key, row_of

FILE = names.restored_file("a")
OWNED = owned_keys(a_schema())
KNOWN: dict[RowKey, Image] = {
    row_key(ITEM, (f"{number}",)): image_of({"id": f"{number}", "tenant": "a", "text": "ä\n"})
    for number in range(6)
}


def stored(number: int, restore: int = 1, table: str = ITEM, **cells: str | None) -> h.StoredRow:
    """A row as it was read: known with its number, unless it is given other cells."""
    row: Row = {"id": f"{number}", "tenant": "a", "text": "ä\n", **cells}
    return h.StoredRow(restore=restore, key=row_key(table, (f"{number}",)), row=image_of(row))


def look(rows: list[h.StoredRow], known: dict[RowKey, Image]) -> list[Found | None]:
    """What is found of tenant a after each of three restores in a file that holds these rows."""
    read = [h.ReadBack(at_s=0.0, restore=n, tenant="a", file=FILE, rows=0) for n in range(3)]
    readings = Readings(index(read), a_schema(), {FILE: rows})
    return [readings.of(restore, "a", known) for restore in range(3)]


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
def test_the_same_is_found_whatever_is_known(rows: list[h.StoredRow]) -> None:
    """Known rows and others, repeated ones and ones of no table; each restore's for itself."""
    there = found({FILE: rows}, FILE, OWNED)
    assert there is not None
    for known in ({}, KNOWN):
        assert look(rows, known) == [there.get(restore, Found(rows={})) for restore in range(3)]


def test_a_known_row_is_taken_to_be_that_very_value() -> None:
    """It takes no memory of its own, and is compared at once; so are all of them together."""
    some, (_, whole, _) = (
        look([stored(0), stored(1, text="other")], KNOWN)[1],
        look([stored(number) for number in reversed(range(6))], KNOWN),
    )
    assert some is not None
    assert whole is not None
    assert some.rows[row_key(ITEM, ("0",))] is KNOWN[row_key(ITEM, ("0",))]
    assert some.rows[row_key(ITEM, ("1",))] == stored(1, text="other").row
    assert whole.rows is KNOWN


def spaced(body: bytes) -> bytes:
    """The same lines as another program might write them."""
    return body.replace(b":", b" : ").replace(b",", b" , ")


def turned(body: bytes) -> bytes:
    """The same rows with their columns in another order."""
    rows = [json.loads(line) for line in body.splitlines()]
    return b"".join(
        json.dumps({**row, "row": dict(reversed(row["row"].items()))}).encode() + b"\n" for row in rows
    )


@pytest.mark.parametrize("written", [spaced, turned])
def test_only_the_meaning_of_rows_counts(
    world: World, tmp_path: Path, written: Callable[[bytes], bytes]
) -> None:
    """However they are written, the verdict is the same."""
    write_run(tmp_path, world)
    file = tmp_path / FILE
    file.write_bytes(written(file.read_bytes()))
    assert check_run(tmp_path) == world.verdict()


def test_a_row_that_is_none_is_bad_input_where_it_matters(world: World, tmp_path: Path) -> None:
    """A number stands where a row was: one clear error, with what stands there."""
    write_run(tmp_path, world)
    file = tmp_path / FILE
    first, *rest = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([first[: first.index(b'"row":')] + b'"row":17}\n', *rest]))
    with pytest.raises(BadInput, match="no row: 17"):
        check_run(tmp_path)


@pytest.mark.parametrize("torn", [b'{"restore":1,"table":', b'{"restore":1', b"{", b'"restore":1,'])
def test_a_file_with_a_torn_line_is_not_there(world: World, tmp_path: Path, torn: bytes) -> None:
    """Wherever it is torn, nobody read those rows."""
    write_run(tmp_path, world)
    (tmp_path / FILE).write_bytes(h.encode_line(stored(1)) + torn)
    _, _, _, restored = read_run(tmp_path)
    assert found(restored, FILE, OWNED) is None
    assert found({}, FILE, OWNED) is None


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
    rows[place] = structs.replace(rows[place], row=image_of({**row_of(rows[place].row), "text": "bent"}))
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
