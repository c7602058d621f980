"""Open outcomes, settled by the rows of the promoted primary: what they show, and what they don't."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import pytest

from harness import schemas
from harness.drive.bindings import RowName
from harness.drive.doubts import Doubt, Doubts
from harness.drive.ports import Rows
from harness.model.history import Change, Done, Outcome, Sent, Sight
from harness.model.values import NO_IMAGE, row_key, to_image

SHOP = schemas.load("shop").schema
TABLES = {table.name: table for table in SHOP.tables}
MERCHANT, PURCHASE = "shop.merchant", "shop.purchase"
NEW: dict[str, str | None] = {"code": "a", "title": "new", "since": "2020-01-01"}
OLD: dict[str, str | None] = {**NEW, "title": "old"}
OTHER: dict[str, str | None] = {**NEW, "title": "of somebody else"}


def sent(*changes: Change, name: str = "w", actor: str = "writer", left: bool = False) -> Sent:
    """A COMMIT about to be sent; ``left``: a script saw that nothing of tenant a was left."""
    return Sent(
        at_s=1.0,
        name=name,
        actor="script" if actor == "script" else "writer",
        tenant=None if actor == "script" else "a",
        cluster=1,
        xid=1,
        begun_s=0.5,
        lsn_lower=1,
        changes=changes,
        sight=Sight(left={"a": {MERCHANT: ()}}, deleted={}, updated={}) if left else None,
    )


def done(name: str = "w", outcome: Outcome = "unknown") -> Done:
    """What became of it."""
    return Done(at_s=2.0, name=name, actor="writer", tenant="a", outcome=outcome)


def change(row: Mapping[str, str | None] | None, *, key: bool = True) -> Change:
    """A change of the merchant a: an insert without a key before, a delete without a row after."""
    op = "delete" if row is None else "update" if key else "insert"
    image = NO_IMAGE if row is None else to_image(row)
    return Change(op=op, key=row_key(MERCHANT, ("a",)), row=image)  # type: ignore[arg-type]  # one of its words


def rows(*found: dict[str, str | None]) -> dict[str, Rows]:
    """The snapshot: these rows of the merchant a."""
    return {"a": {MERCHANT: [dict(row) for row in found]}}


@pytest.mark.parametrize(
    ("wrote", "found", "outcome"),
    [
        (change(NEW, key=False), [NEW], "acked"),
        (change(NEW, key=False), [], "refused"),
        (change(NEW), [NEW], "acked"),
        (change(NEW), [OLD], "refused"),
        (change(None), [], "acked"),
        (change(None), [OLD], "refused"),
    ],
)
def test_a_row_shows_what_became_of_its_writer(
    wrote: Change, found: list[dict[str, str | None]], outcome: str
) -> None:
    """Inserted, changed or deleted: it is as the transaction left it, or as it was before."""
    doubts = Doubts(TABLES)
    doubts.sent(Doubt(sent=sent(wrote)))
    doubts.done(done())
    assert doubts.tenants == ["a"]
    assert doubts.settle(rows(*found)) == {"w": outcome}
    assert doubts.tenants == []


def test_what_another_writer_changed_meanwhile_says_nothing() -> None:
    """It got the row as soon as the first one was through, before that one's client had to give up."""
    doubts = Doubts(TABLES)
    doubts.sent(Doubt(sent=sent(change(NEW))))
    doubts.sent(Doubt(sent=sent(change(OTHER), name="v")))
    doubts.done(done())
    doubts.done(done("v", "acked"))
    assert doubts.settle(rows(OTHER)) == {}
    assert doubts.tenants == ["a"]


def test_what_was_answered_is_in_no_doubt() -> None:
    """Acked and refused transactions are settled from the first."""
    doubts = Doubts(TABLES)
    for name, outcome in (("w", "acked"), ("v", "refused")):
        doubts.sent(Doubt(sent=sent(change(NEW), name=name)))
        doubts.done(done(name, "acked" if outcome == "acked" else "refused"))
    doubts.done(done("never sent", "refused"))
    assert doubts.settle(rows(OTHER)) == {}


def test_a_row_that_somebody_wrote_since_is_no_evidence_against_its_writer() -> None:
    """A later write on the same row hides what the open one did; its own image would still show it."""
    for found, settled in ((OTHER, {}), (NEW, {"w": "acked"})):
        doubts = Doubts(TABLES)
        doubts.sent(Doubt(sent=sent(change(NEW))))
        doubts.done(done())
        doubts.sent(Doubt(sent=sent(change(OTHER), name="later")))
        doubts.done(done("later", "acked"))
        assert doubts.settle(rows(found)) == settled


def test_a_script_that_took_the_rows_is_no_evidence_either() -> None:
    """An absent row may have been there, and have gone with all others; unless the script was undone."""
    for outcome, settled in (("acked", {}), ("refused", {"w": "refused"})):
        doubts = Doubts(TABLES)
        doubts.sent(Doubt(sent=sent(change(NEW, key=False))))
        doubts.done(done())
        doubts.sent(Doubt(sent=sent(name="s", actor="script", left=True)))
        doubts.done(done("s", "acked" if outcome == "acked" else "refused"))
        assert doubts.settle(rows()) == settled


@pytest.mark.parametrize(("found", "outcome"), [([], "acked"), ([OLD], "refused")])
def test_a_script_is_settled_by_what_it_took(found: list[dict[str, str | None]], outcome: str) -> None:
    """All rows that it had seen gone are gone, or one is there."""
    doubts = Doubts(TABLES)
    gone = {"a": frozenset({(MERCHANT, ("a",))})}
    doubts.sent(Doubt(sent=sent(name="s", actor="script", left=True), gone=gone))
    doubts.done(done("s"))
    assert doubts.settle(rows(*found)) == {"s": outcome}


@pytest.mark.parametrize(("title", "outcome"), [(None, "acked"), ("old", "refused")])
def test_a_script_is_settled_by_what_it_blanked(title: str | None, outcome: str) -> None:
    """Cells that had a value and are NULL now, or not."""
    doubts = Doubts(TABLES)
    blanked: dict[str, dict[RowName, tuple[str, ...]]] = {
        "a": {(MERCHANT, ("a",)): ("title",), (MERCHANT, ("gone",)): ("title",)}
    }
    doubts.sent(Doubt(sent=sent(name="s", actor="script", left=True), blanked=blanked))
    doubts.done(done("s"))
    found: Rows = {MERCHANT: [{**OLD, "title": title}]}
    assert doubts.settle({"a": found}) == {"s": outcome}


def test_a_cell_that_somebody_filled_since_is_no_evidence_against_a_script() -> None:
    """A writer that goes on after the script gives the blanked row a value again."""
    doubts = Doubts(TABLES)
    blanked: dict[str, dict[RowName, tuple[str, ...]]] = {"a": {(MERCHANT, ("a",)): ("title",)}}
    doubts.sent(Doubt(sent=sent(name="s", actor="script", left=True), blanked=blanked))
    doubts.done(done("s"))
    doubts.sent(Doubt(sent=sent(change(OTHER), name="later")))
    doubts.done(done("later", "acked"))
    assert doubts.settle(rows(OTHER)) == {}


def test_a_script_that_found_nothing_stays_open() -> None:
    """There is nothing that could show what became of it."""
    doubts = Doubts(TABLES)
    doubts.sent(Doubt(sent=sent(name="s", actor="script", left=True)))
    doubts.done(done("s"))
    assert doubts.settle(rows(OLD)) == {}


def test_the_application_learns_of_what_was_committed() -> None:
    """Rows of a transaction that turns out to be there are known from then on."""
    learnt: list[str] = []
    for wrote, name in ((NEW, "there"), (OTHER, "not there")):
        doubts = Doubts(TABLES)
        doubts.sent(Doubt(sent=sent(change(wrote), name=name), adopt=partial(learnt.append, name)))
        doubts.done(done(name))
        doubts.settle(rows(NEW))
    assert learnt == ["there"]


def test_rows_seen_while_the_outcome_is_open_can_be_gone_on_with() -> None:
    """Known once; the outcome stays open, and a failover that settles it later brings no news."""
    learnt: list[str] = []
    doubts = Doubts(TABLES)
    for name, wrote in (("there", NEW), ("not there", OTHER)):
        doubts.sent(Doubt(sent=sent(change(wrote), name=name), adopt=partial(learnt.append, name)))
        doubts.done(done(name))
    doubts.recall({"b": {}})
    assert learnt == []
    for _ in range(2):
        doubts.recall(rows(NEW))
    assert learnt == ["there"]
    assert doubts.settle(rows(NEW))["there"] == "acked"
    assert learnt == ["there"]


@pytest.mark.parametrize(
    ("outcome", "found", "committed"),
    [
        ("acked", None, True),
        ("refused", None, False),
        ("unknown", None, False),
        ("unknown", rows(), True),
        ("unknown", rows(OLD), False),
    ],
)
def test_what_became_of_a_removal_that_had_no_answer_is_told_later(
    outcome: Outcome, found: dict[str, Rows] | None, committed: bool
) -> None:
    """By its ack, or by the promoted primary's first snapshot; only of those that were asked for."""
    doubts = Doubts(TABLES)
    doubts.sent(Doubt(sent=sent(change(None))))
    assert doubts.removing("a") == {"w": frozenset({(MERCHANT, ("a",))})}
    assert doubts.removing("b") == {}
    doubts.done(done(outcome=outcome))
    if found is not None:
        doubts.settle(found)
    assert doubts.committed("w") == committed
    assert doubts.removing("a").keys() == ({"w"} if outcome == "unknown" and found is None else set())


def test_what_nobody_asked_for_is_not_kept() -> None:
    """A drill may have a million transactions; and what one wrote anew is not removed."""
    doubts = Doubts(TABLES)
    doubts.sent(Doubt(sent=sent(change(NEW))))
    assert doubts.removing("b") == {}
    doubts.done(done(outcome="acked"))
    assert not doubts.committed("w")
    doubts.sent(Doubt(sent=sent(change(NEW), name="x")))
    assert doubts.removing("a") == {"x": frozenset()}
