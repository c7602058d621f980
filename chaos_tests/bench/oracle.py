"""How fast the judge is: run folders of three sizes, each judged from its files in a process of its own.

Seconds are processor time of one core, from the first file opened to the verdict. What bare decoding of the
same files takes is told beside it; nothing in Python can be faster than that.
"""

from __future__ import annotations

import gc
import multiprocessing
import platform
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

import msgspec
from rich.console import Console
from rich.table import Table

from chaos_tests.bench.large_run import Made, Shape, make
from harness.judge import check_run
from harness.judge.load import read_run

SHARES = (0.1, 0.3, 1.0)
OPERATIONS = 1_000_000
SPEED_S_MAX = 20.0
LINEAR_MAX = 1.5
"""Within so much of ten times the smallest, in proportion, the largest run must be."""

A = ParamSpec("A")
R = TypeVar("R")


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What one process took: seconds of processor time and by the clock, peak memory, and what it found."""

    cpu_s: float
    wall_s: float
    peak_mb: int
    verdict: str = ""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One size: what was made, what bare decoding took, and what judging did."""

    tenants: int
    made: Made
    decoded: Spent
    judged: Spent

    @property
    def micros(self) -> float:
        """Microseconds of processor time that one operation took."""
        return self.judged.cpu_s / self.made.sent * 1e6


def oracle(operations: int, tenants: int, console: Console, *, times: int = 1) -> bool:
    """Judge runs up to that size, each ``times`` times; return whether speed and near linearity held."""
    console.print(
        f"the judge on {platform.processor() or platform.machine()}, Python {platform.python_version()}"
    )
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="restoreproof-oracle-") as place:
        for share in SHARES:
            shape = Shape(operations=round(operations * share), tenants=max(20, round(tenants * share)))
            rows.append(_one(Path(place) / str(share), shape, times))
            shutil.rmtree(Path(place) / str(share))
    console.print(_table(rows))
    last, grown = rows[-1].judged, rows[-1].micros / rows[0].micros
    limit_s = SPEED_S_MAX * operations / OPERATIONS
    fast, linear = last.cpu_s < limit_s, grown < LINEAR_MAX
    console.print(
        f"time an operation, the largest run beside the smallest: {grown:.2f} times; under {LINEAR_MAX}:"
        f" {'held' if linear else 'NOT HELD'}\n"
        f"the largest run: {last.cpu_s:.1f} s of one processor; under {limit_s:.0f} s:"
        f" {'held' if fast else 'NOT HELD'}"
    )
    return fast and linear and all(row.judged.verdict == "proven" for row in rows)


def _one(folder: Path, shape: Shape, times: int) -> Row:
    return Row(
        tenants=shape.tenants,
        made=_apart(make, folder, shape),
        decoded=min((_apart(_decoded, folder) for _ in range(times)), key=_cpu_s),
        judged=min((_apart(_judged, folder) for _ in range(times)), key=_cpu_s),
    )


def _cpu_s(spent: Spent) -> float:
    return spent.cpu_s


def _table(rows: list[Row]) -> Table:
    table = Table("", *(f"{row.made.sent:,} operations" for row in rows), box=None, title_justify="left")
    each: dict[str, Callable[[Row], str]] = {
        "tenants": lambda row: f"{row.tenants:,}",
        "row changes an operation": lambda row: f"{row.made.changes / row.made.sent:.2f}",
        "rows read back": lambda row: f"{row.made.rows:,}",
        "files, MB": lambda row: f"{row.made.size_bytes / 1e6:,.0f}",
        "verdict": lambda row: row.judged.verdict,
        "processor time, s": lambda row: f"{row.judged.cpu_s:.2f}",
        "by the clock, s": lambda row: f"{row.judged.wall_s:.2f}",
        "operations a second": lambda row: f"{row.made.sent / row.judged.cpu_s:,.0f}",
        "µs an operation": lambda row: f"{row.micros:.1f}",
        "beside the smallest run": lambda row: f"{row.micros / rows[0].micros:.2f}",
        "bare decoding of all files, s": lambda row: f"{row.decoded.cpu_s:.2f}",
        "memory at the peak, MB": lambda row: f"{row.judged.peak_mb:,}",
    }
    for what, value in each.items():
        table.add_row(what, *(value(row) for row in rows))
    return table


def _apart(call: Callable[A, R], *args: A.args, **kwargs: A.kwargs) -> R:
    """Call in a fresh process, so that nobody's memory counts but its own."""
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(call, *args, **kwargs).result()


def _judged(folder: Path) -> Spent:
    cpu_s, wall_s = time.process_time(), time.monotonic()
    verdict = check_run(folder).verdict
    return _spent(cpu_s, wall_s, verdict)


def _decoded(folder: Path) -> Spent:
    """Decode all files, and keep what they hold."""
    gc.disable()
    cpu_s, wall_s = time.process_time(), time.monotonic()
    _, _, history, restored = read_run(folder)
    kept = (list(history), list(restored.values()))
    return _spent(cpu_s, wall_s, f"{len(kept)}")


def _spent(cpu_s: float, wall_s: float, verdict: str) -> Spent:
    """Return what was spent since then."""
    return Spent(
        cpu_s=time.process_time() - cpu_s,
        wall_s=time.monotonic() - wall_s,
        peak_mb=_peak_mb(),
        verdict=verdict,
    )


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
