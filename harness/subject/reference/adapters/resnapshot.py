"""``archive resnapshot``: has the capture take a fresh snapshot, and the archiver go on with it.

    connector stopped, its offsets forgotten  →  slot dropped  →  reader moved to the feed's end
    →  number raised in the heartbeat row  →  resumed

While the connector is stopped nothing comes into the feed, so what comes next there is the snapshot. The
archiver takes the gap before it for what it is, and goes on only because a snapshot follows that was asked
for, which its number shows. Each step may be made again: a run that broke off is simply run again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import httpx
import msgspec
import psycopg

from harness.model.errors import BadInput, SubjectFailed
from harness.subject.reference.adapters.clock import MonotonicClock
from harness.subject.reference.adapters.wiring import feed_of
from harness.subject.reference.capture import ASK_SQL, HEARTBEAT
from harness.subject.reference.config import ArchiveConfig

WAITS_S_MAX: Final = 60.0
ANSWER_S_MAX: Final = 30.0
POLL_S: Final = 0.2
_SLOT = "SELECT active FROM pg_replication_slots WHERE slot_name = %s"
_DROP = "SELECT pg_drop_replication_slot(%s)"


class Resnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What was done. ``offset``: where in the feed the snapshot will begin; ``asked``: its number."""

    connector: str
    slot: str
    offset: int
    asked: int
    next: str = "start the archiver again: it goes on with the snapshot"


async def resnapshot(config: ArchiveConfig) -> Resnapshot:
    """Do all steps; raises BadInput for a configuration without ``connect_url``, SubjectFailed."""
    if not config.connect_url:
        raise BadInput(
            "the configuration names no connect_url",
            cure="add the URL of the Connect worker, and connector and slot if they have other names",
        )
    url = f"{config.connect_url.rstrip('/')}/connectors/{config.connector}"
    async with httpx.AsyncClient(timeout=ANSWER_S_MAX, trust_env=False) as connect:
        await _ask(connect, "PUT", f"{url}/stop")
        await _until("the connector is stopped", lambda: _is_stopped(connect, url))
        await _ask(connect, "DELETE", f"{url}/offsets")
        await _drop_slot(config)
        offset = await _skip_to_end(config)
        asked = await _number(config)
        await _ask(connect, "PUT", f"{url}/resume")
    return Resnapshot(connector=config.connector, slot=config.slot, offset=offset, asked=asked)


async def _ask(connect: httpx.AsyncClient, method: str, url: str) -> None:
    """Make one request, again while Connect's group is rebalancing."""

    async def is_done() -> bool:
        answer = await connect.request(method, url)
        if answer.status_code == httpx.codes.CONFLICT:
            return False
        if answer.is_error:
            told = f"{answer.status_code}: {answer.text[:500]}"
            raise SubjectFailed(f"Connect answered {method} {url} with {told}")
        return True

    await _until(f"Connect takes {method} {url}", is_done)


async def _is_stopped(connect: httpx.AsyncClient, url: str) -> bool:
    answer = (await connect.get(f"{url}/status")).json()
    return answer["connector"]["state"] == "STOPPED" and not answer["tasks"]


async def _drop_slot(config: ArchiveConfig) -> None:
    """Drop the slot once nobody streams from it; one that is gone already is fine."""
    async with await psycopg.AsyncConnection.connect(config.restorer_dsn, autocommit=True) as session:

        async def is_gone() -> bool:
            row = await (await session.execute(_SLOT, (config.slot,))).fetchone()
            if row == (False,):
                await session.execute(_DROP, (config.slot,))
            return row != (True,)

        await _until(f"nobody streams from slot {config.slot}", is_gone)


async def _number(config: ArchiveConfig) -> int:
    """Give the snapshot that will come its number, by the role that writes heartbeats."""
    try:
        async with await psycopg.AsyncConnection.connect(config.dsn, autocommit=True) as session:
            row = await (await session.execute(ASK_SQL.encode())).fetchone()
    except psycopg.Error as error:
        raise SubjectFailed(
            f"the snapshot can't be asked for: {error}",
            cure="prepare the capture again (capture_sql), then run this again",
        ) from error
    if row is None:
        raise SubjectFailed(f"{HEARTBEAT} has no row", cure="prepare the capture again (capture_sql)")
    return int(row[0])


async def _skip_to_end(config: ArchiveConfig) -> int:
    feed = feed_of(config)
    try:
        offset = await feed.end()
        await feed.commit(offset)
        return offset
    finally:
        await feed.close()


async def _until(fact: str, is_so: Callable[[], Awaitable[bool]]) -> None:
    clock = MonotonicClock()
    began_s = clock.now_s()
    try:
        while not await is_so():
            if clock.now_s() - began_s > WAITS_S_MAX:
                raise SubjectFailed(f"after {WAITS_S_MAX:.0f} s this was not so: {fact}")
            await clock.sleep(POLL_S)
    except httpx.HTTPError as error:
        raise SubjectFailed(f"{fact}: Connect can't be reached: {error}") from error
    except psycopg.Error as error:
        raise SubjectFailed(f"{fact}: the database said: {error}") from error
