"""The breached drill on real services, with a short promise: told in time, broken, and nothing lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fixtures.breached import SHORT, breached_plan, states_s
from harness.model import folder
from harness.model.history import FaultBegan, Started, decode_lines
from harness.session import LiveSession
from harness.stack.options import StackOptions
from harness.subject.reference import process
from harness.subject.reference.config import encode_config

pytestmark = pytest.mark.live

BUDGET_S = 6.0
LOOKS_EVERY_S = 0.25


@contextmanager
def watched(config: Path) -> Iterator[list[tuple[float, str]]]:
    """Look at `archive status` all the while; give what it said and when, in seconds since 1970."""
    said: list[tuple[float, str]] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOKS_EVERY_S):
            said.append((time.time(), process.status(config).state))

    thread = threading.Thread(target=look, name="status")
    thread.start()
    try:
        yield said
    finally:
        over.set()
        thread.join()


def test_a_breach_is_told_within_five_seconds_and_broken_with_its_exposure(
    restoreproof_options: StackOptions, tmp_path: Path
) -> None:
    """By the status command and by the reports; once the link is back nothing acked is missing."""
    plan, run = breached_plan(BUDGET_S, SHORT), tmp_path / "run"
    config = tmp_path / "archiver.json"
    with LiveSession.open("shop", restoreproof_options, promise_s=BUDGET_S) as session:
        config.write_text(encode_config(session.config))
        with watched(config) as status:
            verdict = session.drill(plan, run)
    history = list(decode_lines((run / folder.HISTORY).read_bytes().splitlines()))
    wall_s = next(entry.wall_s for entry in history if isinstance(entry, Started))
    cut_s = next(entry.at_s for entry in history if isinstance(entry, FaultBegan))
    over_s = wall_s + cut_s + BUDGET_S
    assert next(at_s for at_s, state in status if state == "breached") < over_s + 5.0
    assert {state for at_s, state in status if wall_s + cut_s - 2.0 < at_s < wall_s + cut_s} <= {"ok"}
    said = states_s(history)
    assert next(at_s for at_s, state in said if state == "breached") < BUDGET_S + 5.0
    assert said[-1][1] == "ok"
    found = verdict.every_finding
    assert (verdict.verdict, verdict.outside) == ("broken", ())
    assert {finding.check for finding in found} == {"exposure"}, found
    assert verdict.worst_exposure_s is not None
    assert verdict.worst_exposure_s > BUDGET_S
    assert verdict.worst_loss_s == 0.0
