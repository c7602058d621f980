"""The run folder while a drill runs: the one place that writes it.

Two journals with one protocol: ``FolderJournal`` writes a run folder, line by line and unbuffered, so that
even a killed harness leaves all it had seen; ``MemoryJournal`` keeps the values themselves, for drills on a
virtual clock. Both count seconds from the drill's start, on the drill's clock.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import msgspec

from harness.drive.ports import Clock
from harness.model import folder, history, plan
from harness.model.errors import BadInput
from harness.model.schema import Schema
from harness.model.stages import AnyStage, encode_stage

Environment = Mapping[str, object]
"""Versions and settings, for people and for later runs; plain JSON values."""


class Journal(Protocol):
    """Where a drill writes down what it does and sees."""

    def now_s(self) -> float:
        """Return seconds since the drill's start: the ``at_s`` of what is seen now."""
        ...

    def begin(self, the_plan: plan.Plan, schema: Schema) -> float:
        """Keep what the drill is given, count seconds from here; return the wall clock, for people."""
        ...

    def write(self, entry: history.AnyEntry) -> None:
        """Add one entry to the history."""
        ...

    def store(self, file: str, rows: Iterable[history.StoredRow]) -> None:
        """Add rows read back to ``file`` (relative to the run folder), made when absent."""
        ...

    def trace(self, stages: Iterable[AnyStage]) -> None:
        """Add what stages of the pipeline hold."""
        ...


class MemoryJournal:
    """A journal of values: ``entries`` in order, ``restored`` rows by file.

    ``traced``: what stages hold, as it was handed over; nobody has iterated over it yet.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start_s = 0.0
        self.entries: list[history.AnyEntry] = []
        self.restored: dict[str, list[history.StoredRow]] = {}
        self.traced: list[Iterable[AnyStage]] = []

    def now_s(self) -> float:
        """Return seconds since the drill's start."""
        return self._clock.now_s() - self._start_s

    def begin(self, the_plan: plan.Plan, schema: Schema) -> float:  # noqa: ARG002 - its maker has them
        """Count from now on. There is no wall clock in memory."""
        self._start_s = self._clock.now_s()
        return 0.0

    def write(self, entry: history.AnyEntry) -> None:
        """Add one entry."""
        self.entries.append(entry)

    def store(self, file: str, rows: Iterable[history.StoredRow]) -> None:
        """Add rows to those of ``file``."""
        self.restored.setdefault(file, []).extend(rows)

    def trace(self, stages: Iterable[AnyStage]) -> None:
        """Keep them for who asks."""
        self.traced.append(stages)


class FolderJournal:
    """A journal in a run folder, which is made when absent. Close it, or use it as a context.

    Raises BadInput when the folder holds a run already.
    """

    def __init__(self, path: Path, clock: Clock, environment: Environment) -> None:
        self._path = path
        self._clock = clock
        self._environment = environment
        self._start_s = 0.0
        (path / folder.RESTORED).mkdir(parents=True, exist_ok=True)
        # Unbuffered: a line is with the kernel before the drill goes on, whatever becomes of the drill.
        try:
            self._history = (path / folder.HISTORY).open("xb", buffering=0)
        except FileExistsError:
            raise BadInput(f"{path} holds a run already", cure="name another folder") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the history; may be called twice."""
        self._history.close()

    def now_s(self) -> float:
        """Return seconds since the drill's start."""
        return self._clock.now_s() - self._start_s

    def begin(self, the_plan: plan.Plan, schema: Schema) -> float:
        """Write plan, schema and environment; count from now on."""
        (self._path / folder.PLAN).write_bytes(plan.encode(the_plan))
        for name, value in ((folder.SCHEMA, schema), (folder.ENVIRONMENT, self._environment)):
            (self._path / name).write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=1))
        self._start_s = self._clock.now_s()
        return time.time()

    def write(self, entry: history.AnyEntry) -> None:
        """Add one line to the history."""
        self._history.write(history.encode_line(entry))

    def store(self, file: str, rows: Iterable[history.StoredRow]) -> None:
        """Add lines to ``file``."""
        with (self._path / file).open("ab") as lines:
            lines.writelines(history.encode_line(row) for row in rows)

    def trace(self, stages: Iterable[AnyStage]) -> None:
        """Add lines to the file of stages."""
        with (self._path / folder.STAGES).open("ab") as lines:
            lines.writelines(map(encode_stage, stages))
