"""One stack with a defect planted in it, on which plans are run and judged."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from harness.drive.campaign import Series
from harness.judge import check_run
from harness.model.plan import Plan
from harness.model.verdict import DrillVerdict
from harness.power.live.archiver import program
from harness.power.live.plant import Plant
from harness.schemas import LoadedSchema
from harness.simulate.faulty import Wrapped
from harness.stack.options import StackOptions
from harness.stack.programs import locate
from harness.stack.programs.planted import planted as planted_programs
from harness.stack.programs.progress import for_terminal
from harness.stack.stack import Stack
from harness.stack.world.clock import WallClock
from harness.stack.world.open import archive_config, open_world
from harness.subject.port import Subject
from harness.subject.reference.adapters.wiring import holdings_of, subject_of
from harness.subject.reference.config import ArchiveConfig


class Bench:
    """A running stack with ``plant`` in it; made by ``open_bench``."""

    def __init__(self, stack: Stack, loaded: LoadedSchema, plant: Plant, loop: asyncio.Runner) -> None:
        self._loop = loop
        self._plant = plant
        self._config = config = archive_config(stack, loaded)
        self._subject = Wrapped(_subject(plant, config))

        def subject_at(url: str) -> Subject:
            there = msgspec.structs.replace(config, s3_endpoint=url, s3_restorer_endpoint=url)
            return _subject(self._plant, there)

        world = open_world(
            stack,
            loaded,
            self._subject,
            subject_at,
            config=config,
            holdings=holdings_of(config, stack.endpoints.s3_direct),
            misset=plant.misset,
        )
        self._series = Series(world, loaded.schema, stack.evidence())

    def replant(self, plant: Plant) -> None:
        """Have another restorer or subject from the next drill on; all else stays."""
        self._plant = plant
        self._subject.inner = _subject(plant, self._config)

    def drill(self, plan: Plan, run: Path) -> DrillVerdict:
        """Run a plan into the folder ``run`` and judge it; raises what ended it."""
        self._loop.run(self._series.drill(plan, run))
        return check_run(run)


def _subject(plant: Plant, config: ArchiveConfig) -> Subject:
    made = subject_of(config, clock=WallClock(), restorer=plant.restorer, target=plant.target)
    return plant.subject(made, config)


@contextmanager
def open_bench(
    options: StackOptions, loaded: LoadedSchema, plant: Plant, name: str = "", *, near: bool = False
) -> Iterator[Bench]:
    """Start a stack with ``plant``, the defect ``name`` or its near miss; end it with the ``with``.

    Raises what ``Stack.start`` raises.
    """
    if plant.archiver is not None:
        misset = msgspec.structs.replace(plant.misset, archiver=program(name, near=near))
        plant = msgspec.structs.replace(plant, misset=misset)
    if plant.programs:
        with for_terminal() as watcher:
            programs = planted_programs(plant.programs, locate(), watcher, host=options.host)
        options = msgspec.structs.replace(options, programs=programs, java_options={})
    with Stack.start(options) as stack, asyncio.Runner() as loop:
        yield Bench(stack, loaded, plant, loop)
