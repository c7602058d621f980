"""Fetches what is missing, all at once: MinIO's build takes longest and runs beside the downloads."""

from __future__ import annotations

from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

from harness.stack.programs import cache, children, parts
from harness.stack.programs.located import Programs, locate
from harness.stack.programs.parts import Part
from harness.stack.programs.progress import Job, Watcher, watched

LIMIT_S = 1800.0


def fetch(watcher: Watcher) -> Programs:
    """Fetch and build what is missing, told to ``watcher``; returns all programs.

    One set-up at a time works on a cache. Raises MissingProgram for what can't be had, TimedOut.
    """
    if missing(watcher):
        with cache.locked(cache.root(), lambda: watcher.note("setup", "waiting for another one")):
            # The other one may have brought it all by now.
            _install_all(missing(watcher), watcher)
    return locate()


def missing(watcher: Watcher) -> list[Part]:
    """Return the parts that are not there, or not as they were recorded; what takes longest comes first."""
    compiler = parts.compiler(lambda part: install(part, watcher))
    wanted = (*parts.built(compiler), *parts.pinned())
    return [part for part in wanted if cache.fault(part.folder)]


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


def _install_all(wanted: list[Part], watcher: Watcher) -> None:
    """Install in parallel; the first failure, or a signal, ends the others with their children."""
    if not wanted:
        return
    with ThreadPoolExecutor(len(wanted)) as pool:
        try:
            futures = [pool.submit(install, part, watcher) for part in wanted]
            done, _ = wait(futures, timeout=LIMIT_S, return_when=FIRST_EXCEPTION)
            _raise_first(done)
        except BaseException:
            children.stop_all()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _raise_first(done: set[Future[None]]) -> None:
    for future in done:
        future.result()


def _arrived_bytes(part: Part) -> int:
    """Downloads only: what is unpacked from them is another size."""
    downloads = part.folder.parent.glob(f"{cache.SCRATCH}{part.name}-*/{parts.DOWNLOAD}*")
    return sum(cache.size_bytes(folder) for folder in downloads)
