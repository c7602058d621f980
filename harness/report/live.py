"""What a person sees while a campaign runs: services coming up, then one line for the drill at work.

On a terminal the line is rewritten in place; elsewhere (a pipe, a dumb terminal, CI) each phase is a line
of its own. It fits the ``Progress`` protocols of ``drive`` and ``stack`` by shape alone.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from harness.model.plan import Plan
from harness.model.verdict import DrillVerdict
from harness.report.html import seconds
from harness.report.terminal import STYLE_OF


class Counts(Protocol):
    """Where a drill is; ``exposure_s`` is the age of the oldest acked write past the watermark."""

    @property
    def acked(self) -> int: ...

    @property
    def exposure_s(self) -> float: ...

    @property
    def restored(self) -> int: ...

    @property
    def to_restore(self) -> int: ...


class StepSeen(Protocol):
    """News of a service that comes up."""

    @property
    def name(self) -> str: ...

    @property
    def state(self) -> str: ...

    @property
    def spent_s(self) -> float: ...


class LiveView:
    """Shows a campaign as it runs; a context manager, since a terminal must be given back."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began_s = time.monotonic()
        self._drill = ""
        self._phase = ""
        self._live = Live(console=console, refresh_per_second=4, transient=True)
        self._rewrites = console.is_terminal and not console.is_dumb_terminal

    def __enter__(self) -> Self:
        if self._rewrites:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._rewrites:
            self._live.stop()

    def step(self, seen: StepSeen) -> None:
        """Hear that a service starts, is ready or failed."""
        if seen.state != "starting":
            self._say(f"  {seen.name:<15}{seen.state} after {seen.spent_s:.1f} s")

    def drill(self, number: int, of: int, plan: Plan) -> None:
        """Hear that a drill begins."""
        self._drill = f"drill {number}/{of}"
        self._say(f"{self._drill}: {plan.scripts[0].words} (survivors: {plan.survivors})")

    def phase(self, name: str) -> None:
        """Hear that the drill went on to another phase."""
        self._phase = name
        if not self._rewrites:
            self._say(f"  {self._spent()} {name}")
        self._line(f"{name} ...")

    def counts(self, counts: Counts) -> None:
        """Hear where the drill is."""
        words = [self._phase, f"{counts.acked} writes acked", f"exposure {counts.exposure_s:.1f} s"]
        if counts.to_restore:
            words.append(f"{counts.restored}/{counts.to_restore} tenants restored")
        self._line(", ".join(words))

    def judged(self, number: int, verdict: DrillVerdict) -> None:
        """Hear a verdict."""
        style = STYLE_OF[verdict.verdict]
        self._console.print(
            f"  {self._spent()} drill {number}: [{style}]{verdict.verdict}[/], "
            f"worst loss {seconds(verdict.worst_loss_s)}, "
            f"worst exposure {seconds(verdict.worst_exposure_s)}"
        )

    def _spent(self) -> str:
        return f"{time.monotonic() - self._began_s:6.1f} s"

    def _say(self, text: str) -> None:
        self._console.print(escape(text), highlight=False)

    def _line(self, text: str) -> None:
        if self._rewrites:
            line = Text(f"{self._spent()}  {self._drill}: {text}", overflow="ellipsis", no_wrap=True)
            self._live.update(line)
