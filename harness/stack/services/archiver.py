"""The reference archiver, as a child process: ``python -m harness archive run --config FILE``."""

from __future__ import annotations

from pathlib import Path

import harness
from harness.stack.service import Command, Fact, ServiceSpec, Site

CONFIG_FILE = "archiver.json"


def archiver(site: Site, config: str, ready: Fact) -> ServiceSpec:
    """Describe the archiver; ``config`` is its configuration file's text, ``ready`` its fact."""
    return ServiceSpec(
        name="archiver",
        run=Command(
            program="python",
            arguments=(
                *("-m", "harness", "archive", "run"),
                *("--config", site.file("archiver", CONFIG_FILE)),
            ),
        ),
        ready=ready,
        environment={
            "PYTHONPATH": str(Path(harness.__file__).parents[1]),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        files={CONFIG_FILE: config},
    )
