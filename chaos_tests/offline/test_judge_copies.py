"""Restores from copies of the bucket: what the watermark before a copy promised, and what came back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest
from msgspec import structs

from chaos_tests.offline.judge_world import a_schema, begin
from chaos_tests.offline.told import damaged, ended, restored
from harness.judge.case import open_case
from harness.judge.checks import watermarks
from harness.judge.copies import CopyJudged, judge_copies
from harness.judge.lines import Line, Stretch
from harness.judge.states import Step
from harness.judge.timeline import Transaction, index
from harness.model import history as h
from harness.model.history import Outcome
from harness.model.position import Position
from harness.model.values import image_of, row_key
from harness.model.verdict import Finding
from harness.model.watermarks import WatermarkCheck

Result = Literal["restored", "refused", "failed"]
FILE = "restored/copy"
COPIED_S = 5.0
MARK = Position(epoch=1, lsn=20)


def step(number: int, *, sent_s: float = 1.0, outcome: Outcome = "acked", cluster: int = 1) -> Step:
    """The step w1, w2 and so on, at ten times its number, that writes one row."""
    tx = Transaction(
        name=f"w{number}",
        actor="writer",
        tenant="b",
        cluster=cluster,
        xid=number,
        begun_s=sent_s,
        sent_s=sent_s,
        ended_s=sent_s,
        outcome=outcome,
        lsn_upper=10 * number,
    )
    return Step(tx=tx, writes={row_key("t", (str(number),)): image_of({"v": f"w{number}"})})


def copied(*steps: Step, back: str = "", result: Result = "restored", file: str = FILE) -> CopyJudged:
    """What came back of b from a copy after the watermark at 20: the rows of these numbers."""
    line = Line(tenant="b", stretches=[Stretch(steps=list(steps), known=[])], forecasts=[], scripted=[])
    timeline = index(
        [
            h.ClusterSeen(at_s=0.0, cluster=1, system_id="s", timeline=1, epoch=1),
            h.BucketCopied(at_s=COPIED_S, copy=0, epoch=1, lsn=20),
            h.BucketCopied(at_s=9.0, copy=1, epoch=1, lsn=99),
            h.CopyRestored(at_s=9.0, copy=0, tenant="b", result=result, detail="so", file=file),
            h.CopyRestored(at_s=9.0, copy=7, tenant="b", result=result),
            h.CopyRestored(at_s=9.0, copy=0, tenant="nobody", result=result),
        ]
    )
    rows = {row_key("t", (number,)): image_of({"v": f"w{number}"}) for number in back}
    (judged,) = judge_copies(timeline, {"b": line}, {FILE: rows})
    return judged


def names(steps: list[Step] | tuple[Step, ...]) -> list[str]:
    """What these steps are called."""
    return [step.tx.name for step in steps]


def test_what_lies_at_or_before_the_watermark_is_promised() -> None:
    """Not what lies past it, nor an open one, nor what lies nobody knows where in commit order."""
    steps = (step(1), step(2), step(3), step(1, outcome="unknown"), step(1, cluster=9))
    assert (copied(*steps).watermark, names(copied(*steps).promised)) == (MARK, ["w1", "w2"])


@pytest.mark.parametrize(("sent_s", "promised"), [(COPIED_S, ["w1"]), (COPIED_S + 0.001, [])])
def test_what_was_sent_after_the_copy_is_not_in_it(sent_s: float, promised: list[str]) -> None:
    """Whatever its position."""
    assert names(copied(step(1, sent_s=sent_s)).promised) == promised


@pytest.mark.parametrize(
    ("back", "result", "file", "judged", "lacking"),
    [
        ("12", "restored", FILE, True, []),
        ("1", "restored", FILE, True, ["w2"]),
        ("", "restored", FILE, True, ["w1", "w2"]),
        ("", "restored", "lost", False, ["w1", "w2"]),
        ("12", "refused", "", True, ["w1", "w2"]),
        ("12", "failed", FILE, False, ["w1", "w2"]),
    ],
)
def test_what_was_promised_and_did_not_come_back_is_lacking(
    back: str, result: Result, file: str, judged: bool, lacking: list[str]
) -> None:
    """A refused restore brought nothing; of one that failed, or whose rows are lost, nothing is known."""
    copy = copied(step(1), step(2), step(3), back=back, result=result, file=file)
    assert (copy.solution is not None, names(copy.lacking)) == (judged, lacking)


def found(*copies: CopyJudged, refused: bool = False) -> list[Finding]:
    """What the check says of these, when one was asked for, of b."""
    world = ended(restored(damaged(begin())))
    if refused:
        world.add(h.CopiesRefused(at_s=world.at_s, reason="no copies here"))
    asked = WatermarkCheck(moment="write", after_s=1.0, tenants=("b",))
    plan = structs.replace(world.plan(), watermark_checks=(asked,))
    case = structs.replace(open_case(plan, a_schema(), world.entries, world.files), copies=copies)
    return list(watermarks.CHECK.run(case))


WORDS = "w2 lay before the watermark 1:0/14, and is not in copy 0 of the bucket, made after it was reported"
UNSURE = Finding(check="watermarks", point=0, verdict="unknown", message="", tenant="b")
BROKEN = Finding(
    check="watermarks",
    point=8,
    verdict="broken",
    message=WORDS,
    tenant="b",
    table="t",
    key=("2",),
    operation="w2",
)


@pytest.mark.parametrize(
    ("copies", "refused", "expected"),
    [
        (lambda: (), False, [structs.replace(UNSURE, message="watermark 0 was not checked by a restore")]),
        (lambda: (), True, []),
        (lambda: (copied(step(2), back="2"),), False, []),
        (
            lambda: (copied(step(2), file="lost"),),
            False,
            [structs.replace(UNSURE, message="what came from copy 0 was not read")],
        ),
        (lambda: (copied(step(1), step(2), back="1"),), False, [BROKEN]),
        (
            lambda: (copied(step(2), result="failed"),),
            False,
            [structs.replace(BROKEN, message=f"{WORDS} (failed: so)")],
        ),
    ],
    ids=["not asked", "no copies", "all there", "not read", "lacking", "failed"],
)
def test_a_watermark_is_told_whole(
    copies: Callable[[], tuple[CopyJudged, ...]], refused: bool, expected: list[Finding]
) -> None:
    """The first transaction that lacks, its row, and what the restore said if it did not succeed."""
    assert found(*copies(), refused=refused) == expected
