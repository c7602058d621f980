"""``restoreproof up``: a whole pipeline on a schema, its addresses printed, held until Ctrl-C.

For people who want to look around: a database to write to, the topic and the bucket in which it arrives,
and the archive's configuration, with which ``archive status`` and ``restore`` can be tried.
"""

from __future__ import annotations

import asyncio
import time

from rich.console import Console

from harness.schemas import LoadedSchema, load
from harness.stack.endpoints import Endpoints
from harness.stack.options import StackOptions
from harness.stack.services.archiver import CONFIG_FILE
from harness.stack.stack import Stack
from harness.stack.together import StepSeen
from harness.stack.wait import hold as hold_until_interrupted
from harness.stack.world.clock import WallClock
from harness.stack.world.open import archive_config, open_world
from harness.subject.reference.adapters.wiring import subject_of


def hold(schema: str, options: StackOptions) -> None:
    """Start a stack that captures and archives ``schema``, print how to reach it, hold it until Ctrl-C.

    Returns after Ctrl-C or SIGTERM, once nothing is left behind. Raises what ``Stack.start`` raises.
    """
    loaded = load(schema)
    console = Console(highlight=False)
    began_s = time.monotonic()
    try:
        with Stack.start(options, lambda seen: _show(console, seen)) as stack:
            asyncio.run(_start_pipeline(stack, loaded))
            _print_addresses(console, stack, time.monotonic() - began_s)
            hold_until_interrupted()
    except KeyboardInterrupt:
        console.print("stopped; nothing was left behind")


async def _start_pipeline(stack: Stack, loaded: LoadedSchema) -> None:
    subject = subject_of(archive_config(stack, loaded), clock=WallClock())
    machinery = open_world(stack, loaded, subject).machinery
    await machinery.prepare(fresh=False)
    await machinery.start_capture()


def addresses(stack: Stack) -> dict[str, str]:
    """Return what a person needs to reach the services of a stack, by what it is."""
    names: Endpoints = stack.endpoints
    return {
        "Postgres, as the application": names.app_dsn,
        "Postgres, as superuser": names.admin_dsn,
        "Standby, read only": names.standby_dsn,
        "S3 endpoint": names.s3_direct,
        "S3 access key": names.access_key,
        "S3 secret key": names.secret_key,
        "S3 bucket": names.bucket,
        "Kafka": names.kafka_direct,
        "Kafka topic": names.topic,
        "Connect": f"{names.connect_url}/connectors/{names.connector}/status",
        "Archive's configuration": str(stack.folder / "files" / "archiver" / CONFIG_FILE),
        "Logs": str(stack.logs_dir),
    }


def _show(console: Console, seen: StepSeen) -> None:
    if seen.state != "starting":
        console.print(f"  {seen.name:<14} {seen.state} after {seen.spent_s:.1f} s")


def _print_addresses(console: Console, stack: Stack, spent_s: float) -> None:
    """One plain line for each, never wrapped, so that it can be copied."""
    memory_mib = sum(stack.memory_bytes().values()) >> 20
    console.print(f"up after {spent_s:.1f} s, {memory_mib} MiB; Ctrl-C ends it")
    for what, where in addresses(stack).items():
        console.print(f"  {what:<30} {where}", soft_wrap=True, markup=False)
