"""Reads a run folder and judges it. Nothing but the folder is read, and nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from harness.judge.case import Restored
from harness.judge.rulings import judge
from harness.model import folder as names
from harness.model import plan as plans
from harness.model.errors import BadInput
from harness.model.history import (
    CopyRestored,
    Ended,
    Entry,
    Note,
    ReadBack,
    StoredRow,
    decode_lines,
)
from harness.model.schema import Schema
from harness.model.stages import AnyStage, decode_stages
from harness.model.verdict import DrillVerdict

_row_decoder = msgspec.json.Decoder(StoredRow)


def check_run(folder: Path) -> DrillVerdict:
    """Judge the run in ``folder`` by its files alone.

    Raises BadInput when plan, schema or history are missing or can't be read. A history whose last line
    is torn ends there, and a file of rows that is missing or torn was not read back: both are unknown.
    """
    plan = plans.decode(_read(folder, names.PLAN), source=str(folder / names.PLAN))
    try:
        schema = msgspec.json.decode(_read(folder, names.SCHEMA), type=Schema)
    except msgspec.DecodeError as error:
        raise BadInput(f"{folder / names.SCHEMA}: {error}", cure=_CURE) from None
    history = list(_history(folder))
    return judge(plan, schema, history, _restored(folder, history), stages=lambda: _stages(folder))


_CURE = "give a run folder as `restoreproof drill` wrote it"


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise BadInput(f"{folder / name}: {error.strerror}", cure=_CURE) from None


def _history(folder: Path) -> Iterator[Entry]:
    """Yield the entries. A last line without its end was torn when the harness died: it is left out."""
    lines = _read(folder, names.HISTORY).splitlines(keepends=True)
    torn = bool(lines) and not lines[-1].endswith(b"\n")
    entries = decode_lines(lines[:-1] if torn else lines, source=str(folder / names.HISTORY))
    for entry in entries:
        if not (torn and isinstance(entry, Ended)):
            yield entry
    if torn:
        yield Note(at_s=0.0, text="the last line of the history is torn")


def _restored(folder: Path, history: list[Entry]) -> Restored:
    named = {entry.file for entry in history if isinstance(entry, ReadBack | CopyRestored)}
    files = {*named, names.SHARED_FILE} - {""}
    read = {file: _rows(folder / file) for file in sorted(files)}
    return {file: rows for file, rows in read.items() if rows is not None}


def _stages(folder: Path) -> list[AnyStage]:
    """Return what the stages held, as far as it was stored whole."""
    stages: list[AnyStage] = []
    try:
        with (folder / names.STAGES).open("rb") as lines:
            stages.extend(decode_stages(lines))
    except (OSError, BadInput):
        pass  # nobody is blamed by what is not there
    return stages


def _rows(path: Path) -> list[StoredRow] | None:
    """Return the rows stored in a file, None when it is missing or torn."""
    try:
        return [_row_decoder.decode(line) for line in path.read_bytes().splitlines() if line.strip()]
    except (OSError, msgspec.DecodeError):
        return None
