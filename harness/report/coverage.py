"""The coverage map as people read it: a table that fits 80 columns, two lines for a campaign's end, JSON.

A number says under how many kinds of script faults of a kind have met a stage of the pipeline; a dot is a
cell that none has met yet, a blank one that none can.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from harness.model import coverage, folder
from harness.model.coverage import Cell, Map
from harness.model.errors import BadInput
from harness.model.faults import KINDS, STAGES, Stage, kind_words, names, stages_of
from harness.model.verdict import DrillVerdict, decode

WIDTH = 80
NAME_WIDTH = 18
DEEPEST = 2
"""Runs lie in a campaign's folder, and campaigns in one of all."""


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """One cell, and how often it was marked."""

    fault: str
    stage: str
    script: str
    times: int


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """The map as ``--json`` prints it."""

    drills: int
    cells: int
    possible: int
    never_met: tuple[str, ...]
    no_fault_under: tuple[str, ...]
    hits: tuple[Hit, ...]


def read(paths: Iterable[Path], scripts: Iterable[str]) -> Map:
    """Return the map of all judged runs in ``paths``: run folders, campaigns, or folders of campaigns.

    Raises BadInput for a path below which no judged run lies.
    """
    found = [verdict for path in paths for verdict in _verdicts(path)]
    return of(found, scripts)


def of(verdicts: Iterable[DrillVerdict], scripts: Iterable[str] = ()) -> Map:
    """Return the map of judged drills; ``scripts``: the kinds of script there are."""
    return coverage.merge((verdict.cells for verdict in verdicts), scripts)


def _verdicts(path: Path) -> Iterator[DrillVerdict]:
    patterns = ["/".join(["*"] * depth + [folder.VERDICT]) for depth in range(DEEPEST + 1)]
    files = sorted(file for pattern in patterns for file in path.glob(pattern))
    if not files:
        raise BadInput(
            f"{path} holds no judged run",
            cure="name run folders, campaigns, or the folder of all; `restoreproof check` judges a run",
        )
    for file in files:
        try:
            yield decode(file.read_bytes())
        except msgspec.DecodeError as error:
            raise BadInput(
                f"{file}: {error}", cure="judge that run again with `restoreproof check`"
            ) from None


def lines(the_map: Map) -> list[str]:
    """Return the map as text, no line longer than 80 characters."""
    kinds = [(kind_words(kind), names(kind)) for kind in KINDS]
    by_script = [(script, (script,)) for script in the_map.scripts]
    return [
        *_table("fault", kinds, lambda row, stage: _of_faults(the_map, row, stage)),
        "",
        *_table("kind of script", by_script, lambda row, stage: _of_scripts(the_map, row[0], stage)),
        "",
        *_wrapped(_figures(the_map)),
        *_wrapped(f"Faults never met: {by_kind(the_map.empty)}."),
        *_wrapped(f"Kinds of script under which none was met: {', '.join(the_map.untried) or 'none'}."),
    ]


def rows(the_map: Map) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the first table as data: a kind of fault, and its cell at each stage."""
    return tuple(
        (kind_words(kind), tuple(_of_faults(the_map, names(kind), stage) for stage in STAGES))
        for kind in KINDS
    )


Row = tuple[str, ...]


def _table(head: str, rows: Sequence[tuple[str, Row]], cell: Callable[[Row, Stage], str]) -> Iterator[str]:
    yield f"{head:{NAME_WIDTH}}" + "".join(f" {stage}" for stage in STAGES)
    for words, row in rows:
        cells = "".join(f" {cell(row, stage):>{len(stage)}}" for stage in STAGES)
        yield f"{words[:NAME_WIDTH]:{NAME_WIDTH}}{cells}".rstrip()


def _of_faults(the_map: Map, faults: Row, stage: Stage) -> str:
    """Under how many kinds of script faults of these names have met the stage."""
    if not any(stage in stages_of(fault) for fault in faults):
        return ""
    met = {cell.script for cell in the_map.hits if cell.stage == stage and cell.fault in faults}
    return str(len(met)) if met else "."


def _of_scripts(the_map: Map, script: str, stage: Stage) -> str:
    """How many faults have met the stage under this kind of script."""
    met = {cell.fault for cell in the_map.hits if (cell.stage, cell.script) == (stage, script)}
    return str(len(met)) if met else "."


def _figures(the_map: Map) -> str:
    share = 100 * len(the_map.hits) / max(1, the_map.possible)
    return (
        f"{len(the_map.hits)} of {the_map.possible} cells ({share:.1f} %) in {the_map.drills} drills: first"
        " under how many kinds of script a kind of fault has met a stage, then how many faults have met it"
        " under each kind of script."
    )


def by_kind(faults: Sequence[str]) -> str:
    """Name faults by their kind with their targets; all of a kind by the kind alone."""
    said = []
    for kind in KINDS:
        words, every = kind_words(kind), names(kind)
        some = [fault.removeprefix(words).strip() for fault in every if fault in faults]
        if len(some) == len(every):
            said.append(words if every == (words,) else f"{words} anything")
        elif some:
            said.append(f"{words} {', '.join(some)}")
    return "; ".join(said) or "none"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def sentence(the_map: Map) -> str:
    """Return the map in short, for a campaign's end; an empty text when no fault was met."""
    if not the_map.hits:
        return ""
    faults, scripts = {c.fault for c in the_map.hits}, {c.script for c in the_map.hits}
    stages = {cell.stage for cell in the_map.hits}
    return (
        f"{_many(len(faults), 'fault')} bit, at {len(stages)} of {_many(len(STAGES), 'stage')}, under"
        f" {_many(len(scripts), 'kind')} of script: {_many(len(the_map.hits), 'cell')} of the map"
        " (restoreproof coverage prints it)."
    )


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def unavailable_words(unavailable: Mapping[str, str]) -> str:
    """Say which faults the host can't do, with the reasons; an empty text when it can do all."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in unavailable.items():
        by_reason.setdefault(reason, []).append(name)
    said = "; ".join(f"{by_kind(names)} ({reason})" for reason, names in by_reason.items())
    return f"Not on this host: {said}." if said else ""


def told(the_map: Map) -> Told:
    """Return the map for ``--json``."""
    hits = sorted(the_map.hits.items(), key=lambda hit: hit[0])
    return Told(
        drills=the_map.drills,
        cells=len(the_map.hits),
        possible=the_map.possible,
        never_met=the_map.empty,
        no_fault_under=the_map.untried,
        hits=tuple(_hit(cell, times) for cell, times in hits),
    )


def _hit(cell: Cell, times: int) -> Hit:
    return Hit(fault=cell.fault, stage=cell.stage, script=cell.script, times=times)
