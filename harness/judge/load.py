"""Reads a run folder and judges it. Nothing but the folder is read, and nothing is written.

Files are read piece by piece, so that a run of gigabytes is judged in a multiple of what its rows take.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from harness.judge.readings import Lines, Restored
from harness.judge.rulings import judge
from harness.model import folder as names
from harness.model import outline
from harness.model.errors import BadInput
from harness.model.history import (
    CopyRestored,
    Ended,
    Entry,
    Note,
    ReadBack,
    Witnessed,
    decode_block,
)
from harness.model.plan import Plan
from harness.model.schema import Schema
from harness.model.stages import AnyStage, decode_stages
from harness.model.verdict import DrillVerdict

BLOCK_BYTES = 1 << 23


def check_run(folder: Path) -> DrillVerdict:
    """Judge the run in ``folder`` by its files alone.

    Raises BadInput when plan, schema or history are missing or can't be read. A history whose last line
    is torn ends there, and a file of rows that is missing or torn was not read back: both are unknown.
    """
    with _cycles_not_looked_for():
        return judge(*read_run(folder), stages=lambda: _stages(folder))


def read_run(folder: Path) -> tuple[Plan, Schema, list[Entry], Restored]:
    """Return what is in a run folder, as the judge takes it; raises BadInput as ``check_run`` does."""
    plan = outline.decode(_read(folder, names.PLAN), source=str(folder / names.PLAN))
    try:
        schema = msgspec.json.decode(_read(folder, names.SCHEMA), type=Schema)
    except msgspec.DecodeError as error:
        raise BadInput(f"{folder / names.SCHEMA}: {error}", cure=_CURE) from None
    history = _history(folder / names.HISTORY)
    return plan, schema, history, _Files(folder, history)


_CURE = "give a run folder as `restoreproof drill` wrote it"


@contextmanager
def _cycles_not_looked_for() -> Iterator[None]:
    """A history is millions of values without a cycle: looking for one takes most of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise _missing(folder / name, error) from None


def _missing(path: Path, error: OSError) -> BadInput:
    return BadInput(f"{path}: {error.strerror}", cure=_CURE)


def _history(path: Path) -> list[Entry]:
    """Return the entries. A last line without its end was torn when the harness died: it is left out."""
    history: list[Entry] = []
    try:
        file = path.open("rb")
    except OSError as error:
        raise _missing(path, error) from None
    with file:
        torn = _is_torn(file)
        line = 1
        for block in _blocks(file):
            history += decode_block(block, source=str(path), first=line)
            line += block.count(b"\n")
    if torn:
        history = [entry for entry in history if not isinstance(entry, Ended)]
        history.append(Note(at_s=0.0, text="the last line of the history is torn"))
    return history


def _is_torn(file: BinaryIO) -> bool:
    """Whether the last line lacks its end; leaves the file at its beginning."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 1))
    torn = file.read(1) not in (b"", b"\n")
    file.seek(0)
    return torn


def _stages(folder: Path) -> list[AnyStage]:
    """Return what the stages held, as far as it was stored whole."""
    stages: list[AnyStage] = []
    try:
        with (folder / names.STAGES).open("rb") as lines:
            stages.extend(decode_stages(lines))
    except (OSError, BadInput):
        pass  # nobody is blamed by what is not there
    return stages


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    """Yield all whole lines, many at a time."""
    rest = b""
    while read := file.read(BLOCK_BYTES):
        whole, end, begun = read.rpartition(b"\n")
        if end:
            yield rest + whole + end
            rest = begun
        else:
            rest += read


class _Files(Mapping[str, Lines]):
    """The rows read back, by file, each read when it is asked for; one missing is not there."""

    def __init__(self, folder: Path, history: Sequence[Entry]) -> None:
        self._folder, self._history = folder, history

    def __getitem__(self, file: str) -> Lines:
        try:
            return Lines((self._folder / file).read_bytes())
        except OSError:
            raise KeyError(file) from None

    def __iter__(self) -> Iterator[str]:
        read = (
            entry.file for entry in self._history if isinstance(entry, ReadBack | CopyRestored | Witnessed)
        )
        return iter(sorted({*read, names.SHARED_FILE} - {""}))

    def __len__(self) -> int:
        return len(list(iter(self)))
