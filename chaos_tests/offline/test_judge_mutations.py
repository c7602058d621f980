"""Whatever is bent in what came back, in any row of any reading, the drill is not proven."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec import structs

from chaos_tests.offline.judge_world import World, a_drill, a_schema, begin, finish, item, whole
from harness.judge import judge
from harness.model import history as h
from harness.model.values import image_of, row_key, row_of, table_and_key
from harness.model.verdict import Verdict

Rows = list[h.StoredRow]


def second_accident() -> World:
    """A drill in which a is damaged and restored twice, and an open commit of b is there."""
    world = begin()
    world.write("b", item("b", 2900, "open"), outcome="unknown", applied=True)
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    world.flush()
    world.script(("s1", (), (whole("a"),)))
    world.again = ("a",)
    for tenant in "abq":
        world.restore(tenant)
    world.flush()
    world.hit("s1")
    world.restore("a")
    world.end()
    return world


def from_archive() -> World:
    """A drill that only the archive survived."""
    world = begin(survivors="archive")
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    world.flush()
    world.destroy()
    return finish(world)


DRILLS = {
    "a good drill": finish(a_drill()),
    "a second accident": second_accident(),
    "from the archive": from_archive(),
}


def verdict_with(world: World, file: str, rows: Rows) -> Verdict:
    """The verdict when ``file`` holds ``rows``, which were all that was read."""
    counts: dict[int, int] = {}
    for row in rows:
        counts[row.restore] = counts.get(row.restore, 0) + 1
    entries = [
        structs.replace(e, rows=counts.get(e.restore, 0))
        if isinstance(e, h.ReadBack) and e.file == file
        else e
        for e in world.entries
    ]
    return judge(world.plan(), a_schema(), entries, {**world.files, file: rows}).verdict


def drop(rows: Rows, place: int) -> Rows:
    """Leave one row out."""
    return rows[:place] + rows[place + 1 :]


def garble(rows: Rows, place: int) -> Rows:
    """Change a cell, which is no key's, to a value that nobody wrote."""
    row = rows[place]
    cells = row_of(row.row)
    column = next(c for c in reversed(cells) if c not in {"id", "code"}) if len(cells) > 1 else "id"
    bent = structs.replace(row, row=image_of({**cells, column: "garbled"}))
    return [*rows[:place], bent, *rows[place + 1 :]]


def add(rows: Rows, place: int) -> Rows:
    """Let a row be there that nobody wrote."""
    row = rows[place]
    cells = row_of(row.row)
    key = "code" if "code" in cells else "id"
    return [*rows, structs.replace(row, key=row_key(row.table, ("0",)), row=image_of({**cells, key: "0"}))]


def repeat(rows: Rows, place: int) -> Rows:
    """Let a row be there twice."""
    return [*rows, rows[place]]


@pytest.mark.parametrize("name", DRILLS)
def test_the_drills_that_are_bent_are_proven_as_they_are(name: str) -> None:
    """What is found below is the bending's doing."""
    assert DRILLS[name].verdict().verdict == "proven"


MAY_BE_MISSING = {
    ("2501", 2): "its write was acked after the incident, and b went to scratch",
    ("2900", 2): "the outcome of its write is open",
    ("2900", 0): "the outcome of its write is open",
}
"""Rows of b, by id and restore, that a state of b may lack: a near miss each, and no hole in the judge."""


def may_be_missing(row: h.StoredRow) -> bool:
    """Whether a state that lacks this row is one that its tenant could have been in."""
    return (
        row_of(row.row).get("tenant") == "b"
        and (table_and_key(row.key)[1][0], row.restore) in MAY_BE_MISSING
    )


@pytest.mark.parametrize("bend", [drop, garble, add, repeat], ids=lambda bend: bend.__name__)
@pytest.mark.parametrize("name", DRILLS)
def test_a_bent_row_is_never_proven(name: str, bend: Callable[[Rows, int], Rows]) -> None:
    """Every row of every tenant, in every reading: dropped, garbled, invented or twice."""
    world = DRILLS[name]
    for file in sorted(name for name in world.files if "@" not in name):
        rows = world.files[file]
        for place, row in enumerate(rows):
            expected = "proven" if bend is drop and may_be_missing(row) else "broken"
            assert verdict_with(world, file, bend(rows, place)) == expected, (file, row)
