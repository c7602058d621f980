"""Limits on waiting: what takes too long becomes a TimedOut that names the fact awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from harness.drive.ports import Clock
from harness.model.errors import TimedOut

T = TypeVar("T")

POLL_S: Final = 0.05


async def within(
    clock: Clock,
    limit_s: float,
    fact: str,
    work: Awaitable[T],
    *,
    seen: Callable[[], object] = lambda: "nothing",
) -> T:
    """Return what ``work`` returns; raises TimedOut after ``limit_s``, with what ``seen`` saw last."""
    began_s = clock.now_s()
    limit = asyncio.timeout(limit_s)
    try:
        async with limit:
            return await work
    except TimeoutError:
        if not limit.expired():
            raise
        raise TimedOut(fact, clock.now_s() - began_s, seen()) from None


async def until(clock: Clock, is_so: Callable[[], Awaitable[bool]], *, poll_s: float = POLL_S) -> None:
    """Return once ``is_so`` says so, asking every ``poll_s``; to be used under a limit."""
    while not await is_so():
        await clock.sleep(poll_s)
