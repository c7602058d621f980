"""docs/power.md tells the results that are stored beside it, and today's code can read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.model.power import Power, decode
from harness.report import power as report

DOCS = Path(__file__).parents[2] / report.DOCS


def stored(host: str) -> Power:
    """Return the result of that host."""
    path = DOCS / report.STORED / f"{host}.json"
    return decode(path.read_bytes(), source=str(path))


def test_the_page_is_what_the_stored_results_say() -> None:
    """docs/power.md is generated: `python -m harness.report.power` writes it from docs/power."""
    assert (DOCS / report.PAGE).read_text(encoding="utf-8") == report.page_of(DOCS)


@pytest.mark.parametrize("host", ["simulated", "local"])
def test_each_result_is_of_its_host_and_has_tried_something(host: str) -> None:
    """Neither result stands in the other's place, and trials are of defects that it tells of."""
    power = stored(host)
    assert (power.asked.host, power.live) == (host, host == "local")
    assert power.trials
    assert {trial.defect for trial in power.trials} <= {row.planted.name for row in power.rows()}


def test_the_simulators_result_is_whole_and_sharp() -> None:
    """What is published of the simulator was done to its end, near misses too, and missed nothing."""
    power = stored("simulated")
    assert (power.whole, power.sharp, power.near_untried) == (True, True, ())
