"""What a row that is not as it should be is called, and whose write is named for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from msgspec import structs

from harness.judge.differences import Difference, Elsewhere, differences
from harness.judge.states import Step, solve
from harness.judge.timeline import Transaction
from harness.model import history as h
from harness.model.values import Image, RowKey, image_of, row_key

ONE, TWO, THREE = (row_key("t", (n,)) for n in "123")
Cells = Mapping[str, str | None]


def step(name: str, at_s: float, writes: Mapping[RowKey, str | None], **rest: Any) -> Step:
    """A step that takes half a second; a text stands for a row with one column."""
    return Step(tx=transaction(name, at_s), writes=images(writes), **rest)


def transaction(name: str, at_s: float) -> Transaction:
    """A committed transaction of tenant a."""
    return Transaction(
        name=name,
        actor="writer",
        tenant="a",
        cluster=1,
        xid=0,
        begun_s=at_s,
        sent_s=at_s,
        ended_s=at_s + 0.5,
        outcome="acked",
    )


def images(texts: Mapping[RowKey, str | None]) -> dict[RowKey, Image | None]:
    """The rows that these texts stand for."""
    return {row: None if text is None else image_of({"v": text}) for row, text in texts.items()}


def told(
    steps: list[Step], found: Mapping[RowKey, str], **elsewhere: Any
) -> list[tuple[str, RowKey, str | None]]:
    """Kind, row and operation of each difference."""
    rows = {row: image for row, image in images(found).items() if image is not None}
    there = differences(solve(steps, rows), Elsewhere(tenant="a", **elsewhere))
    return [(one.kind, one.row, one.operation) for one in there]


A = step("A", 0, {ONE: "a", TWO: "a"})
LAST = step("last", 9, {THREE: "x"})


def damage(name: str, writes: Mapping[RowKey, str | None], **rest: Any) -> Step:
    """What the script did, which is barred from the state."""
    return step(name, 10, writes, role="damage", **rest)


@pytest.mark.parametrize(
    ("barred", "kind", "operation"),
    [
        (damage("s0", {ONE: None, TWO: "mark"}), "the script's damage", "s0"),
        (damage("s0", {ONE: None, TWO: "other"}), "missing row", "A"),
        (damage("s0", {ONE: None, TWO: "other"}, maybe=frozenset({TWO})), "the script's damage", "s0"),
        (damage("s0", {TWO: "mark"}), "missing row", "A"),
        (step("w", 10, {ONE: None, TWO: "mark"}), "missing row", "A"),
    ],
    ids=["all as it left it", "not all", "all of which it is sure", "another row", "no script"],
)
def test_a_row_is_called_damage_where_all_that_the_script_wrote_is_there(
    barred: Step, kind: str, operation: str
) -> None:
    """It is named then; otherwise the write that is missing."""
    found = {TWO: "mark", THREE: "x"}
    assert told([A, LAST], found, barred=[barred])[0] == (kind, ONE, operation)


def test_each_row_that_scripts_took_is_named_after_the_one_that_took_it() -> None:
    """A row that neither of them took is missing."""
    steps = [A, step("B", 1, {row_key("t", ("4",)): "b"}), LAST]
    barred = [damage("s0", {ONE: None}), damage("s1", {TWO: None})]
    assert sorted(told(steps, {THREE: "x"}, barred=barred)) == [
        ("missing row", row_key("t", ("4",)), "B"),
        ("the script's damage", ONE, "s0"),
        ("the script's damage", TWO, "s1"),
    ]


@pytest.mark.parametrize(("latest", "kind"), [("3", "stale row"), (None, "resurrection")])
def test_a_row_that_lags_names_the_write_that_it_lacks(latest: str | None, kind: str) -> None:
    """Not the one that it shows, nor those before."""
    steps = [step(f"W{n}", n, {ONE: text}) for n, text in enumerate(("1", "2", latest))]
    assert told([*steps, LAST], {ONE: "2", THREE: "x"}) == [(kind, ONE, "W2")]


def test_a_hole_says_what_shows_that_its_write_is_in() -> None:
    """A later write, or another row of its own; nothing where all that is committed must be there."""
    found = {TWO: image_of({"v": "a"})}
    for steps, forced, because in (
        ([A], False, "its own row t 2 says that it is in"),
        ([step("A", 0, {ONE: "a"}), step("B", 1, {TWO: "a"})], False, "B, which came after it, is in"),
        ([A], True, None),
    ):
        (hole,) = differences(solve(steps, found, forced=forced), Elsewhere(tenant="a"))
        assert (hole.kind, hole.row, hole.because) == ("missing row", ONE, because)


def test_a_row_that_came_back_as_it_never_was_names_who_deleted_it() -> None:
    """A row that nobody ever wrote names nobody."""
    steps = [A, step("gone", 1, {ONE: None})]
    assert told(steps, {ONE: "never", TWO: "a", THREE: "never"}) == [
        ("strange row", ONE, "gone"),
        ("strange row", THREE, None),
    ]


def refused(name: str, row: RowKey, text: str) -> Transaction:
    """A refused transaction, which its line in the history tells of."""
    image = image_of({"v": text})
    sent = h.Sent(
        at_s=1.0,
        name=name,
        actor="writer",
        tenant="a",
        cluster=1,
        xid=0,
        begun_s=1.0,
        lsn_lower=0,
        changes=(h.Change(op="insert", key=row, row=image),),
    )
    return structs.replace(transaction(name, 1.0), outcome="refused", line=h.encode_line(sent))


@pytest.mark.parametrize(
    ("elsewhere", "kind", "operation"),
    [
        ({"barred": [damage("s0", {ONE: "?"})]}, "the script's damage", "s0"),
        ({"barred": [step("late", 10, {ONE: "?"})]}, "after the cut", "late"),
        ({"earlier": [step("old", 0, {ONE: "?"})]}, "earlier state", "old"),
        ({"earlier": [step("old", 0, {TWO: "?"})]}, "strange row", None),
        ({"refused": [refused("no", ONE, "?")]}, "refused write", "no"),
        ({"refused": [refused("no", ONE, "!")]}, "strange row", None),
        ({"owners": {ONE: "b"}}, "neighbour's row", "tenant b"),
        ({"owners": {ONE: "a"}}, "strange row", None),
    ],
)
def test_a_strange_row_is_named_after_where_it_came_from(
    elsewhere: dict[str, Iterable[object]], kind: str, operation: str | None
) -> None:
    """By its very image, or by whom it belongs to."""
    assert told([LAST], {ONE: "?", THREE: "x"}, **elsewhere) == [(kind, ONE, operation)]


@pytest.mark.parametrize(
    ("expected", "found", "columns"),
    [
        ({"u": "1", "v": "1"}, {"u": "2", "v": "2"}, ["u", "v"]),
        ({"u": "1", "v": "1"}, {"u": "1"}, ["v"]),
        ({"u": "1"}, {"u": "1", "v": "1"}, ["v"]),
        ({"u": "1", "v": None}, {"u": "1"}, ["v"]),
    ],
    ids=["each that differs", "one that is lacking", "one too many", "NULL is not nothing"],
)
def test_each_cell_that_differs_is_told(expected: Cells, found: Cells, columns: list[str]) -> None:
    """With what was expected and what was found, and who wrote the row."""
    wrote = Step(tx=transaction("w", 0), writes={ONE: image_of(dict(expected))})
    solution = solve([wrote], {ONE: image_of(dict(found))})
    assert list(differences(solution, Elsewhere(tenant="a"))) == [
        Difference(
            kind="wrong cell",
            row=ONE,
            expected=dict(expected),
            found=dict(found),
            column=column,
            operation="w",
        )
        for column in columns
    ]
