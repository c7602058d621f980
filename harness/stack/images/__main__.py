"""``python -m harness.stack.images``: what ``make images`` runs; builds what is missing, lists all."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Mapping
from types import FrameType
from typing import NoReturn

from rich.console import Console
from rich.table import Table

from harness.model.errors import RestoreproofError
from harness.stack import settings
from harness.stack.images import Image, ImageName, ensure
from harness.stack.programs.progress import Job, Watcher, for_terminal
from harness.stack.together import StepSeen

EXIT_INTERRUPTED = 130
MB = 1_000_000


def main() -> int:
    """Build what is missing; returns the exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    began_s = time.monotonic()
    try:
        wanted = settings.stack_options("containers").images
        with for_terminal() as watcher:
            images = ensure(wanted, Told(watcher))
    except RestoreproofError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - this is a command
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; no half-built image is used", file=sys.stderr)  # noqa: T201 - this is a command
        return EXIT_INTERRUPTED
    console = Console()
    console.print(listing(images))
    console.print(f"images: complete after {time.monotonic() - began_s:.1f} s")
    return 0


class Told:
    """Turns the news of steps into a watcher's: a progress for ``ensure``."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._jobs: dict[str, Job] = {}

    def __call__(self, seen: StepSeen) -> None:
        """Pass the news on."""
        if seen.state == "starting":
            self._jobs[seen.name] = Job(
                name=seen.name, title="starting", expected_bytes=0, measure=lambda: 0
            )
            self._watcher.begin(self._jobs[seen.name])
        else:
            error = "" if seen.state == "ready" else "failed"
            self._watcher.end(self._jobs[seen.name], size_bytes=0, elapsed_s=seen.spent_s, error=error)


def listing(images: Mapping[ImageName, Image]) -> Table:
    """Return a table of images: name, reference, the version of its program, size with the base."""
    table = Table.grid(padding=(0, 2))
    for image in images.values():
        size = f"{image.size_bytes / MB:.0f} MB"
        table.add_row(image.name, image.reference, image.versions[image.name], size)
    return table


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
