"""What the commands ``archive`` and ``restore`` do, each as a plain function that returns a value."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from harness.model.errors import EXIT_PROVEN, BadInput, SubjectFailed
from harness.model.history import Cut
from harness.subject.port import RestoreResult
from harness.subject.reference.adapters import wiring
from harness.subject.reference.adapters.local_files import SqliteKeys, make_signing_key
from harness.subject.reference.archiver import Archiver
from harness.subject.reference.config import read_config
from harness.subject.reference.format import ManifestEntry
from harness.subject.reference.incidents import (
    Incident,
    NamedCut,
    find_incidents,
    numbered,
    read_time,
)
from harness.subject.reference.manifest import Manifest
from harness.subject.reference.verifier import Verified, Verifier

LAST_FLUSH_S_MAX = 5.0
"""How long a stopped archiver may take for its last flush."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """``archive status``. ``exposure_s``: the age of the last heartbeat in the archive, by this clock.

    ``watermark`` is EPOCH:LSN; ``stopped`` the archiver's reason, if it gave one.
    """

    watermark: str | None
    exposure_s: float | None
    entries: int
    segments: int
    size_bytes: int
    epochs: int
    stopped: str | None


def run(config: str | Path, *, kind: Callable[..., Archiver] = Archiver, take_over: bool = False) -> int:
    """Archive until SIGTERM or SIGINT; return the exit code. The reason of a stop goes to stderr.

    ``take_over``: from an archiver of another name. ``kind`` lets a test put a broken one in its place.
    """
    settings = read_config(config)
    archiver = wiring.archiver_of(settings, kind=kind, take_over=take_over)
    wiring.write_state(settings, reason=None)
    try:
        asyncio.run(_run(archiver))
    except SubjectFailed as failed:
        wiring.write_state(settings, reason=failed.message)
        sys.stderr.write(f"restoreproof archive: stopped: {failed}\n")
        return failed.exit_code
    return EXIT_PROVEN


async def _run(archiver: Archiver) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(archiver.run())

    def stop() -> None:
        archiver.stop()
        loop.call_later(LAST_FLUSH_S_MAX, task.cancel)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        await task
    except asyncio.CancelledError:
        sys.stderr.write("restoreproof archive: ended without a last flush\n")


def status(config: str | Path) -> Status:
    """Look at the archive once. Raises BadInput for the configuration, SubjectFailed for the archive."""
    settings = read_config(config)

    async def look() -> Status:
        manifest = Manifest(wiring.store_of(settings, settings.s3_endpoint), wiring.trust_of(settings))
        await manifest.catch_up()
        entries = [link.entry for link in manifest.links]
        segments = [entry.segment for entry in entries if entry.segment is not None]
        return Status(
            watermark=str(entries[-1].end) if entries else None,
            exposure_s=_age_s(entries[-1]) if entries else None,
            entries=len(entries),
            segments=len(segments),
            size_bytes=sum(link.stored.size_bytes for link in manifest.links)
            + sum(segment.size_bytes for segment in segments),
            epochs=len(entries[-1].epochs) if entries else 0,
            stopped=wiring.stopped_reason(settings),
        )

    return asyncio.run(look())


def verify(config: str | Path) -> Verified:
    """Read and check the whole archive."""
    settings = read_config(config)
    store = wiring.store_of(settings, settings.s3_endpoint)
    verifier = Verifier(store, SqliteKeys(settings.keys_path), wiring.trust_of(settings))
    return asyncio.run(verifier.verify())


def key(config: str | Path) -> str:
    """Return the public key for ``verify_key``, making the pair if there is none yet."""
    settings = read_config(config)
    if not settings.signing_key_path:
        raise BadInput("the configuration names no signing_key_path", cure="add it, beside keys_path")
    return make_signing_key(settings.signing_key_path).verify_key


def incidents(config: str | Path) -> list[Incident]:
    """Return the transactions that took most of a tenant's rows, from the archive alone."""
    settings = read_config(config)

    async def look() -> list[Incident]:
        store = wiring.store_of(settings, settings.s3_restorer_endpoint)
        manifest = Manifest(store, wiring.trust_of(settings))
        await manifest.catch_up()
        keys = SqliteKeys(settings.keys_path)
        return await find_incidents(store, keys, wiring.schema_of(settings), manifest.links)

    return asyncio.run(look())


def cut_of_incident(config: str | Path, number: int) -> NamedCut:
    """Return the cut just before incident ``number``, in words too."""
    incident = numbered(incidents(config), number)
    words = f"cut just before transaction {incident.xid} at {incident.position} of {incident.at}"
    return NamedCut(cut=incident.cut, words=words)


def cut_before_time(config: str | Path, tenant: str, at: str) -> NamedCut:
    """Return the cut of a tenant just before a time (ISO 8601 with its offset), in words too."""
    settings, when = read_config(config), read_time(at)
    return asyncio.run(wiring.restorer_of(settings).cut_before_time(tenant, when))


def restore(config: str | Path, tenant: str, cut: Cut, into: str | None = None) -> RestoreResult:
    """Restore one tenant, in place or, with a DSN, beside."""
    settings = read_config(config)
    if into is None and not settings.restorer_dsn:
        raise BadInput("the configuration names no restorer_dsn", cure="add it, or give --into")

    async def bring_back() -> RestoreResult:
        subject = wiring.subject_of(settings, scratch_dsn=into)
        return await subject.restore(tenant, cut, "scratch" if into else "live")

    return asyncio.run(bring_back())


def _age_s(entry: ManifestEntry) -> float | None:
    if entry.beat is None:
        return None
    try:
        at = datetime.fromisoformat(entry.beat.at)
    except ValueError:
        return None
    return (datetime.now(UTC) - at).total_seconds()
