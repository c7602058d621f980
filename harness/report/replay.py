"""The command that runs a drill again, whole: with the run folder's path, the schema and the host."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path


def command(run: Path, environment: Mapping[str, str]) -> str:
    """Return the command for a run folder, quoted for a shell; ``environment``: what it names of its stack.

    The path is as it was given: the command is for the directory in which the run was made.
    """
    words = ["restoreproof", "replay", str(run)]
    if "schema" in environment:  # a folder of the user's own: the plan holds no more than its name
        words += ["--schema", environment["schema"]]
    if environment.get("host") == "containers":  # by itself it runs on plain processes
        words += ["--host", "containers"]
    return shlex.join(words)
