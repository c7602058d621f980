"""An event loop in virtual time: nothing waits, nothing is left to chance.

Coroutines run as on any asyncio loop, but when none is ready the clock jumps to the next timer, so five
minutes pass in milliseconds and the same plan always takes the same course. There are no threads, no
sockets and no executor here: whoever tries to use one fails at once.

A loop in virtual time can also see what a real one can't: that nothing will ever happen again. That is
an error naming the tasks that wait, and so is running past a bound on virtual time or on steps.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, ClassVar, Final, TypeVar, TypeVarTuple

from harness.model.errors import HarnessFailed, RestoreproofError, TimedOut

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

VIRTUAL_S_MAX: Final = 24 * 3600.0
STEPS_MAX: Final = 2_000_000
_CLEAN_UP_STEPS_MAX: Final = 100_000


class VirtualLoop(asyncio.AbstractEventLoop):
    """Runs callbacks in the order in which they were due; equal times in the order of asking.

    ``running``: the one that runs now. asyncio would tell it too, at the price of a look at the process id.
    """

    running: ClassVar[VirtualLoop | None] = None

    def __init__(self, *, virtual_s_max: float = VIRTUAL_S_MAX, steps_max: int = STEPS_MAX) -> None:
        self._now_s = 0.0
        self._steps = 0
        self._virtual_s_max = virtual_s_max
        self._steps_max = steps_max
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle | asyncio.Future[None]]] = []
        self._asked = 0
        self._unheard: list[str] = []
        self._closed = False

    def time(self) -> float:
        """Return seconds of virtual time since the loop was made."""
        return self._now_s

    def call_soon(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_at(
        self, when: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._asked += 1
        heapq.heappush(self._timers, (when, self._asked, handle))
        return handle

    def call_later(
        self, delay: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def alarm(self, seconds: float) -> asyncio.Future[None]:
        """Return what is done in so many seconds: a timer without a handle, since a drill has thousands."""
        over: asyncio.Future[None] = asyncio.Future(loop=self)
        self._asked += 1
        heapq.heappush(self._timers, (self._now_s + seconds, self._asked, over))
        return over

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self, **options)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return asyncio._get_running_loop() is self

    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Forget everything that is still due."""
        self._closed = True
        self._ready.clear()
        self._timers.clear()

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what nobody heard of, so that the run fails instead of going on in silence."""
        self._unheard.append(f"{context['message']}: {context.get('exception')!r}")

    def _timer_handle_cancelled(self, _handle: asyncio.TimerHandle) -> None:
        """Be told by asyncio of a cancelled timer; it is skipped when its time comes."""

    def run_until_complete(self, future: Any) -> Any:
        """Run until the coroutine is done and return its result.

        Raises HarnessFailed when nothing can ever happen or an error was heard by nobody, and TimedOut
        beyond the bounds. Tasks left over are cancelled before this returns or raises.
        """
        task = future if isinstance(future, asyncio.Future) else self.create_task(future, name="main")
        asyncio._set_running_loop(self)
        VirtualLoop.running = self
        try:
            self._spin(task.done)
        except RestoreproofError as cause:
            self._clean_up_after(cause)
            raise
        else:
            self._cancel_the_rest()
        finally:
            asyncio._set_running_loop(None)
            VirtualLoop.running = None
        if self._unheard:
            raise HarnessFailed(f"errors that nobody heard: {'; '.join(self._unheard)}")
        return task.result()

    def _clean_up_after(self, cause: RestoreproofError) -> None:
        """End all tasks; what goes wrong with that must not hide ``cause``."""
        try:
            self._cancel_the_rest()
        except RestoreproofError as late:
            cause.add_note(f"and then, while ending what was left: {late}")

    def _spin(self, done: Callable[[], bool]) -> None:
        ready = self._ready
        while not done():
            if not ready:
                self._jump()
            if self._steps >= self._steps_max:
                raise TimedOut(f"an end within {self._steps_max} steps", self._now_s, self._waiting())
            self._steps += 1
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()

    def _jump(self) -> None:
        """Let time pass up to the next timer that still counts, and make what is due then ready."""
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        if not self._timers:
            raise HarnessFailed(f"nothing can ever happen again; these wait: {self._waiting()}")
        now_s = self._now_s = max(self._now_s, self._timers[0][0])
        if now_s > self._virtual_s_max:
            raise TimedOut(f"an end within {self._virtual_s_max:g} virtual s", now_s, self._waiting())
        timers = self._timers
        while timers and timers[0][0] <= now_s:
            due = heapq.heappop(timers)[2]
            if isinstance(due, asyncio.Handle):
                self._ready.append(due)
            elif not due.done():
                due.set_result(None)

    def _waiting(self) -> str:
        return ", ".join(sorted(_described(task) for task in asyncio.all_tasks(self))) or "no task"

    def _cancel_the_rest(self) -> None:
        """Cancel tasks that outlive the main one, in the order of their names, and let them end."""
        rest = sorted(asyncio.all_tasks(self), key=lambda task: task.get_name())
        if not rest:
            return
        self._steps, self._steps_max = 0, _CLEAN_UP_STEPS_MAX
        for task in rest:
            task.cancel()
        ended = asyncio.gather(*rest, return_exceptions=True)
        self._spin(ended.done)


def _described(task: asyncio.Task[Any]) -> str:
    stack = task.get_stack(limit=1)
    where = f" at {stack[0].f_code.co_qualname}:{stack[0].f_lineno}" if stack else ""
    return f"{task.get_name()}{where}"


class VirtualClock:
    """The drill's clock, and everybody's, on a virtual loop."""

    def now_s(self) -> float:
        """Return virtual seconds since the loop was made."""
        return _the_loop()._now_s

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass; others run meanwhile, even for 0 seconds."""
        await _the_loop().alarm(max(0.0, seconds))

    def alarm(self, seconds: float) -> asyncio.Future[None]:
        """Return what is done in so many seconds, more cheaply than a task that sleeps."""
        return _the_loop().alarm(seconds)


def _the_loop() -> VirtualLoop:
    assert VirtualLoop.running is not None
    return VirtualLoop.running


def run(
    coroutine: Coroutine[Any, Any, _T],
    *,
    virtual_s_max: float = VIRTUAL_S_MAX,
    steps_max: int = STEPS_MAX,
) -> _T:
    """Run ``coroutine`` in virtual time on a loop of its own and return its result.

    Raises HarnessFailed and TimedOut as ``VirtualLoop.run_until_complete`` does.
    """
    loop = VirtualLoop(  # type: ignore[abstract]  # the rest raises NotImplementedError, as it should
        virtual_s_max=virtual_s_max, steps_max=steps_max
    )
    try:
        result: _T = loop.run_until_complete(coroutine)
    finally:
        loop.close()
    return result
