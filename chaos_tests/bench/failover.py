"""Crashes of the primary one after the other, each with its figures; both nodes take turns as primary.

Every other crash is *held*: the standby is cut off just before, so that every writer's COMMIT surely waits,
and the old primary dies with commits in its log that no standby has.
"""

from __future__ import annotations

import asyncio
import statistics

from rich.console import Console
from rich.table import Table

from fixtures.failover import Crash, Crashes
from harness.model.errors import HarnessFailed
from harness.stack.options import StackOptions
from harness.stack.stack import Stack

_SECONDS = ("ack", "bucket", "epoch", "rejoin", "silent")
_COUNTS = ("acked", "open", "kept", "hangs", "lost\nlive", "lost\narch.", "ghosts")
_KEY = (
    "Seconds from the crash: first ack, first new row in the bucket, its epoch known there, old primary"
    " back, longest silence of a writer. Counts since the first crash: writes acked, left open, of those"
    " kept; hangs; acked writes lost in the live rows and in the archive; ghosts."
)


def failover(options: StackOptions, crashes: int, console: Console, *, unguarded: bool = False) -> bool:
    """Crash the primary ``crashes`` times under load and print a table; whether nothing went wrong.

    ``unguarded``: capture may run ahead of the standby at first, to see that ghosts are found: the archiver
    stops, and its reason is printed.
    """
    with Stack.start(options) as stack:
        try:
            seen = asyncio.run(_crash_often(stack, crashes, console, unguarded=unguarded))
        except HarnessFailed as stopped:
            console.print(f"[bold]broken off[/]: {stopped}")
            return False
    console.print(_table(seen))
    for crash in seen:
        if crash.problems:
            console.print(f"timeline {crash.timeline}: {crash.problems}")
    return not any(crash.problems for crash in seen)


async def _crash_often(stack: Stack, crashes: int, console: Console, *, unguarded: bool) -> list[Crash]:
    series = Crashes(stack)
    await series.prepare()
    if unguarded:
        series.unguard()
    seen: list[Crash] = []
    for number in range(1, crashes + 1):
        seen.append(await series.crash(held=unguarded or number % 2 == 0))
        console.print(f"crash {number} of {crashes}: first ack after {seen[-1].first_ack_s:.2f} s")
    return seen


def _table(seen: list[Crash]) -> Table:
    table = Table(
        title=f"{len(seen)} crashes of the primary under load, standby promoted, old one rejoined",
        caption=_KEY,
        caption_justify="left",
        box=None,
        padding=(0, 1, 0, 0),
    )
    for column in ("crash", *_SECONDS, *_COUNTS):
        table.add_column(column, justify="right", no_wrap=True)
    for number, crash in enumerate(seen, 1):
        table.add_row(str(number), *(f"{s:.2f}" for s in _seconds(crash)), *map(str, _counts(crash)))
    medians = [statistics.median(column) for column in zip(*map(_seconds, seen), strict=True)]
    table.add_row("median", *(f"{s:.2f}" for s in medians), end_section=True)
    return table


def _seconds(crash: Crash) -> tuple[float, ...]:
    return (
        crash.first_ack_s,
        crash.first_archived_s,
        crash.epoch_s,
        crash.rejoined_s,
        crash.silence_s_max,
    )


def _counts(crash: Crash) -> tuple[int, ...]:
    """Return counts since the first crash: every write is judged again after each one."""
    lists = (crash.hangs, crash.lost_live, crash.lost_archived, crash.ghosts)
    return (crash.acked, crash.unknown, crash.unknown_kept, *map(len, lists))
