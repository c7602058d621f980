"""What the commands ``archive`` and ``restore`` do, each as a plain function that returns a value."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import msgspec

from harness.model.errors import EXIT_PROVEN, BadInput, LintRefused, SubjectFailed
from harness.model.history import Cut
from harness.subject.port import RestoreResult
from harness.subject.reference.adapters import wiring
from harness.subject.reference.adapters.local_files import SqliteKeys, make_signing_key
from harness.subject.reference.adapters.metrics import metrics_endpoint
from harness.subject.reference.adapters.resnapshot import Resnapshot
from harness.subject.reference.adapters.resnapshot import resnapshot as take_snapshot_anew
from harness.subject.reference.adapters.source import Glance, look_at
from harness.subject.reference.archiver import Archiver
from harness.subject.reference.config import ArchiveConfig, read_config
from harness.subject.reference.format import ManifestEntry
from harness.subject.reference.health import (
    BEHIND_INTERVALS,
    Health,
    Pipeline,
    State,
    age_s,
    exposed_s,
    open_metrics,
    state_of,
)
from harness.subject.reference.incidents import (
    Incident,
    NamedCut,
    find_incidents,
    numbered,
    read_time,
)
from harness.subject.reference.manifest import Manifest
from harness.subject.reference.ports import StoreUnavailable
from harness.subject.reference.verifier import Verified, Verifier

LAST_FLUSH_S_MAX = 5.0
"""How long a stopped archiver may take for its last flush."""
WORD_S = 1.0
"""How often an archiver leaves word."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """``archive status``. ``watermark`` is EPOCH:LSN; ``stopped`` the archiver's reason, if it gave one.

    ``exposure_s``: what would be lost now. ``pipeline`` tells an idle database from heartbeats that were
    not written and such that did not arrive. ``slot_lag_bytes``: WAL not confirmed by the capture.
    ``refused``: objects in the bucket that are no entries of this archive. ``archive``: why the bucket was
    not looked at.
    """

    state: State
    pipeline: Pipeline
    watermark: str | None
    exposure_s: float | None
    slot_lag_bytes: int | None
    entries: int
    segments: int
    size_bytes: int
    epochs: int
    refused: tuple[str, ...]
    stopped: str | None
    archive: str | None = None


def run(config: str | Path, *, kind: Callable[..., Archiver] = Archiver, take_over: bool = False) -> int:
    """Archive until SIGTERM or SIGINT; return the exit code. The reason of a stop goes to stderr.

    ``take_over``: from an archiver of another name. ``kind`` lets a test put a broken one in its place.
    """
    settings = read_config(config)
    _refuse_what_cant_be_carried(settings)
    archiver = wiring.archiver_of(settings, kind=kind, take_over=take_over)
    wiring.write_state(settings, reason=None)
    try:
        with _metrics(settings, archiver):
            asyncio.run(_run(archiver, settings))
    except SubjectFailed as failed:
        wiring.write_state(settings, reason=failed.message, health=archiver.health())
        sys.stderr.write(f"restoreproof archive: stopped: {failed}\n")
        return failed.exit_code
    return EXIT_PROVEN


def _refuse_what_cant_be_carried(settings: ArchiveConfig) -> None:
    """Look before the start, and leave word of a refusal as of any other stop; raises LintRefused."""
    try:
        wiring.refuse_what_cant_be_carried(settings)
    except LintRefused as refused:
        wiring.write_state(settings, reason=refused.message)
        raise


def _metrics(settings: ArchiveConfig, archiver: Archiver) -> AbstractContextManager[object]:
    def text() -> str:
        return open_metrics(archiver.health(), archiver.known.held)

    return metrics_endpoint(settings.metrics_port, text) if settings.metrics_port else nullcontext()


async def _run(archiver: Archiver, settings: ArchiveConfig) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(archiver.run())

    def stop() -> None:
        archiver.stop()
        loop.call_later(LAST_FLUSH_S_MAX, task.cancel)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    watch = asyncio.ensure_future(_watch(archiver, settings))
    try:
        await task
    except asyncio.CancelledError:
        sys.stderr.write("restoreproof archive: ended without a last flush\n")
    finally:
        watch.cancel()


async def _watch(archiver: Archiver, settings: ArchiveConfig) -> None:
    """Leave word each second, and say at once when the archive falls behind or breaks its promise."""
    said: State = "ok"
    while True:
        health = archiver.health()
        try:
            wiring.write_state(settings, reason=None, health=health)
        except OSError as error:
            sys.stderr.write(f"restoreproof archive: {settings.state_path} can't be written: {error}\n")
        if health.state != said and health.exposure_s is not None:
            said = health.state
            sys.stderr.write(f"restoreproof archive: {said}: {_in_words(health, settings)}\n")
        await archiver.clock.sleep(WORD_S)


def _in_words(health: Health, settings: ArchiveConfig) -> str:
    return (
        f"{health.exposure_s:.1f} s would be lost now, {settings.promise_s:.0f} s are promised;"
        f" {health.pipeline}; archived up to {health.watermark}"
    )


def status(config: str | Path) -> Status:
    """Look once at the archive, at the database, and at what the archiver left word of.

    What can't be reached is said and not waited for. Raises BadInput for the configuration, ArchiveBroken.
    """
    settings = read_config(config)

    async def look() -> Status:
        manifest = Manifest(
            wiring.store_of(settings, settings.s3_endpoint, patient=False), wiring.trust_of(settings)
        )
        away = None
        try:
            await manifest.catch_up()
        except StoreUnavailable as error:
            away = error.message
        seen = await look_at(settings.dsn)
        return _status(settings, manifest, seen, away)

    return asyncio.run(look())


def _status(settings: ArchiveConfig, manifest: Manifest, seen: Glance | None, away: str | None) -> Status:
    entries = [link.entry for link in manifest.links]
    segments = [entry.segment for entry in entries if entry.segment is not None]
    word = wiring.last_word(settings)
    exposure_s = _exposure_s(entries, seen, word)
    state = state_of(exposure_s, interval_s=settings.flush_interval_s, promise_s=settings.promise_s)
    stopped = word.stopped if word else None
    said = word.health if word else None
    return Status(
        state="stopped" if stopped is not None else state,
        pipeline=_pipeline(settings, entries, seen, exposure_s),
        watermark=str(entries[-1].watermark) if entries else said.watermark if said else None,
        exposure_s=exposure_s,
        slot_lag_bytes=seen.slot_lag_bytes if seen else None,
        entries=len(entries),
        segments=len(segments),
        size_bytes=sum(link.stored.size_bytes for link in manifest.links)
        + sum(segment.size_bytes for segment in segments),
        epochs=len(entries[-1].epochs) if entries else 0,
        refused=tuple(f"{name}: {why}" for name, why in manifest.refused.items()),
        stopped=stopped,
        archive=away,
    )


def _exposure_s(
    entries: list[ManifestEntry], seen: Glance | None, word: wiring.LastWord | None
) -> float | None:
    """Return the age of the newest heartbeat in the archive, and no less than an archiver at work says."""
    at = entries[-1].beat.at if entries and entries[-1].beat else None
    by_beat_s = age_s(at, seen.now if seen else None) if at is not None else None
    if word is None or word.health is None or word.health.exposure_s is None:
        return by_beat_s
    said_s = word.health.exposure_s + max(time.time() - word.left_s, 0.0)
    return exposed_s(by_beat_s, said_s, at_work=wiring.is_at_work(word))


def _pipeline(
    settings: ArchiveConfig, entries: list[ManifestEntry], seen: Glance | None, exposure_s: float | None
) -> Pipeline:
    late_s = BEHIND_INTERVALS * settings.flush_interval_s
    written_s = age_s(seen.beat_at, seen.now) if seen else None
    if written_s is None or written_s > late_s:
        return "heartbeat not written"
    if exposure_s is None or exposure_s > late_s:
        return "heartbeat not arrived"
    return "idle" if entries and entries[-1].segment is None else "working"


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


def resnapshot(config: str | Path) -> Resnapshot:
    """Have the capture take a fresh snapshot, from which a stopped archiver goes on."""
    settings = read_config(config)
    if wiring.is_running(settings):
        raise BadInput(
            f"the archiver of {settings.state_path} is running, and nothing of its feed may be passed over",
            cure="stop it first; an archiver that has stopped by itself says why in `archive status`",
        )
    return asyncio.run(take_snapshot_anew(settings))


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
