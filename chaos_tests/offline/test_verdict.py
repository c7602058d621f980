"""Verdicts merge to the worst, and what is written can be read again."""

from __future__ import annotations

import itertools

from harness.model.verdict import (
    EXIT_OF,
    CampaignVerdict,
    DrillVerdict,
    Finding,
    TenantVerdict,
    Verdict,
    decode,
    encode,
    merge,
)

VERDICTS: tuple[Verdict, ...] = ("proven", "unknown", "broken")


def test_broken_is_worse_than_unknown_and_unknown_worse_than_proven() -> None:
    """Merging takes the worst, in any order, so unknown never becomes proven."""
    for pair in itertools.product(VERDICTS, repeat=2):
        assert merge(pair) == max(pair, key=VERDICTS.index)


def test_nothing_at_all_is_unknown() -> None:
    """A campaign without a drill saw nothing."""
    assert merge(()) == "unknown"


def test_each_verdict_has_its_exit_code() -> None:
    """Zero is for proven only."""
    assert EXIT_OF == {"proven": 0, "broken": 1, "unknown": 2}


def test_a_verdict_that_was_written_is_read_again() -> None:
    """All of it, findings and keys included."""
    finding = Finding(
        check="exact",
        point=1,
        verdict="broken",
        message="cell differs",
        tenant="a",
        restore=1,
        table="app.item",
        key=("1", "2"),
        column="body",
        expected="x",
        found=None,
        operation="a.w0.1",
    )
    verdict = DrillVerdict(
        verdict="broken",
        budget_s=3.0,
        profile="quick",
        plan="plan.json",
        script="a stale list",
        survivors="all",
        points_judged=("1 complete",),
        points_not_judged=("7 untampered",),
        tenants=(TenantVerdict(tenant="a", damaged=True, verdict="broken", findings=(finding,)),),
        findings=(Finding(check="floors", point=0, verdict="unknown", message="too few writes"),),
    )
    assert decode(encode(verdict)) == verdict
    assert [found.check for found in verdict.every_finding] == ["floors", "exact"]


def test_a_campaigns_verdict_is_written_for_people_too() -> None:
    """One field a line."""
    campaign = CampaignVerdict(
        verdict="proven", seed=1, profile="quick", runs=("r1",), verdicts=("proven",)
    )
    assert b'\n "verdict": "proven"' in encode(campaign)
