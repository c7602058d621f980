"""Builds what is missing or stale, all at once after the base, one builder at a time on this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from harness.model.errors import MissingProgram
from harness.stack import java_training, programs
from harness.stack.images import base, engine, located, outdated
from harness.stack.images.build import build
from harness.stack.images.located import Image
from harness.stack.images.pull import pull
from harness.stack.images.recipes import ImageName, Recipe
from harness.stack.java_training import Prepare
from harness.stack.programs import Programs, cache, children
from harness.stack.together import Progress, Step, StepSeen, run_together


def ensure(
    wanted: Mapping[str, str],
    progress: Progress,
    among: Programs | None = None,
    prepare: Prepare | None = None,
) -> dict[ImageName, Image]:
    """Build ours that are missing or stale, pull the ``wanted`` ones that are absent; returns all images.

    ``prepare`` gives the stack on which Java's ahead-of-time caches are made, should the java image's be
    missing; without it that image does without. Told to ``progress``; nothing is told when nothing is to be
    done. Raises MissingProgram without an engine or for an image that can't be had, BadInput for one of
    configuration that does not fit.
    """
    carried = among or programs.locate()
    with engine.connected():  # before anything else is tried
        pass
    if prepare is not None and "java" not in located.replaced(wanted):
        java_training.ensure(carried, None, progress, prepare)
    if any(_lacking(wanted, carried)):
        with _turn(progress):
            _bring(wanted, carried, progress)
    return located.locate(wanted, carried)


@contextmanager
def _turn(progress: Progress) -> Iterator[None]:
    """Hold the right to build on this machine; waiting for it is a step of its own."""
    began_s = time.monotonic()
    waited = threading.Event()

    def tell() -> None:
        waited.set()
        progress(StepSeen(name="images", state="starting"))

    with cache.locked(base.folder_of_builds(), tell):
        if waited.is_set():
            progress(StepSeen(name="images", state="ready", spent_s=time.monotonic() - began_s))
        yield


def _lacking(wanted: Mapping[str, str], carried: Programs) -> tuple[list[Recipe], list[ImageName]]:
    """Return the recipes of ours that are missing or stale, and the names of others that are absent."""
    with engine.connected() as client:
        ours = [made for made in located.recipes_for(wanted, carried) if not located.find(client, made)]
        theirs = [name for name in located.replaced(wanted) if not located.is_there(client, wanted[name])]
    return ours, theirs


def _bring(wanted: Mapping[str, str], carried: Programs, progress: Progress) -> None:
    """Build and pull; the first failure, or an interrupt, ends the others."""
    ours, theirs = _lacking(wanted, carried)  # another builder may have brought it all by now
    stopping = threading.Event()
    steps = [
        *([Step(name="base", run=partial(_bring_base, stopping))] if ours else ()),
        *(Step(name=made.name, run=partial(build, made, stopping), after=("base",)) for made in ours),
        *(Step(name=name, run=partial(_pull, name, wanted[name], stopping)) for name in theirs),
    ]

    def abandon() -> None:
        stopping.set()
        children.stop_all()

    children.begin()
    if steps:
        run_together(steps, progress=progress, abandon=abandon)


def _bring_base(stopping: threading.Event) -> None:
    with engine.connected() as client:
        outdated.sweep(client)
        base.bring(client, stopping)


def _pull(name: ImageName, reference: str, stopping: threading.Event) -> None:
    with engine.connected() as client:
        refusal = pull(client, reference, stopping)
    if refusal:
        raise MissingProgram(
            f"the image {reference} for {name} is not there and can't be pulled: {refusal}",
            cure="build or load it into the engine, or name another one under [images]",
        )
