"""The suites' fixtures, one plugin module per subject in ``fixtures/``, and which tests a host takes."""

from __future__ import annotations

import gc

import pytest

pytest_plugins = (
    "pytester",
    "fixtures.object_servers",
    "fixtures.planted",
    "fixtures.postgres",
    "fixtures.stack",
)

OF_THE_OTHER_HOST = {"local": "containers", "containers": "local_only"}
"""The marker of tests that make no sense on a host."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect, by name and in plain sight, the tests of the host that this run is not on."""
    marker = OF_THE_OTHER_HOST[config.getoption("--restoreproof-host")]
    elsewhere = [item for item in items if item.get_closest_marker(marker)]
    config.hook.pytest_deselected(items=elsewhere)
    items[:] = [item for item in items if item not in set(elsewhere)]


def pytest_collection_finish() -> None:
    """Look for cycles of objects less often: a tenth of the time of simulated drills went into it."""
    gc.freeze()
    gc.set_threshold(50_000)
