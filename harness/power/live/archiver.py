"""The archiver's process with a planted defect.

``python -m harness.power.live.archiver WHICH NAME --config FILE``, where WHICH is ``defect`` or ``near``
(its near miss), and NAME that of a defect in ``zoo``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from harness.power.live.zoo import planted
from harness.subject.reference import process
from harness.subject.reference.archiver import Archiver
from harness.subject.reference.config import read_config

PROGRAM = ("-m", "harness.power.live.archiver")


def program(name: str, *, near: bool) -> tuple[str, ...]:
    """Return the arguments for Python that run it, before ``--config FILE``."""
    return (*PROGRAM, "near" if near else "defect", name)


def main(arguments: Sequence[str]) -> int:
    """Archive until stopped; return the exit code."""
    which, name, _, config = arguments
    plant = planted(name, near=which == "near")
    kind = Archiver if plant.archiver is None else plant.archiver(read_config(config))
    return process.run(config, kind=kind)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
