"""Whether what was read from the feed is surely of the timeline that the feed last told of.

Asked *after* it was read, the database answers with its timeline. Timelines only go on, so if that is still
the one that the feed's newest heartbeat named, nothing read before can be of a later one. If it is another,
the feed must show a heartbeat of it first, which tells where it forked off. A database that does not answer
may have failed over: what was read waits, though not for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from harness.subject.reference.format import Epoch
from harness.subject.reference.ports import Clock, Source, Whereabouts

ANSWER_S_MAX: Final = 0.5
WAIT_S_MAX: Final = 30.0
"""How long what was read waits for a database that doesn't answer: longer than any failover takes."""


class Where:
    """Asks the captured database where it is; one question at a time, and no long wait for an answer."""

    def __init__(self, source: Source, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._asking: asyncio.Task[Whereabouts | None] | None = None
        self._silent_s: float | None = None

    async def is_sure(self, epochs: Sequence[Epoch]) -> bool:
        """Return whether everything read before this call is of these epochs."""
        answer = await self._ask()
        if answer is None:
            now_s = self._clock.now_s()
            self._silent_s = now_s if self._silent_s is None else self._silent_s
            return now_s - self._silent_s > WAIT_S_MAX
        self._silent_s = None
        if answer.timeline is None or not epochs:
            return True
        return (answer.system_id, answer.timeline) == (epochs[-1].system_id, epochs[-1].timeline)

    async def _ask(self) -> Whereabouts | None:
        """Return the answer to a question asked now, None when there is none in time."""
        if self._asking is not None and not self._asking.done():
            return None  # to an earlier question: its answer would be too old
        asking = self._asking = asyncio.ensure_future(self._source.where())
        done, _ = await asyncio.wait([asking], timeout=ANSWER_S_MAX)
        return asking.result() if done else None
