"""What is measured: start-up, drills, memory, and what a restore reads. Each function returns figures."""

from __future__ import annotations

import asyncio
import secrets
import statistics
import time
from pathlib import Path

import msgspec

from harness.generate.campaigns import campaign
from harness.model.history import Cut
from harness.model.plan import Plan, Survivors
from harness.model.verdict import DrillVerdict
from harness.schemas import load
from harness.session import LiveSession
from harness.stack.options import StackOptions
from harness.stack.services import postgres
from harness.stack.stack import Stack
from harness.stack.wait import wait_until
from harness.stack.world.open import archive_config, open_world
from harness.subject.port import Subject
from harness.subject.reference.adapters.wiring import store_of, subject_of

SCHEMA = "helpdesk"
TENANT_BYTES = 200_000
ROUNDS = 20
SEGMENTS = 60
WAIT_S_MAX = 120.0
SMALL, LARGE = 12, 240
START_S_MAX = {"local": 10.0, "containers": 15.0}


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table: what, its value as text, and the limit it is held against."""

    what: str
    value: str
    limit: str
    held: bool


def start(options: StackOptions, runs: int) -> Figure:
    """Measure from nothing running to the first committed row lying locked in the bucket, in seconds."""
    _first_locked_row(options)  # makes what is made once: images, Java's caches
    spent_s = [_first_locked_row(options) for _ in range(runs)]
    limit_s = START_S_MAX[options.host]
    median_s = statistics.median(spent_s)
    return Figure(
        what=f"up to the first row locked, median of {runs}",
        value=f"{median_s:.1f} s ({min(spent_s):.1f} to {max(spent_s):.1f})",
        limit=f"under {limit_s:.0f} s",
        held=median_s < limit_s,
    )


def _first_locked_row(options: StackOptions) -> float:
    began_s = time.monotonic()
    with Stack.start(options) as stack, asyncio.Runner() as loop:
        loop.run(_capture(stack))
        _insert_tenants(stack, ["1"])
        _reach(loop, stack, _lsn(stack))
        return time.monotonic() - began_s


async def _capture(stack: Stack) -> None:
    loaded = load(SCHEMA)
    world = open_world(stack, loaded, subject_of(archive_config(stack, loaded)))
    await world.machinery.prepare(fresh=False)
    await world.machinery.start_capture()


def _insert_tenants(stack: Stack, tenants: list[str]) -> None:
    rows = ", ".join(f"({t}, 'slug-{t}', 'Tenant {t}', '2026-01-05')" for t in tenants)
    sql = f"INSERT INTO helpdesk.tenants (id, slug, name, created_at) VALUES {rows}"
    postgres.run_sql(stack.endpoints.app_dsn, sql)


def _lsn(stack: Stack) -> int:
    async def ask() -> int:
        loaded = load(SCHEMA)
        world = open_world(stack, loaded, subject_of(archive_config(stack, loaded)))
        session = await world.database.session("bench")
        try:
            await session.begin()
            ready = await session.ready()
            await session.rollback()
        finally:
            await session.close()
        return ready.lsn_lower

    return asyncio.run(ask())


def _reach(loop: asyncio.Runner, stack: Stack, lsn: int) -> None:
    """Wait until the watermark is past ``lsn`` and the object that says so is seen to be locked."""
    config = archive_config(stack, load(SCHEMA))
    subject: Subject = subject_of(config)
    store = store_of(config, config.s3_endpoint)

    def locked() -> bool:
        needs = loop.run(subject.needs())
        past = [need for need in needs if need.lsn >= lsn]
        objects = [stored for need in past[:1] for stored in need.objects]
        return bool(objects) and all(loop.run(store.retention_s(*stored)) for stored in objects)

    wait_until("the row is locked in the bucket", locked, limit_s=WAIT_S_MAX, poll_s=0.05)


def drills(options: StackOptions, out: Path) -> list[Figure]:
    """Measure quick drills on a warm stack, and its memory."""
    with LiveSession.open(SCHEMA, options) as session:
        _drill(session, _plan(SMALL, "all", 1), out / "warm-up")
        figures = [
            _drills(session, out, SMALL, "all", runs=3, limit_s=15),
            _drills(session, out, SMALL, "archive", runs=3, limit_s=35),
            _drills(session, out, LARGE, "all", runs=1, limit_s=180),
        ]
        mib = sum(session.stack.memory_bytes().values()) / 1024**2
    memory = Figure(
        what="memory of the stack", value=f"{mib:.0f} MiB", limit="under 1536 MiB", held=mib < 1536
    )
    return [*figures, memory]


def _plan(tenants: int, survivors: Survivors, seed: int) -> Plan:
    plans = campaign(load(SCHEMA).schema, seed=seed, plans=4, tenants=tenants, survivors=survivors)
    return plans[-1]


def _drill(session: LiveSession, plan: Plan, run: Path) -> tuple[float, DrillVerdict]:
    began_s = time.monotonic()
    verdict = session.drill(plan, run)
    return time.monotonic() - began_s, verdict


def _drills(
    session: LiveSession, out: Path, tenants: int, survivors: Survivors, *, runs: int, limit_s: float
) -> Figure:
    seen = [
        _drill(session, _plan(tenants, survivors, seed), out / f"{survivors}-{tenants}-{seed}")
        for seed in range(2, 2 + runs)
    ]
    median_s = statistics.median(spent_s for spent_s, _ in seen)
    verdicts = ", ".join(verdict.verdict for _, verdict in seen)
    return Figure(
        what=f"quick drill, {tenants} tenants, survivors {survivors}, median of {runs}",
        value=f"{median_s:.1f} s ({verdicts})",
        limit=f"under {limit_s:.0f} s, proven",
        held=median_s < limit_s and all(v.verdict == "proven" for _, v in seen),
    )


def bytes_read(options: StackOptions) -> Figure:
    """Measure what the object server sends for one of few and for one of many tenants of equal size."""
    small, large = _bytes_for_one_of(options, SMALL), _bytes_for_one_of(options, LARGE)
    ratio = large / small
    return Figure(
        what=f"bytes read for one of {LARGE} against one of {SMALL} tenants",
        value=f"{ratio:.2f} ({large:,} against {small:,}; own size {TENANT_BYTES:,})",
        limit="at most 1.3",
        held=ratio <= 1.3,
    )


def _bytes_for_one_of(options: StackOptions, count: int) -> int:
    with Stack.start(options) as stack, asyncio.Runner() as loop:
        loop.run(_capture(stack))
        tenants = [str(1000 + number) for number in range(count)]
        _insert_tenants(stack, tenants)
        for _ in range(ROUNDS):
            _write_round(stack, tenants)
        lsn = _lsn(stack)
        config = archive_config(stack, load(SCHEMA))
        subject = subject_of(config)

        def enough() -> bool:
            needs = loop.run(subject.needs())
            return len(needs) >= SEGMENTS and needs[-1].lsn >= lsn

        wait_until(f"{SEGMENTS} segments hold all rows", enough, limit_s=WAIT_S_MAX, poll_s=0.1)
        before = stack.proxy_bytes("restorer-minio")
        result = loop.run(subject_of(config).restore(tenants[count // 2], Cut(), "live"))
        if result.result != "restored":
            raise AssertionError(f"the restore that was to be measured {result.result}: {result.detail}")
        return stack.proxy_bytes("restorer-minio") - before


def _write_round(stack: Stack, tenants: list[str]) -> None:
    """Write one row for each tenant, of which nothing can be compressed away but the hex of its bytes."""
    chars = TENANT_BYTES // ROUNDS
    rows = ", ".join(f"({tenant}, '{secrets.token_urlsafe(chars)[:chars]}')" for tenant in tenants)
    began_s = time.monotonic()
    postgres.run_sql(
        stack.endpoints.app_dsn, f"INSERT INTO helpdesk.projects (tenant_id, title) VALUES {rows}"
    )
    wait_until("the next second", lambda: time.monotonic() >= began_s + 1, limit_s=WAIT_S_MAX, poll_s=0.02)
