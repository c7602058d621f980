"""Reads a run folder and judges it. Nothing but the folder is read, and nothing is written.

The history is decoded piece by piece while it is joined to transactions, and rows stay undecoded, so that a
run of gigabytes is judged in a small multiple of what its files take.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import SEEK_END
from itertools import chain
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import BinaryIO

import msgspec

from harness.judge.decoding import decode_all
from harness.judge.readings import Restored, owned_keys
from harness.judge.rulings import judge
from harness.judge.timeline import Begin, Transaction
from harness.model import folder as names
from harness.model import outline
from harness.model.errors import BadInput
from harness.model.history import (
    Ended,
    Entry,
    Note,
    StoredRow,
)
from harness.model.plan import Plan
from harness.model.schema import Schema
from harness.model.stages import AnyStage, decode_stages
from harness.model.verdict import DrillVerdict


def check_run(folder: Path) -> DrillVerdict:
    """Judge the run in ``folder`` by its files alone.

    Raises BadInput when plan, schema or history are missing or can't be read, or when a row that matters
    is none. A history whose last line
    is torn ends there, and a file of rows that is missing or torn was not read back: both are unknown.
    """
    with _cycles_not_looked_for():
        return judge(*read_run(folder), stages=lambda: _stages(folder))


def read_run(folder: Path) -> tuple[Plan, Schema, Iterator[Entry | Transaction], Restored]:
    """Return what is in a run folder, as the judge takes it; raises BadInput as ``check_run`` does.

    The history is decoded, and found to be damaged, while somebody goes through it.
    """
    with _mapped(folder / names.PLAN) as data:
        plan = outline.decode(data, source=str(folder / names.PLAN))
    try:
        schema = msgspec.json.decode(_read(folder, names.SCHEMA), type=Schema)
    except msgspec.DecodeError as error:
        raise BadInput(f"{folder / names.SCHEMA}: {error}", cure=_CURE) from None
    return plan, schema, _entries(folder / names.HISTORY, owned_keys(schema)), _Files(folder)


BUFFER_BYTES = 1 << 20
"""So many at a time are read of a file; by the few thousand that Python takes a large one takes long."""

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
    with _opened(folder / name) as file:
        return file.read()


@contextmanager
def _mapped(path: Path) -> Iterator[bytes | memoryview]:
    """Give the bytes of a large file without a copy, which takes a fifth of the time of reading it."""
    with _opened(path) as file:
        if file.seek(0, SEEK_END) == 0:  # of nothing there is no map
            yield b""
            return
        with mmap(file.fileno(), 0, access=ACCESS_READ) as there, memoryview(there) as data:
            yield data


def _entries(path: Path, owned: Begin) -> Iterator[Entry | Transaction]:
    """Yield the entries. A last line without its end was torn when the harness died: it is left out."""
    with _opened(path) as file:
        torn = file.seek(0, SEEK_END) > 0 and file.seek(-1, SEEK_END) >= 0 and file.read() != b"\n"
        file.seek(0)
        entries = chain.from_iterable(decode_all(file, owned, source=str(path)))
        if not torn:
            yield from entries
            return
        yield from (entry for entry in entries if not isinstance(entry, Ended))
        yield Note(at_s=0.0, text="the last line of the history is torn")


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb", buffering=BUFFER_BYTES)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}", cure=_CURE) from None


def _stages(folder: Path) -> list[AnyStage]:
    """Return what the stages held, as far as it was stored whole."""
    stages: list[AnyStage] = []
    try:
        with (folder / names.STAGES).open("rb") as lines:
            stages.extend(decode_stages(lines))
    except (OSError, BadInput):
        pass  # nobody is blamed by what is not there
    return stages


_row_decoder = msgspec.json.Decoder(StoredRow)


class _Files(Mapping[str, Sequence[StoredRow]]):
    """The rows read back, by file, each read when it is asked for; one missing or torn is not there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __getitem__(self, file: str) -> Sequence[StoredRow]:
        try:
            return _row_decoder.decode_lines((self._folder / file).read_bytes())
        except (OSError, msgspec.DecodeError):
            raise KeyError(file) from None

    def __iter__(self) -> Iterator[str]:
        return (
            f"{names.RESTORED}/{file.name}" for file in sorted((self._folder / names.RESTORED).iterdir())
        )

    def __len__(self) -> int:
        return len(list(iter(self)))
