"""The tasks beside a drill's phases: whichever of them fails ends the drill, with its own error."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self


class Crew:
    """Runs tasks while its context lasts; leaving the context cancels those that still run.

    A task that fails cancels the body, and its error is what leaves the context. Of several errors that of
    the body counts, else the first one; the others are notes on it.
    """

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[Any]] = set()

    def go(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Start ``work`` as a task."""
        task = self._group.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        try:
            await self._group.__aexit__(kind, error, trace)
        except BaseExceptionGroup as failed:
            leaves = _leaves(failed)
            cause = error if error in leaves else leaves[0]
            for other in leaves:
                if other is not cause:
                    cause.add_note(f"and then: {other!r}")
            raise cause from cause.__cause__


def _leaves(failed: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """Return the errors in a group, flat."""
    leaves: list[BaseException] = []
    for error in failed.exceptions:
        leaves.extend(_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    return leaves
