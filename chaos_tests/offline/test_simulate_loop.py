"""The virtual loop: time that jumps, an order that repeats, and standstills that are named."""

from __future__ import annotations

import asyncio
import time

import pytest

from harness.model.errors import HarnessFailed, TimedOut
from harness.simulate.loop import VirtualClock, run

CLOCK = VirtualClock()


def test_five_minutes_pass_in_no_time() -> None:
    """The clock jumps to the next timer instead of waiting for it."""

    async def wait() -> float:
        await CLOCK.sleep(300)
        return CLOCK.now_s()

    began_s = time.monotonic()
    assert run(wait()) == 300
    assert time.monotonic() - began_s < 1


def test_two_runs_take_the_same_course() -> None:
    """Who is due at the same instant goes in the order of asking, every time."""

    async def race() -> list[str]:
        order: list[str] = []

        async def runner(name: str, step_s: float) -> None:
            for lap in range(5):
                await CLOCK.sleep(step_s)
                order.append(f"{name}{lap}")

        async with asyncio.TaskGroup() as group:
            for name, step_s in [("a", 0.2), ("b", 0.1), ("c", 0.2), ("d", 0.0)]:
                group.create_task(runner(name, step_s))
        return order

    first = run(race())
    assert first[:6] == ["d0", "d1", "d2", "d3", "d4", "b0"]
    assert first.index("a4") + 1 == first.index("c4")
    assert run(race()) == first


def test_a_standstill_names_who_waits() -> None:
    """When nothing can ever happen again the run fails at once, with the tasks that wait."""

    async def waits_for_ever() -> None:
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        await asyncio.create_task(waits_for_ever(), name="the forgotten one")

    with pytest.raises(HarnessFailed, match=r"nothing can ever happen again.*main.*the forgotten one"):
        run(main())


def test_virtual_time_has_a_bound() -> None:
    """A loop that lets time pass for ever is stopped, and the error says how far it came."""

    async def ticks() -> None:
        while True:
            await CLOCK.sleep(1)

    with pytest.raises(TimedOut, match="an end within 100 virtual s"):
        run(ticks(), virtual_s_max=100)


def test_steps_have_a_bound() -> None:
    """A loop that never lets time pass is stopped too."""

    async def spins() -> None:
        while True:
            await CLOCK.sleep(0)

    with pytest.raises(TimedOut, match="an end within 1000 steps"):
        run(spins(), steps_max=1000)


def test_a_timeout_fires_on_virtual_time() -> None:
    """asyncio's own time-outs follow the virtual clock."""

    async def late() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.5):
                await CLOCK.sleep(10)
        return CLOCK.now_s()

    assert run(late()) == 2.5


def test_an_error_of_the_coroutine_comes_out() -> None:
    """What the coroutine raises is what ``run`` raises."""

    async def fails() -> None:
        await CLOCK.sleep(1)
        raise KeyError("t1")

    with pytest.raises(KeyError, match="t1"):
        run(fails())


def test_tasks_left_over_are_ended() -> None:
    """A task that outlives the main one is cancelled, and its clean-up runs."""
    ended: list[float] = []

    async def lingers() -> None:
        try:
            await CLOCK.sleep(1000)
        finally:
            ended.append(CLOCK.now_s())

    async def main() -> asyncio.Task[None]:
        task = asyncio.create_task(lingers())
        await CLOCK.sleep(1)
        return task

    assert run(main()).cancelled()
    assert ended == [1]


def test_an_error_that_nobody_heard_fails_the_run() -> None:
    """A callback that fails is not passed over in silence."""

    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 // 0)
        await CLOCK.sleep(1)

    with pytest.raises(HarnessFailed, match=r"nobody heard.*ZeroDivisionError"):
        run(main())


def test_a_thread_is_refused() -> None:
    """Blocking work has no place on a virtual loop: it fails instead of stopping the clock."""

    async def main() -> None:
        await asyncio.to_thread(time.monotonic)

    with pytest.raises(NotImplementedError):
        run(main())
