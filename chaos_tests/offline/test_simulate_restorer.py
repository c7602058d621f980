"""A restorer that is killed or stands still: its restore is run again, whole, and harms nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from fixtures.handmade import TENANTS, shop_plan
from harness import schemas
from harness.drive.ports import ConnectionLost
from harness.model.faults import Fault, Kill, Pause
from harness.model.history import Cut, FaultBegan, FaultHealed, Need, Place, RestoreBegan, RestoreDone
from harness.model.plan import Plan
from harness.model.values import RawRow
from harness.simulate import drill, faults, simulate
from harness.simulate.latency import Latency
from harness.simulate.life import Life
from harness.simulate.locks import Hold
from harness.simulate.loop import run
from harness.simulate.restoring import RestorerProcess
from harness.simulate.server import Server, Written
from harness.simulate.sessions import Address
from harness.simulate.target import SimulatedTarget
from harness.simulate.world import build
from harness.subject.port import RestoreResult, Watermark
from harness.subject.reference.format import SchemaRef
from harness.subject.reference.ports import Swap, Swapped

SHOP = schemas.load("shop").schema
MERCHANT = SHOP.tables[0]
OLD, NEW = ({"code": "a", "title": title, "since": None} for title in ("old", "new"))


def a_plan(*faults: Fault, seed: int = 7) -> Plan:
    """A plan in which some are restored in place and some beside, one of them twice."""
    return shop_plan(faults=faults, again=(TENANTS[0],), seed=seed)


@pytest.mark.parametrize("kind", [Kill, Pause])
@pytest.mark.parametrize("after_s", [0.0, 0.13, 0.36, 0.71, 1.5])
def test_a_restorer_that_is_disturbed_changes_no_verdict(kind: type[Kill | Pause], after_s: float) -> None:
    """Whatever it was at: every tenant comes back whole, and its neighbours write on."""
    fault = kind(service="restorer", phase="restore", after_s=after_s, down_s=1.0)
    assert drill(a_plan(fault, seed=int(100 * after_s)), SHOP).verdict == "proven"


def test_a_restore_lasts_until_the_restorer_is_back_and_has_done_it_again() -> None:
    """The kill strikes amid one, and nothing is restored until it is healed."""
    fault = Kill(service="restorer", phase="restore", after_s=0.1, down_s=2.0)
    history = simulate(a_plan(fault), SHOP).history
    [struck] = [e for e in history if isinstance(e, FaultBegan)]
    [healed] = [e for e in history if isinstance(e, FaultHealed)]
    hit = [e.restore for e in history if isinstance(e, RestoreBegan) and e.at_s <= struck.at_s][-1]
    done = next(e for e in history if isinstance(e, RestoreDone) and e.restore == hit)
    assert struck.bit
    assert (done.result, done.at_s > healed.at_s) == ("restored", True)


def test_a_fault_of_a_restorer_that_does_nothing_is_not_seen_to_bite() -> None:
    """There it strikes at nothing, whether or not it is there."""

    async def main() -> list[bool]:
        machine = build(a_plan(), SHOP).machinery
        some = [kind(service="restorer", phase="restore", after_s=0, down_s=1) for kind in (Kill, Pause)]
        return [(await machine.disturb(fault)).seen for fault in some]

    assert run(main()) == [False, False]


class Desk:
    """One database with a merchant, and a restorer's hold on it."""

    def __init__(self) -> None:
        self.latency = Latency(1)
        self.address = Address(self.latency)
        self.server = self.address.server = Server("1")
        self.server.build(SHOP).tables[MERCHANT.name].put(OLD)
        self.life = Life()
        self.target = SimulatedTarget(self.address, self.life)

    def begin(self, row: RawRow = NEW) -> asyncio.Task[Swapped]:
        """Begin to put the new merchant in the place of the old one."""
        schema = SchemaRef(number=1, key="k", version="v", sha256="s")
        swap = Swap(
            tenant="a", rows={MERCHANT.name: [row]}, shared={}, high={}, set_aside=True, schema=schema
        )
        return asyncio.get_running_loop().create_task(self.target.swap(swap))

    def titles(self) -> list[str | None]:
        """Return what others see."""
        return [row["title"] for row in self.server.snapshot()[MERCHANT.name].values()]


def at_desk(test: Callable[[Desk], Awaitable[None]]) -> None:
    """Run a coroutine at a desk of its own."""

    async def main() -> None:
        await test(Desk())

    run(main())


def test_ids_of_a_table_that_was_rebuilt_are_those_that_nobody_had_before() -> None:
    """Whoever writes there before any row is back must not take one that a row in the archive has."""

    async def test(desk: Desk) -> None:
        storage = desk.server.build(schemas.load("helpdesk").schema)
        [sequence, *_] = storage.sequences
        storage.sequences[sequence] = 900
        whole = storage.catalogue()
        storage.become(msgspec.structs.replace(whole, gone=(sequence.rpartition(".")[0],)))
        await desk.target.build_schema(msgspec.json.encode(whole).decode(), {sequence: 41})
        assert storage.draw(sequence) == "42"

    at_desk(test)


async def _killed(desk: Desk, work: asyncio.Task[Swapped]) -> None:
    desk.life.end()
    work.cancel()
    await asyncio.wait([work])
    assert work.cancelled()


def test_what_a_killed_restorer_had_open_is_undone() -> None:
    """Its locks go with it; a server that is gone has undone it already."""

    async def test(desk: Desk) -> None:
        for dies in (False, True):
            desk.life.begin()
            desk.life.pause()
            work = desk.begin()
            await desk.latency.clock.sleep(1.0)
            assert desk.titles() == ["old"]
            if dies:
                desk.server.die()
                desk.server = desk.server.reborn()
            await _killed(desk, work)
            assert desk.titles() == ["old"]
            assert desk.target.take_unsaid() == []

    at_desk(test)


def test_a_row_that_goes_while_a_restore_waits_for_it_is_no_row_to_replace() -> None:
    """Found by 1,240 simulated trials, on the first day on which clients thought amid transactions."""

    async def test(desk: Desk) -> None:
        other = desk.server.begin()
        item = (MERCHANT.name, MERCHANT.key, ("a",))
        await desk.server.locks.take(other, item, Hold.OWN)
        work = desk.begin({**NEW, "code": "b"})
        await desk.latency.clock.sleep(1.0)
        assert desk.titles() == ["old"]
        desk.server.apply(other, Written(table=MERCHANT, op="delete", before=OLD))
        desk.server.write_commit(other, desk.latency.clock.now_s())
        await desk.server.acknowledged(other, desk.latency)
        swapped = await work
        assert (desk.titles(), swapped.set_aside) == (["new"], ())

    at_desk(test)


def test_what_a_killed_restorer_had_committed_is_there_and_known() -> None:
    """The server goes on with a COMMIT that it has got; what was set aside is in its table."""

    async def test(desk: Desk) -> None:
        desk.server.standby.freeze()
        work = desk.begin()
        await desk.latency.clock.sleep(1.0)
        await _killed(desk, work)
        assert desk.titles() == ["old"]
        desk.server.standby.thaw()
        await desk.latency.clock.sleep(1.0)
        assert desk.titles() == ["new"]
        assert [swapped.set_aside for swapped in desk.target.take_unsaid()] == [((MERCHANT.name, OLD),)]
        assert desk.target.take_unsaid() == []

    at_desk(test)


def test_a_server_that_dies_with_such_a_commit_takes_it_along() -> None:
    """Nobody is there to be told, and nothing else fails."""

    async def test(desk: Desk) -> None:
        desk.server.standby.freeze()
        work = desk.begin()
        await desk.latency.clock.sleep(1.0)
        await _killed(desk, work)
        desk.server.die()
        await desk.latency.clock.sleep(1.0)
        with pytest.raises(ConnectionLost):
            desk.server.snapshot()

    at_desk(test)


class Slow:
    """A subject whose restores take a second; counts what it was asked."""

    name, flush_interval_s = "slow", 1.0

    def __init__(self) -> None:
        self.asked = 0

    async def epoch(self, system_id: str, timeline: int) -> int:  # noqa: ARG002 - a fixed answer
        """Answer."""
        return 1

    async def watermark(self) -> Watermark | None:
        """Answer."""
        return None

    async def needs(self) -> tuple[Need, ...]:
        """Answer."""
        return ()

    async def restore(self, tenant: str, cut: Cut, place: Place) -> RestoreResult:  # noqa: ARG002 - as above
        """Take a second."""
        self.asked += 1
        await Latency(1).clock.sleep(1.0)
        return RestoreResult(result="restored")


@pytest.mark.parametrize("killed", [False, True])
def test_whoever_gives_a_restore_up_ends_it(*, killed: bool) -> None:
    """That nobody waits for it any more is no kill: it is not done again, nor while nobody could do it."""

    async def main() -> list[int]:
        subjects = [Slow(), Slow()]
        left = iter(subjects)
        process = RestorerProcess(lambda: next(left), Life(), [])
        asking = asyncio.get_running_loop().create_task(process.restore("a", Cut(), "live"))
        await Latency(1).clock.sleep(0.3)
        if killed:
            await process.kill()
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()
        process.start()
        assert (await process.restore("a", Cut(), "live")).result == "restored"
        return [subject.asked for subject in subjects]

    assert run(main()) == ([1, 1] if killed else [2, 0])


def test_every_fault_of_the_restorer_can_be_simulated() -> None:
    """And none on real services, which say why."""
    for kind in (Kill, Pause):
        assert not faults.reason(kind(service="restorer", phase="restore", after_s=0, down_s=0))
