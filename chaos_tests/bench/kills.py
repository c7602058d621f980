"""pytest killed with SIGKILL in the middle of a drill, again and again, beside a living neighbour's stack.

After each kill another pytest runs one small test: its start must sweep whatever the dead one left, and
leave the neighbour alone. What is still there of either is printed, and fails the bench.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from fixtures.stack import traces
from harness.model import folder as run_folder
from harness.stack import folder
from harness.stack.options import StackOptions
from harness.stack.stack import Stack
from harness.stack.wait import NotYet, wait_for

DRILL_S_MAX = 180.0
NEXT_RUN_S_MAX = 120.0

_DRILL = """
from harness.generate.campaigns import campaign
from harness.schemas import load

def test_a_drill(drill):
    [plan] = campaign(load("helpdesk").schema, seed=1, plans=1, survivors="all")
    assert drill(plan).verdict == "proven"
"""
_NEXT = """
def test_a_bucket(locked_bucket):
    assert locked_bucket.bucket
"""


def kills(options: StackOptions, times: int, console: Console) -> bool:
    """Kill ``times`` runs; return whether each left nothing after the next, and the neighbour untouched."""
    held = True
    with (
        tempfile.TemporaryDirectory(prefix="restoreproof-kills-") as place,
        Stack.start(options, only=("proxy-data", "minio")) as neighbour,
    ):
        before = traces(options, neighbour.folder)
        for number in range(1, times + 1):
            had, left = _kill_and_run_again(options, Path(place) / str(number))
            changed = set(before) ^ set(traces(options, neighbour.folder))
            console.print(
                f"kill {number} of {times}: {had} things left by the dead, {len(left)} after the next"
                f" run; the neighbour {'IS NOT AS IT WAS' if changed else 'is untouched'}"
            )
            for thing in (*left, *sorted(changed)):
                console.print(f"    {thing}")
            held = held and had > 0 and not left and not changed
    return held


def _kill_and_run_again(options: StackOptions, place: Path) -> tuple[int, list[str]]:
    """Return how many things the killed run had left, and those that are there after the next run."""
    place.mkdir()
    (place / "test_drill.py").write_text(_DRILL)
    (place / "test_next.py").write_text(_NEXT)
    with _pytest(options, place, "test_drill.py", f"--restoreproof-out={place / 'runs'}") as killed:
        _await_writers(place / "runs", killed)
        stacks = _stacks_of(killed.pid)
        killed.kill()
        killed.wait(timeout=NEXT_RUN_S_MAX)
    had = sum(len(traces(options, stack)) for stack in stacks)
    with _pytest(options, place, "test_next.py") as following:
        if following.wait(timeout=NEXT_RUN_S_MAX):
            return had, [f"the next run failed: {(place / 'said').read_text()[-2000:]}"]
    return had, [thing for stack in stacks for thing in traces(options, stack)]


@contextmanager
def _pytest(options: StackOptions, place: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "pytest", "-q", f"--restoreproof-host={options.host}", *arguments]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with (
        (place / "said").open("wb") as said,
        subprocess.Popen(command, cwd=place, env=environment, stdout=said, stderr=said) as running,
    ):
        try:
            yield running
        finally:
            running.kill()


def _await_writers(runs: Path, running: subprocess.Popen[bytes]) -> None:
    """Wait until the drill's writers write: services, connections and files are all in use then."""

    def probe() -> None:
        histories = list(runs.glob(f"*/{run_folder.HISTORY}"))
        if not any(b'"write"' in history.read_bytes() for history in histories):
            raise NotYet(f"{len(histories)} histories, pytest ended with {running.poll()}")

    wait_for("the writers of the drill write", probe, limit_s=DRILL_S_MAX, poll_s=0.2)


def _stacks_of(pid: int) -> list[Path]:
    """Return the folders of all stacks whose owner is that process."""
    places = {place: folder.owner_of(place) for place in folder.default_root().iterdir()}
    return [place for place, owner in places.items() if owner is not None and owner.pid == pid]
