"""Each kind of fault in the simulated world: how it strikes and how it is healed, on switches and tasks.

To add a kind, add one line to ``PERFORM``, or to ``UNAVAILABLE`` with the reason.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import msgspec

from harness.drive.ports import ConnectionLost, Proof
from harness.model import faults as f
from harness.model.errors import HarnessFailed
from harness.simulate.archive_ports import MemoryStore
from harness.simulate.feed import Connector
from harness.simulate.latency import Latency
from harness.simulate.restoring import RestorerProcess
from harness.simulate.server import Server
from harness.simulate.sessions import Address
from harness.simulate.switches import Cancelled, Wires

AGAIN: Final = 3
"""How many transactions a connector sends once more when it was restarted."""
COMMIT_S_MAX: Final = 20.0
POLL_S: Final = 0.01
SLOWER_BY: Final = 25.0
UNREAD_BEATS: Final = 2
NOTICED_S_MAX: Final = 30.0
"""So long after its end at most until the archiver must have noticed what the capture lacks."""


class Place(Protocol):
    """What is shared between the parts of a world, as far as faults reach it.

    ``stopped``: why the archiver stopped.
    """

    stopped: str | None
    latency: Latency
    live: Address
    store: MemoryStore
    wires: Wires


class Machine(Protocol):
    """The processes of a world, as far as faults reach them."""

    connector: Connector | None
    restorer: RestorerProcess | None

    @property
    def site(self) -> Place: ...

    def archiver_runs(self) -> bool: ...

    async def kill_archiver(self) -> None: ...

    async def start_archiver(self) -> None: ...

    def pause_archiver(self, *, paused: bool) -> None: ...

    async def stop_connector(self) -> None: ...

    def start_connector(self, *, again: int) -> None: ...

    def forget_offsets(self) -> None: ...

    async def resnapshot(self) -> None: ...


Strike = Callable[[Machine, Any], Awaitable[Proof]]


class Performed(msgspec.Struct, frozen=True):
    """How a kind is done, and undone."""

    disturb: Strike
    heal: Strike


def reason(fault: f.Fault) -> str:
    """Return why a fault can't be simulated, or an empty text."""
    if isinstance(fault, f.DelayLink | f.ResetLink) and fault.link in _UNWIRED:
        return f"the simulated {fault.link} can only be cut"
    return "" if type(fault) in PERFORM else UNAVAILABLE[type(fault)]


async def disturb(machine: Machine, fault: f.Fault) -> Proof:
    """Inject a fault."""
    return await PERFORM[type(fault)].disturb(machine, fault)


async def heal(machine: Machine, fault: f.Fault) -> Proof:
    """Undo a fault, whether or not it bites."""
    return await PERFORM[type(fault)].heal(machine, fault)


def _seen(words: str) -> Proof:
    return Proof(seen=True, words=words)


def _server(machine: Machine) -> Server:
    server = machine.site.live.server
    if server is None:
        raise HarnessFailed("there is no database to disturb")
    return server


async def _kill(machine: Machine, fault: f.Kill) -> Proof:
    match fault.service:
        case "archiver":
            ran = machine.archiver_runs()
            await machine.kill_archiver()
            return Proof(seen=ran, words="archiver was running and its task is gone")
        case "restorer":
            return await _kill_restorer(machine)
        case "primary":
            _server(machine).die()
        case "connect":
            await machine.stop_connector()
        case "kafka":
            await _kafka(machine, down=True)
        case "minio":
            machine.site.store.down = True
        case "standby":
            _server(machine).standby.freeze()
    return _seen(f"{fault.service} is gone")


async def _start(machine: Machine, fault: f.Kill) -> Proof:
    match fault.service:
        case "archiver":
            if not machine.archiver_runs():
                await machine.start_archiver()
            return Proof(seen=machine.archiver_runs(), words="archiver runs")
        case "restorer":
            _restorer(machine).start()
        case "primary":
            await _restart_primary(machine)
        case "connect":
            machine.start_connector(again=AGAIN)
        case "kafka":
            await _kafka(machine, down=False)
        case "minio":
            machine.site.store.down = False
        case "standby":
            _server(machine).standby.thaw()
    return _seen(f"{fault.service} runs again")


def _restorer(machine: Machine) -> RestorerProcess:
    if machine.restorer is None:
        raise HarnessFailed("there is no restorer to disturb")
    return machine.restorer


async def _kill_restorer(machine: Machine) -> Proof:
    """Kill it amid a restore; it is asked for the same one again once it is back."""
    restorer = _restorer(machine)
    if not await _comes_true(machine, lambda: restorer.at_work, COMMIT_S_MAX):
        return Proof(seen=False, words=f"nothing was restored within {COMMIT_S_MAX:g} s")
    await restorer.kill()
    return _seen("restorer was killed amid a restore")


async def _pause_restorer(machine: Machine) -> Proof:
    restorer = _restorer(machine)
    if not await _comes_true(machine, lambda: restorer.at_work, COMMIT_S_MAX):
        return Proof(seen=False, words=f"nothing was restored within {COMMIT_S_MAX:g} s")
    restorer.pause(paused=True)
    return _seen("restorer stands still amid a restore")


async def _restart_primary(machine: Machine) -> None:
    dead = _server(machine)
    if not dead.alive:
        await machine.stop_connector()  # it may not have noticed yet
        machine.site.live.server = dead.reborn()
        machine.start_connector(again=AGAIN)


async def _kafka(machine: Machine, *, down: bool) -> None:
    machine.site.wires["archiver-kafka"].dead = down
    if down:
        await machine.stop_connector()
    else:
        machine.start_connector(again=AGAIN)


async def _pause(machine: Machine, fault: f.Pause) -> Proof:
    if fault.service == "restorer":
        return await _pause_restorer(machine)
    await _freeze(machine, fault.service, frozen=True)
    return _seen(f"{fault.service} stands still")


async def _resume(machine: Machine, fault: f.Pause) -> Proof:
    await _freeze(machine, fault.service, frozen=False)
    return _seen(f"{fault.service} goes on")


async def _freeze(machine: Machine, service: f.Service, *, frozen: bool) -> None:
    links: dict[f.Service, tuple[f.LinkName, ...]] = {
        "primary": ("clients-primary", "restorer-primary", "archiver-primary"),
        "minio": ("archiver-minio", "restorer-minio"),
        "kafka": ("archiver-kafka",),
    }
    for link in links.get(service, ()):
        wire = machine.site.wires[link]
        wire.hold() if frozen else wire.release()
    if service == "restorer":
        _restorer(machine).pause(paused=frozen)
    if service == "archiver":
        machine.pause_archiver(paused=frozen)
    if service == "standby":
        _hold_standby(machine, frozen=frozen)
    if service in ("connect", "kafka", "primary"):
        await _hold_connector(machine, held=frozen)


def _hold_standby(machine: Machine, *, frozen: bool) -> None:
    standby = _server(machine).standby
    standby.freeze() if frozen else standby.thaw()


async def _hold_connector(machine: Machine, *, held: bool) -> None:
    if held:
        await machine.stop_connector()
    else:
        machine.start_connector(again=0)


async def _cut(machine: Machine, fault: f.CutLink) -> Proof:
    await _set_cut(machine, fault.link, fault.direction)
    return _seen(f"nothing comes through {fault.link}, {fault.direction}")


async def _uncut(machine: Machine, fault: f.CutLink) -> Proof:
    await _set_cut(machine, fault.link, None)
    return _seen(f"{fault.link} carries again")


async def _set_cut(machine: Machine, link: f.LinkName, direction: f.Direction | None) -> None:
    machine.site.wires[link].cut = direction
    if link == "standby-primary":
        _hold_standby(machine, frozen=direction is not None)
    if link in ("connect-primary", "connect-kafka"):
        await _hold_connector(machine, held=direction is not None)


async def _delay(machine: Machine, fault: f.DelayLink) -> Proof:
    machine.site.wires[fault.link].delay_s = fault.delay_ms / 1000
    return _seen(f"{fault.link} takes {fault.delay_ms} ms longer")


async def _undelay(machine: Machine, fault: f.DelayLink) -> Proof:
    machine.site.wires[fault.link].delay_s = 0.0
    return _seen(f"{fault.link} is as fast as before")


async def _reset(machine: Machine, fault: f.ResetLink) -> Proof:
    machine.site.wires[fault.link].resets = True
    return _seen(f"answers over {fault.link} are broken off")


async def _unreset(machine: Machine, fault: f.ResetLink) -> Proof:
    machine.site.wires[fault.link].resets = False
    return _seen(f"{fault.link} carries answers again")


async def _slow_store(machine: Machine, fault: f.SlowStore) -> Proof:
    machine.site.latency.store_slower = SLOWER_BY
    return _seen(f"the object store is {SLOWER_BY:g} times as slow, for {fault.rate_kb} KB/s")


async def _fast_store(machine: Machine, _: f.SlowStore) -> Proof:
    machine.site.latency.store_slower = 1.0
    return _seen("the object store is as fast as before")


async def _full_store(machine: Machine, _: f.FullStore) -> Proof:
    machine.site.store.full = True
    return _seen("the object store refuses writes")


async def _roomy_store(machine: Machine, _: f.FullStore) -> Proof:
    machine.site.store.full = False
    return _seen("the object store takes writes")


async def _restart_connector(machine: Machine, fault: f.RestartConnector) -> Proof:
    """Restart it so often, with a heartbeat written in between."""
    for number in range(fault.times):
        if number and not await _beaten(machine, 1):
            return Proof(seen=False, words=f"no heartbeat was written in {COMMIT_S_MAX:g} s")
        await machine.stop_connector()
        machine.start_connector(again=AGAIN)
    return _seen(f"the connector was restarted {fault.times} times")


async def _connector_runs(machine: Machine, _: f.Fault) -> Proof:
    machine.start_connector(again=0)
    return _seen("the connector runs")


async def _pause_connector(machine: Machine, _: f.PauseConnector) -> Proof:
    await machine.stop_connector()
    return _seen("the connector is paused")


async def _lose_offsets(machine: Machine, _: f.LoseOffsets) -> Proof:
    """Stop the connector until it has not read some heartbeats, and let it come back without offsets."""
    await machine.stop_connector()
    if not await _beaten(machine, UNREAD_BEATS):
        return Proof(seen=False, words=f"no {UNREAD_BEATS} heartbeats were written in {COMMIT_S_MAX:g} s")
    machine.forget_offsets()
    machine.start_connector(again=0)
    return _seen(f"{UNREAD_BEATS} heartbeats were written with the connector stopped; its offsets are gone")


async def _repair(machine: Machine, _: f.LoseOffsets) -> Proof:
    """Once the archiver has stopped with its reason, do as an operator would."""
    if not await _comes_true(machine, lambda: not machine.archiver_runs(), NOTICED_S_MAX):
        return Proof(seen=False, words=f"nobody noticed within {NOTICED_S_MAX:g} s")
    noticed = machine.site.stopped
    await machine.resnapshot()
    await machine.start_archiver()
    return Proof(
        seen=machine.archiver_runs() and bool(noticed),
        words=f"the archiver stopped: {noticed}; then a fresh snapshot was taken, and it was started",
    )


def _beat(machine: Machine) -> int:
    return int(_server(machine).heartbeat["beat"] or 0)


async def _beaten(machine: Machine, beats: int) -> bool:
    """Wait for so many more heartbeats; whether they came."""
    begun = _beat(machine)
    return await _comes_true(machine, lambda: _beat(machine) >= begun + beats, COMMIT_S_MAX)


async def _comes_true(machine: Machine, is_so: Callable[[], bool], limit_s: float) -> bool:
    clock = machine.site.latency.clock
    began_s = clock.now_s()
    while not is_so():
        if clock.now_s() - began_s > limit_s:
            return False
        await clock.sleep(POLL_S)
    return True


async def _waive(machine: Machine, _: f.EmptySyncNames) -> Proof:
    _server(machine).standby.waived = True
    return _seen("commits wait for nobody")


async def _unwaive(machine: Machine, _: f.EmptySyncNames) -> Proof:
    _server(machine).standby.waived = False
    return _seen("commits wait for the standby")


def _end_commit(error: Callable[[], Cancelled | ConnectionLost]) -> Strike:
    """Freeze the standby until a commit waits for it, and end that one's wait."""

    async def strike(machine: Machine, _: f.CancelCommit | f.TerminateCommit) -> Proof:
        standby = _server(machine).standby
        standby.freeze()
        if not await _comes_true(machine, lambda: standby.end_one(error()), COMMIT_S_MAX):
            return Proof(seen=False, words=f"no commit waited for the standby in {COMMIT_S_MAX:g} s")
        return _seen(f"a commit waited for the standby: {error()}")

    return strike


async def _thaw(machine: Machine, _: f.Fault) -> Proof:
    _hold_standby(machine, frozen=False)
    return _seen("the standby goes on")


PERFORM: Final[dict[type[f.Fault], Performed]] = {
    f.Kill: Performed(_kill, _start),
    f.Pause: Performed(_pause, _resume),
    f.CutLink: Performed(_cut, _uncut),
    f.DelayLink: Performed(_delay, _undelay),
    f.ResetLink: Performed(_reset, _unreset),
    f.SlowStore: Performed(_slow_store, _fast_store),
    f.FullStore: Performed(_full_store, _roomy_store),
    f.RestartConnector: Performed(_restart_connector, _connector_runs),
    f.PauseConnector: Performed(_pause_connector, _connector_runs),
    f.LoseOffsets: Performed(_lose_offsets, _repair),
    f.EmptySyncNames: Performed(_waive, _unwaive),
    f.CancelCommit: Performed(_end_commit(lambda: Cancelled("it was cancelled")), _thaw),
    f.TerminateCommit: Performed(_end_commit(lambda: ConnectionLost("it was terminated")), _thaw),
}
"""For each kind that is simulated, how it is performed."""

UNAVAILABLE: Final[dict[type[f.Fault], str]] = {
    f.FullDisk: "simulated services have no disks",
    f.ClockJump: "simulated services have no wall clocks",
    f.DropSlot: "the simulated connector has no slot",
    f.AdvanceSlot: "the simulated connector has no slot",
}
"""For each other kind, why not."""

_UNWIRED: Final[tuple[f.LinkName, ...]] = ("standby-primary", "connect-primary", "connect-kafka")
