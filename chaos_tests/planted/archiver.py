"""The archiver's process with a planted defect.

Run as ``python -m chaos_tests.planted.archiver SWITCH --config FILE``.

Only the planted tests start it. SWITCH is a file with the name of a defect; when it is empty, or not there,
the archiver is the reference one.
"""

from __future__ import annotations

import sys
from pathlib import Path

from harness.simulate.defects import defect
from harness.subject.reference import process
from harness.subject.reference.archiver import Archiver


def main(switch: str, _: str, config: str) -> int:
    """Archive until stopped; return the exit code."""
    file = Path(switch)
    name = file.read_text().strip() if file.exists() else ""
    return process.run(config, kind=defect(name).parts().archiver if name else Archiver)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
