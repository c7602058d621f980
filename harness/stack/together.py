"""Steps of a start, run side by side as far as their order allows, in threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal

import msgspec

from harness.model.errors import UnknownName


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """``run`` brings ``name`` up, once the steps named in ``after`` are done."""

    name: str
    run: Callable[[], None]
    after: tuple[str, ...] = ()


class StepSeen(msgspec.Struct, frozen=True, kw_only=True):
    """News of a step for whoever shows progress; ``spent_s`` counts from its own beginning."""

    name: str
    state: Literal["starting", "ready", "failed"]
    spent_s: float = 0.0


Progress = Callable[[StepSeen], None]


def silent(seen: StepSeen) -> None:
    """Show nothing: the do-nothing progress."""


def run_together(steps: Sequence[Step], *, progress: Progress, abandon: Callable[[], None]) -> None:
    """Run steps, listed so that each comes after those it waits for; return when all are done.

    The first failure is raised once ``abandon`` was called, which must make the others end soon. So it
    is with an interrupt of the calling thread.
    """
    pool = ThreadPoolExecutor(max_workers=len(steps), thread_name_prefix="stack")
    running: dict[str, Future[None]] = {}
    try:
        for step in steps:
            before = [running[name] for name in step.after]
            running[step.name] = pool.submit(run_step, step, before, progress)
        for future in running.values():
            future.result()
    except BaseException:
        abandon()
        raise
    finally:
        pool.shutdown(wait=True)


def chosen(steps: Sequence[Step], names: Collection[str]) -> list[Step]:
    """Return the steps of those names, each waiting only for others among them; raises UnknownName."""
    known = [step.name for step in steps]
    for name in names:
        if name not in known:
            raise UnknownName("service", name, known)
    return [
        msgspec.structs.replace(step, after=tuple(name for name in step.after if name in names))
        for step in steps
        if step.name in names
    ]


def run_step(step: Step, before: Sequence[Future[None]], progress: Progress) -> None:
    """Run one step after those ``before`` it, and tell ``progress``."""
    for earlier in before:
        earlier.result()
    began_s = time.monotonic()
    state: Literal["ready", "failed"] = "failed"
    progress(StepSeen(name=step.name, state="starting"))
    try:
        step.run()
        state = "ready"
    finally:
        progress(StepSeen(name=step.name, state=state, spent_s=time.monotonic() - began_s))
