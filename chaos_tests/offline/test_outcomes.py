"""The table of outcomes: nothing is missing in it, and its page is what it writes."""

from __future__ import annotations

from itertools import product
from typing import get_args

import pytest

from harness.stack.world.outcomes import Became, Phase, Sign, became
from harness.stack.world.outcomes_page import PAGE, page

ANSWERS: tuple[Sign, ...] = ("answered", "warned", "answered otherwise")


@pytest.mark.parametrize(("phase", "sign"), [*product(get_args(Phase), get_args(Sign))])
def test_each_phase_and_sign_has_an_outcome(phase: Phase, sign: Sign) -> None:
    """Whatever happens to a connection, whenever; only COMMIT has an answer of its own."""
    if phase != "COMMIT sent" and sign in ANSWERS:
        with pytest.raises(KeyError, match="while"):
            became(phase, sign)
    else:
        assert became(phase, sign) in get_args(Became)


@pytest.mark.parametrize(
    ("phase", "sign", "sqlstate", "outcome"),
    [
        ("statement", "error", "40P01", "conflicted"),
        ("statement", "error", "40001", "conflicted"),
        ("statement", "error", "57014", "refused"),
        ("statement", "connection ended", "57P01", "lost"),
        ("COMMIT sent", "error", "23503", "refused"),
        ("COMMIT sent", "error", "40001", "conflicted"),
        ("COMMIT sent", "error", "57014", "unknown"),
        ("COMMIT sent", "error", "53100", "unknown"),
        ("COMMIT sent", "error", "08006", "unknown"),
        ("COMMIT sent", "connection ended", "57P01", "unknown"),
        ("COMMIT sent", "connection ended", None, "unknown"),
        ("COMMIT sent", "warned", None, "unknown"),
        ("COMMIT sent", "answered otherwise", None, "refused"),
        ("COMMIT sent", "answered", None, "acked"),
        ("idle", "error", "57P03", "lost"),
    ],
)
def test_an_outcome_follows_from_when_and_what(
    phase: Phase, sign: Sign, sqlstate: str | None, outcome: str
) -> None:
    """The same error says one thing of a statement and another of a COMMIT (FM-15, FM-16, FM-19)."""
    assert became(phase, sign, sqlstate) == outcome


def test_only_a_clear_answer_to_commit_is_an_ack() -> None:
    """Nothing else is ever taken for success."""
    acked = [
        (p, s)
        for p in get_args(Phase)
        for s in get_args(Sign)
        if s not in ANSWERS and became(p, s) == "acked"
    ]
    assert acked == []


def test_the_page_is_what_the_table_writes() -> None:
    """docs/outcomes.md is generated: `python -m harness.stack.world.outcomes_page` writes it."""
    assert PAGE.read_text() == page()
