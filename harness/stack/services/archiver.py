"""The reference archiver, as a child process: ``python -m harness archive run --config FILE``."""

from __future__ import annotations

from pathlib import Path

import harness
from harness.stack.service import Command, Fact, ServiceSpec, Site

CONFIG_FILE = "archiver.json"
PROGRAM = ("-m", "harness", "archive", "run")


def archiver(site: Site, config: str, ready: Fact, program: tuple[str, ...] = PROGRAM) -> ServiceSpec:
    """Describe the archiver; ``config`` is its configuration file's text, ``ready`` its fact.

    ``program``: what Python runs, before ``--config FILE``.
    """
    return ServiceSpec(
        name="archiver",
        run=Command(
            program="python",
            arguments=(*program, "--config", site.file("archiver", CONFIG_FILE)),
        ),
        ready=ready,
        environment={
            "PYTHONPATH": str(Path(harness.__file__).parents[1]),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        files={CONFIG_FILE: config},
    )
