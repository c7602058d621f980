"""``make bench``: measure, print each figure beside its limit, end with 1 when one is not held."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from chaos_tests.bench import measure


def main() -> int:
    """Measure everything; return 0 when all limits held."""
    console = Console(highlight=False)
    figures: list[measure.Figure] = []
    with tempfile.TemporaryDirectory(prefix="restoreproof-bench-") as out:
        takes: tuple[Callable[[], list[measure.Figure]], ...] = (
            lambda: [measure.start(5)],
            lambda: measure.drills(Path(out)),
            lambda: [measure.bytes_read()],
        )
        for take in takes:
            for figure in take():
                mark = "held" if figure.held else "NOT HELD"
                console.print(f"{figure.what}:\n    {figure.value}; {figure.limit}: {mark}")
                figures.append(figure)
    return 0 if all(figure.held for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
