"""Planted defects on real services: the same wrong decisions, found by the same checks."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from fixtures.comebacks import come_back_amid, come_back_between
from fixtures.handmade import shop_plan
from fixtures.planted import WRITE_S, PlantedStack, plan_for
from fixtures.stack import begin_capture
from harness.model.verdict import DrillVerdict, Finding
from harness.simulate.defects import defect
from harness.stack.options import StackOptions
from harness.stack.programs.located import locate, with_published_debezium
from harness.stack.stack import Stack

pytestmark = pytest.mark.live


def broken_checks(verdict: DrillVerdict) -> set[str]:
    """Return the names of the checks that found something broken."""
    return {finding.check for finding in all_findings(verdict) if finding.verdict == "broken"}


def all_findings(verdict: DrillVerdict) -> list[Finding]:
    """Return the findings of a drill and of its tenants."""
    return verdict.every_finding


def test_without_a_defect_the_drill_is_proven(planted_stack: PlantedStack, tmp_path: Path) -> None:
    """What the other tests find broken is the defect's doing."""
    verdict = planted_stack.drill(shop_plan(write_s=WRITE_S), tmp_path / "run")
    assert verdict.verdict == "proven", verdict


@pytest.mark.parametrize(
    "planted",
    [
        "drops the last segment",
        "loses one row in the middle",
        "restores a neighbour's row",
        "brings back a deleted row",
        "moves the offset before the write",
    ],
)
def test_each_defect_is_caught_by_its_check(
    planted_stack: PlantedStack, tmp_path: Path, planted: str
) -> None:
    """The drill is broken, the checks that the table names say so, and blame the layer it sits in."""
    verdict = planted_stack.drill(plan_for(planted), tmp_path / "run", planted=planted)
    assert verdict.verdict == "broken"
    assert set(defect(planted).caught_by) <= broken_checks(verdict)
    findings = [f for f in all_findings(verdict) if f.check in defect(planted).caught_by and f.blame]
    assert {f.blame.layer for f in findings if f.blame} == {defect(planted).where}, findings


@pytest.mark.local_only
def test_debezium_as_published_loses_rows_when_it_comes_back_amid_a_transaction(
    restoreproof_options: StackOptions, tmp_path: Path
) -> None:
    """What is mended is needed, and the tests of it would see it missing.

    Of three rows only the last one comes, of an interleaved transaction and of one with a changed key. In
    containers it would need an image of its own, for the same class path.
    """
    options = msgspec.structs.replace(
        restoreproof_options, programs=with_published_debezium(locate()), java_options={}, logs=tmp_path
    )
    with Stack.start(options) as stack:
        begin_capture(stack)
        interleaved, arrived = come_back_amid(stack)
        assert arrived == interleaved[2:]
        moved, arrived = come_back_between(stack)
        assert arrived == moved[2:]
