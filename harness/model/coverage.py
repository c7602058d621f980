"""The coverage map: which fault met which stage of the pipeline under which kind of script.

A *cell* is (fault, stage, kind of script). A drill marks the cells of its own script for each fault that
was seen to bite; one that did not bite marks nothing. What a fault touches follows from its target.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from harness.model.faults import KINDS, Fault, Stage, names, stages_of, touches
from harness.model.faults import name_of as fault_name
from harness.model.history import FaultBegan
from harness.model.plan import Plan


class Cell(msgspec.Struct, frozen=True, order=True):
    """One cell: a fault by its name (``cut archiver-minio``), a stage, and a kind of script."""

    fault: str
    stage: Stage
    script: str


def marked(plan: Plan, began: Iterable[FaultBegan]) -> tuple[Cell, ...]:
    """Return the cells that a drill of ``plan`` marks, given what was seen of its faults; sorted."""
    bit = {entry.fault for entry in began if entry.bit}
    struck = [fault for number, fault in enumerate(plan.faults) if number in bit]
    return tuple(sorted({cell for fault in struck for cell in cells_of(fault, plan.scripts[0].kind)}))


def cells_of(fault: Fault, script: str) -> list[Cell]:
    """Return the cells that a fault marks when it bites under a kind of script."""
    name = fault_name(fault)
    return [Cell(name, stage, script) for stage in touches(fault).stages]


def cells_named(name: str, scripts: Iterable[str]) -> list[Cell]:
    """Return the cells that a fault of that name can mark under each of ``scripts``."""
    return [Cell(name, stage, script) for script in scripts for stage in stages_of(name)]


class Map(msgspec.Struct, frozen=True, kw_only=True):
    """How often each cell was marked. ``scripts``: the kinds of script there are; ``drills``: how many."""

    hits: dict[Cell, int]
    scripts: tuple[str, ...]
    drills: int

    @property
    def faults(self) -> tuple[str, ...]:
        """All faults by their names, those that are drawn and those that were met."""
        drawn = [name for kind, traits in KINDS.items() if traits.weight for name in names(kind)]
        return tuple(dict.fromkeys([*drawn, *sorted({cell.fault for cell in self.hits})]))

    def under(self, fault: str, stage: Stage) -> int:
        """Return under how many kinds of script a fault has met a stage."""
        return sum(1 for cell in self.hits if (cell.fault, cell.stage) == (fault, stage))

    @property
    def possible(self) -> int:
        """How many cells there are."""
        return sum(len(cells_named(fault, self.scripts)) for fault in self.faults)

    @property
    def empty(self) -> tuple[str, ...]:
        """Faults that were never met, by their names."""
        met = {cell.fault for cell in self.hits}
        return tuple(fault for fault in self.faults if fault not in met)

    @property
    def untried(self) -> tuple[str, ...]:
        """Kinds of script under which no fault was met."""
        met = {cell.script for cell in self.hits}
        return tuple(script for script in self.scripts if script not in met)


def merge(drills: Iterable[Iterable[Cell]], scripts: Iterable[str]) -> Map:
    """Put the cells of many drills together; ``scripts`` are those there are, met or not."""
    hits: dict[Cell, int] = {}
    count = 0
    for cells in drills:
        count += 1
        for cell in cells:
            hits[cell] = hits.get(cell, 0) + 1
    known = tuple(dict.fromkeys([*scripts, *sorted({cell.script for cell in hits})]))
    return Map(hits=hits, scripts=known, drills=count)
