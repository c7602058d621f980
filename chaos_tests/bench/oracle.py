"""How fast the judge is: run folders of three sizes, each judged from its files in a process of its own.

Seconds are processor time of one core, from the first file opened to the verdict. What bare decoding of the
same files takes is told beside it; nothing in Python can be faster than that.
"""

from __future__ import annotations

import gc
import multiprocessing
import platform
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

import msgspec
from rich.console import Console

from chaos_tests.bench.large_run import Shape, make
from harness.judge import check_run
from harness.judge.load import read_run
from harness.judge.readings import rows_in

SHARES = (0.1, 0.3, 1.0)
OPERATIONS = 1_000_000
SPEED_S_MAX = 20.0
LINEAR_MAX = 1.5
"""Within so much of ten times the smallest, in proportion, the largest run must be."""

A = ParamSpec("A")
R = TypeVar("R")


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What one process took: seconds of processor time, peak memory, and what it found."""

    cpu_s: float
    peak_mb: int
    verdict: str = ""


def oracle(operations: int, tenants: int, console: Console, *, times: int = 1) -> bool:
    """Judge runs up to that size, each ``times`` times; return whether speed and near linearity held."""
    console.print(
        f"the judge on {platform.processor() or platform.machine()}, Python {platform.python_version()}"
    )
    spent = []
    with tempfile.TemporaryDirectory(prefix="restoreproof-oracle-") as place:
        for share in SHARES:
            shape = Shape(operations=round(operations * share), tenants=max(20, round(tenants * share)))
            spent.append(_one(Path(place) / str(share), shape, console, times))
    grown = spent[-1].cpu_s / spent[0].cpu_s * SHARES[0] / SHARES[-1]
    limit_s = SPEED_S_MAX * operations / OPERATIONS
    fast, linear = spent[-1].cpu_s < limit_s, grown < LINEAR_MAX
    console.print(
        f"seconds an operation, the largest run beside the smallest: {grown:.2f} times; under {LINEAR_MAX}:"
        f" {'held' if linear else 'NOT HELD'}\n"
        f"the largest run: {spent[-1].cpu_s:.1f} s; under {limit_s:.0f} s: {'held' if fast else 'NOT HELD'}"
    )
    return fast and linear and all(one.verdict == "proven" for one in spent)


def _one(folder: Path, shape: Shape, console: Console, times: int) -> Spent:
    made = _apart(make, folder, shape)
    read = min((_apart(_decoded, folder) for _ in range(times)), key=lambda one: one.cpu_s)
    judged = min((_apart(_judged, folder) for _ in range(times)), key=lambda one: one.cpu_s)
    console.print(
        f"{made.sent} transactions of {shape.tenants} tenants, {made.changes / made.sent:.2f} row changes"
        f" each, {made.rows} rows read back, {made.size_bytes / 1e6:.0f} MB of files:\n"
        f"    {judged.verdict} in {judged.cpu_s:.2f} s ({judged.cpu_s / made.sent * 1e6:.1f} µs an"
        f" operation), of which decoding takes {read.cpu_s:.2f} s; {judged.peak_mb} MB at the peak"
    )
    return judged


def _apart(call: Callable[A, R], *args: A.args, **kwargs: A.kwargs) -> R:
    """Call in a fresh process, so that nobody's memory counts but its own."""
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(call, *args, **kwargs).result()


def _judged(folder: Path) -> Spent:
    began_s = time.process_time()
    verdict = check_run(folder).verdict
    return Spent(cpu_s=time.process_time() - began_s, peak_mb=_peak_mb(), verdict=verdict)


def _decoded(folder: Path) -> Spent:
    """Decode all files, and keep what they hold as long as the judge does."""
    gc.disable()
    began_s = time.process_time()
    _, _, history, restored = read_run(folder)
    kept = (history, [rows_in(restored, file) for file in restored])
    return Spent(cpu_s=time.process_time() - began_s, peak_mb=_peak_mb(), verdict=f"{len(kept)}")


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
