"""``python -m harness.stack.make_images``: what ``make images`` runs; builds what is missing, lists all."""

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
from harness.stack.images import Image, ImageName, base, engine, ensure, repository
from harness.stack.programs.progress import Job, Watcher, for_terminal
from harness.stack.stack import Stack
from harness.stack.together import StepSeen

EXIT_INTERRUPTED = 130
MB = 1_000_000
TITLES = {
    "base": f"{base.DEBIAN}, pulled or made",
    "postgres": "building, with packages of Debian",
    "java": "building, with Java, Kafka and Debezium of the cache",
    "minio": "building, with MinIO of the cache",
    "toxiproxy": "building, with Toxiproxy of the cache",
    "images": "another build of images goes first",
    "java caches": "recording a small stack, so that Java starts in half the time",
}


def main() -> int:
    """Build what is missing; returns the exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    began_s = time.monotonic()
    try:
        wanted = settings.stack_options("containers").images
        with for_terminal() as watcher:
            images = ensure(wanted, Told(watcher, wanted), prepare=Stack.prepare)
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

    def __init__(self, watcher: Watcher, wanted: Mapping[str, str]) -> None:
        self._watcher = watcher
        self._wanted = wanted
        self._jobs: dict[str, Job] = {}

    def __call__(self, seen: StepSeen) -> None:
        """Pass the news on."""
        if seen.state == "starting":
            job = Job(name=seen.name, title=self._title(seen.name), expected_bytes=0, measure=lambda: 0)
            self._jobs[seen.name] = job
            self._watcher.begin(job)
            return
        failed = seen.state == "failed"
        size_bytes = 0 if failed else self._size_bytes(seen.name)
        self._watcher.end(
            self._jobs[seen.name],
            size_bytes=size_bytes,
            elapsed_s=seen.spent_s,
            error="failed" if failed else "",
        )

    def _title(self, name: str) -> str:
        return f"pulling {self._wanted[name]}" if name in self._wanted else TITLES.get(name, "")

    def _size_bytes(self, name: str) -> int:
        """The whole image, what it shares with others included; 0 for a step that makes none."""
        with engine.connected() as client:
            reference = base.present(client) if name == "base" else self._wanted.get(name, repository(name))
            return max((image.attrs["Size"] for image in client.images.list(name=reference)), default=0)


def listing(images: Mapping[ImageName, Image]) -> Table:
    """Return a table of images: name, reference, the version of its program, size with the base."""
    table = Table.grid(padding=(0, 2))
    for column in ("name", "reference"):
        table.add_column(column, overflow="fold", no_wrap=True)
    table.add_column("version", overflow="fold")
    table.add_column("size", no_wrap=True, justify="right")
    for image in images.values():
        size = f"{image.size_bytes / MB:.0f} MB"
        table.add_row(image.name, image.reference, image.versions[image.name], size)
    return table


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
