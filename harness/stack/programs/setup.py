"""Fetches what is missing, all at once: MinIO's build takes longest and runs beside the downloads.

What needs others is made once they are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack

from harness.model.errors import TimedOut
from harness.stack.programs import cache, children, parts
from harness.stack.programs.located import Programs, locate
from harness.stack.programs.parts import Part
from harness.stack.programs.progress import Job, Watcher, watched

LIMIT_S = 1800.0


def fetch(watcher: Watcher) -> Programs:
    """Fetch and build what is missing, told to ``watcher``; returns all programs.

    Raises MissingProgram for what can't be had, TimedOut.
    """
    bring(wanted(watcher), watcher)
    return locate()


def wanted(watcher: Watcher) -> tuple[Part, ...]:
    """Return all parts of the stack, there or not; what takes longest comes first."""
    compiler = parts.compiler(lambda part: install(part, watcher))
    return (*parts.built(compiler), *parts.pinned())


def missing(among: Sequence[Part]) -> list[Part]:
    """Return those parts that are not there, or not as they were recorded."""
    return [part for part in among if cache.fault(part.folder)]


def bring(among: Sequence[Part], watcher: Watcher) -> None:
    """Install those parts that are missing; one set-up at a time works on a cache."""
    absent = missing(among)
    if not absent:
        return
    with ExitStack() as locks:
        # In one order for all, so that two set-ups never wait for each other.
        for folder in sorted({part.folder.parent for part in absent}):
            locks.enter_context(cache.locked(folder, lambda: _say_waiting(watcher)))
        # The other one may have brought it all by now.
        still = missing(among)
        _install_all([part for part in still if not part.needs], watcher)
        _install_all([part for part in still if part.needs], watcher)


def install(part: Part, watcher: Watcher) -> None:
    """Fetch one part, told to ``watcher``."""
    job = Job(
        name=part.name,
        title=part.title,
        expected_bytes=part.download_bytes,
        measure=lambda: _arrived_bytes(part),
    )
    with watched(watcher, job, lambda: cache.size_bytes(part.folder)):
        part.install(lambda text: watcher.note(part.name, text))


def _install_all(wanted: Sequence[Part], watcher: Watcher) -> None:
    """Install in parallel; the first failure, or a signal, ends the others with their children."""
    if not wanted:
        return
    children.begin()
    with ThreadPoolExecutor(len(wanted)) as pool:
        try:
            futures = [pool.submit(install, part, watcher) for part in wanted]
            _raise_first(*wait(futures, timeout=LIMIT_S, return_when=FIRST_EXCEPTION))
        except BaseException:
            children.stop_all()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _say_waiting(watcher: Watcher) -> None:
    watcher.note("setup", "waits for another one to end")


def _raise_first(done: set[Future[None]], pending: set[Future[None]]) -> None:
    for future in done:
        future.result()
    if pending:
        raise TimedOut("all programs are fetched", LIMIT_S, f"{len(pending)} still under way")


def _arrived_bytes(part: Part) -> int:
    """Downloads only: what is unpacked from them is another size."""
    downloads = part.folder.parent.glob(f"{cache.SCRATCH}{part.name}-*/{parts.DOWNLOAD}*")
    return sum(cache.size_bytes(folder) for folder in downloads)
