"""What a human sees while programs are fetched: bars on a terminal, plain lines anywhere else.

A job says what it is about to bring and how to measure what has arrived; the progress decides when to look.
``Silent`` is the do-nothing beside the two real ones.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Protocol, Self, TextIO

import msgspec
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

STILL_S = 20.0
MB = 1_000_000


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One program on its way. ``expected_bytes``: what will be downloaded, 0 if nobody knows."""

    name: str
    title: str
    expected_bytes: int
    measure: Callable[[], int]


class Watcher(Protocol):
    """Is told of jobs from several threads at once."""

    def begin(self, job: Job) -> None:
        """``job`` starts."""
        ...

    def end(self, job: Job, *, size_bytes: int, elapsed_s: float, error: str) -> None:
        """``job`` is over: ``size_bytes`` on disk now, or ``error`` if it failed."""
        ...

    def note(self, name: str, text: str) -> None:
        """Something about the program ``name`` that its user should read."""
        ...


class Silent:
    """Watches and says nothing."""

    def begin(self, job: Job) -> None:
        """Say nothing."""

    def end(self, job: Job, *, size_bytes: int, elapsed_s: float, error: str) -> None:
        """Say nothing."""

    def note(self, name: str, text: str) -> None:
        """Say nothing."""


@contextmanager
def watched(watcher: Watcher, job: Job, final_size: Callable[[], int]) -> Iterator[None]:
    """Tell ``watcher`` of ``job`` around the block; an error in it is told and passes on."""
    began_s = time.monotonic()
    watcher.begin(job)
    try:
        yield
    except BaseException as failed:
        elapsed_s = time.monotonic() - began_s
        watcher.end(job, size_bytes=0, elapsed_s=elapsed_s, error=_in_words(failed))
        raise
    watcher.end(job, size_bytes=final_size(), elapsed_s=time.monotonic() - began_s, error="")


class Lines:
    """Plain lines: one at each start and end, and a sign of life for who runs long."""

    def __init__(self, stream: TextIO | None = None, *, still_s: float = STILL_S) -> None:
        self._stream = sys.stdout if stream is None else stream
        self._still_s = still_s
        self._jobs: dict[str, tuple[Job, float]] = {}
        self._guard = threading.Lock()
        self._over = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Self:
        self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._over.set()
        self._ticker.join()

    def begin(self, job: Job) -> None:
        """Write one line."""
        with self._guard:
            self._jobs[job.name] = (job, time.monotonic())
        size = f" ({_mb(job.expected_bytes)})" if job.expected_bytes else ""
        self.note(job.name, f"{job.title}{size}")

    def end(self, job: Job, *, size_bytes: int, elapsed_s: float, error: str) -> None:
        """Write one line."""
        with self._guard:
            self._jobs.pop(job.name, None)
        size = f"{_mb(size_bytes)}, " if size_bytes else ""
        failed = f"failed after {elapsed_s:.1f} s: {error}"
        self.note(job.name, failed if error else f"ready, {size}{elapsed_s:.1f} s")

    def note(self, name: str, text: str) -> None:
        """Write one line, whole even when several threads write."""
        self._stream.write(f"  {name:<11} {text}\n")
        self._stream.flush()

    def _tick(self) -> None:
        while not self._over.wait(self._still_s):
            with self._guard:
                jobs = tuple(self._jobs.values())
            for job, began_s in jobs:
                elapsed_s = time.monotonic() - began_s
                arrived = f", {_mb(job.measure())} so far" if job.expected_bytes else ""
                self.note(job.name, f"still at it{arrived}, {elapsed_s:.0f} s")


class Bars:
    """A line for each job on a terminal that can redraw: spinner, bar, size so far, time."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.fields[job]:<10}"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=16),
            _Arrived(),
            TimeElapsedColumn(),
            console=console,
            refresh_per_second=4,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begin(self, job: Job) -> None:
        """Add a line."""
        self._tasks[job.name] = self._progress.add_task(
            job.title, total=job.expected_bytes or None, job=job.name, measure=job.measure
        )

    def end(self, job: Job, *, size_bytes: int, elapsed_s: float, error: str) -> None:
        """Fill the bar, or say what went wrong."""
        del elapsed_s  # the line itself shows the time
        task = self._tasks[job.name]
        if error:
            self._progress.stop_task(task)
            self._progress.update(task, description="[red]failed", measure=None)
            self.note(job.name, error)
            return
        self._progress.update(task, total=size_bytes, completed=size_bytes, measure=None)

    def note(self, name: str, text: str) -> None:
        """Write one line above the bars."""
        self._progress.console.print(f"  {name:<11} {text}", highlight=False, markup=False)


class _Arrived(ProgressColumn):
    """The bytes that have arrived: looks at the folder each time the line is drawn."""

    def render(self, task: Task) -> Text:
        measure = task.fields.get("measure")
        if measure is None or task.total is None:
            return Text(_mb(int(task.completed)) if task.completed else "")
        task.completed = min(measure(), task.total)
        return Text(f"{_mb(int(task.completed))} of {_mb(int(task.total))}")


def for_terminal() -> AbstractContextManager[Watcher]:
    """Return bars for a terminal that can redraw, plain lines for a pipe or a dumb terminal."""
    console = Console()
    return Bars(console) if console.is_terminal and not console.is_dumb_terminal else Lines()


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / MB:.1f} MB"


def _in_words(failed: BaseException) -> str:
    return str(failed).splitlines()[0] if str(failed) else type(failed).__name__
