"""From a configuration to working parts: the archiver, the restorer, the subject."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from harness.model.errors import BadInput
from harness.model.history import Place
from harness.model.schema import Schema
from harness.schemas import load
from harness.subject.reference.adapters.clock import MonotonicClock
from harness.subject.reference.adapters.envelope import Reader
from harness.subject.reference.adapters.kafka_feed import KafkaFeed
from harness.subject.reference.adapters.lint import lint, refuse
from harness.subject.reference.adapters.local_files import SqliteIndex, SqliteKeys, read_signing_key
from harness.subject.reference.adapters.postgres_target import PostgresTarget
from harness.subject.reference.adapters.s3_store import S3Store
from harness.subject.reference.adapters.source import PostgresSource
from harness.subject.reference.archiver import Archiver, ArchiverPorts
from harness.subject.reference.config import ArchiveConfig
from harness.subject.reference.fencing import Identity
from harness.subject.reference.health import Health
from harness.subject.reference.ports import Clock, Target
from harness.subject.reference.restorer import Restorer
from harness.subject.reference.rules import MISSING
from harness.subject.reference.signing import Signer, Trust
from harness.subject.reference.subject import ReferenceSubject
from harness.subject.reference.traces import ReferenceHoldings
from harness.subject.reference.values import not_carried

WORD_OLD_S = 5.0
"""An archiver leaves word each second; one that left none for so long is not at work."""

_log = logging.getLogger(__name__)

FRESH_S = 4.0
"""Who is at work leaves word each second; older word is of one that is gone, or stands still."""


class LastWord(msgspec.Struct, frozen=True, kw_only=True):
    """What an archiver leaves on its own disk, about each second.

    ``at_s``: when, in seconds since 1970, by the archiver's own clock. ``left_s``: by the filesystem's,
    which the reader fills in: an archiver whose clock is off is at work all the same.
    """

    stopped: str | None = None
    health: Health | None = None
    at_s: float = 0.0
    left_s: float = 0.0
    pid: int = 0


def schema_of(config: ArchiveConfig) -> Schema:
    """Return the declared schema; raises BadInput when a column's type can't be carried."""
    schema = load(config.schema).schema
    lost = not_carried(schema)
    if lost:
        table, column, declared = lost[0]
        raise BadInput(
            f"{table}.{column} is of type {declared}, whose values arrive changed",
            cure=f"ALTER TABLE {table} ALTER COLUMN {column} TYPE text",
        )
    return schema


def archiver_of(
    config: ArchiveConfig, *, kind: Callable[..., Archiver] = Archiver, take_over: bool = False
) -> Archiver:
    """Build the archiver; ``kind`` lets a test put a broken one in its place."""
    schema = schema_of(config)
    ports = ArchiverPorts(
        feed=feed_of(config),
        store=store_of(config, config.s3_endpoint),
        keys=SqliteKeys(config.keys_path),
        index=SqliteIndex(config.index_path),
        source=PostgresSource(dsn=config.dsn, pg_dump=config.pg_dump),
        clock=MonotonicClock(),
        signer=signer_of(config),
        trust=trust_of(config),
        identity=Identity(writer=config.writer, take_over=take_over),
        promise_s=config.promise_s,
    )
    return kind(schema=schema, ports=ports, flush_interval_s=config.flush_interval_s)


def feed_of(config: ArchiveConfig) -> KafkaFeed:
    """Return the change feed, at the archiver's own place in it."""
    return KafkaFeed(
        bootstrap=config.kafka_bootstrap,
        topic=config.topic,
        group=config.kafka_group,
        reader=Reader(schema=schema_of(config), placeholder=config.placeholder),
    )


def signer_of(config: ArchiveConfig) -> Signer | None:
    """Return what the archiver signs with; raises BadInput when readers know another key, or none."""
    if not config.signing_key_path:
        return None
    signer = read_signing_key(config.signing_key_path)
    if signer.verify_key != config.verify_key:
        raise BadInput(
            f"entries would be signed with key {signer.verify_key}, and readers are told to verify them"
            f" with {config.verify_key or 'none'}",
            cure=f'set verify_key = "{signer.verify_key}"',
        )
    return signer


def trust_of(config: ArchiveConfig) -> Trust:
    """Return whom readers of this archive believe."""
    return Trust(config.verify_key, unsigned_until=config.unsigned_until)


def store_of(config: ArchiveConfig, endpoint: str, *, patient: bool = True) -> S3Store:
    """Return the bucket, reached at ``endpoint``."""
    return S3Store(
        endpoint=endpoint,
        access_key=config.s3_access_key,
        secret_key=config.s3_secret_key,
        bucket=config.bucket,
        retention_s=config.retention_s,
        patient=patient,
    )


def restorer_of(config: ArchiveConfig, *, kind: Callable[..., Restorer] = Restorer) -> Restorer:
    """Build the restorer, which reads through an endpoint of its own."""
    return kind(
        schema=schema_of(config),
        store=store_of(config, config.s3_restorer_endpoint),
        keys=SqliteKeys(config.keys_path),
        trust=trust_of(config),
    )


def holdings_of(config: ArchiveConfig, endpoint: str) -> ReferenceHoldings:
    """Return what tells what the archive holds, read at ``endpoint``."""
    return ReferenceHoldings(
        schema=schema_of(config),
        store=store_of(config, endpoint),
        keys=SqliteKeys(config.keys_path),
        trust=trust_of(config),
    )


def subject_of(
    config: ArchiveConfig,
    *,
    clock: Clock | None = None,
    scratch_dsn: str | None = None,
    restorer: Callable[..., Restorer] = Restorer,
    target: Callable[..., Target] = PostgresTarget,
) -> ReferenceSubject:
    """Build the subject. ``scratch_dsn`` instead of the configured one.

    ``restorer`` and ``target`` let a test put broken ones in their places.
    """
    schema = schema_of(config)
    beside = scratch_dsn or config.scratch_dsn
    targets: dict[Place, Target] = {"live": target(dsn=config.restorer_dsn, schema=schema)}
    if beside:
        targets["scratch"] = target(dsn=beside, schema=schema)
    return ReferenceSubject(
        store=store_of(config, config.s3_endpoint, patient=False),
        restorer=restorer_of(config, kind=restorer),
        targets=targets,
        clock=clock or MonotonicClock(),
        flush_interval_s=config.flush_interval_s,
        promise_s=config.promise_s,
        stopped=lambda: stopped_reason(config),
        lives=lambda: is_at_work(last_word(config)),
        trust=trust_of(config),
    )


def write_state(config: ArchiveConfig, *, reason: str | None, health: Health | None = None) -> None:
    """Leave word of how the archiver is, and of why it stopped, if it did; whole or not at all."""
    file = Path(config.state_path)
    file.parent.mkdir(parents=True, exist_ok=True)
    word = LastWord(stopped=reason, health=health, at_s=time.time(), pid=os.getpid())
    fresh = file.with_name(f"{file.name}.{os.getpid()}")
    fresh.write_bytes(msgspec.json.encode(word))
    fresh.replace(file)


def last_word(config: ArchiveConfig) -> LastWord | None:
    """Return what the archiver left word of last; None when it never did, or its disk is gone."""
    file = Path(config.state_path)
    try:
        word = msgspec.json.decode(file.read_bytes(), type=LastWord)
        return msgspec.structs.replace(word, left_s=file.stat().st_mtime)
    except (OSError, msgspec.DecodeError):
        return None


def is_running(config: ArchiveConfig) -> bool:
    """Whether an archiver of this configuration is at work on this machine, by its last word."""
    word = last_word(config)
    if word is None or word.stopped is not None or time.time() - word.left_s > WORD_OLD_S:
        return False
    return Path(f"/proc/{word.pid}").exists()


def stopped_reason(config: ArchiveConfig) -> str | None:
    """Return why the archiver stopped; None when it did not, or left no word."""
    word = last_word(config)
    return word.stopped if word is not None else None


def is_at_work(word: LastWord | None) -> bool:
    """Whether the archiver left word just now, and no reason of a stop."""
    return word is not None and word.stopped is None and time.time() - word.left_s < FRESH_S


def refuse_what_cant_be_carried(config: ArchiveConfig) -> None:
    """Run the lint on the captured database; raises LintRefused. One that is away can't be looked at.

    A table that was dropped is no reason to archive nothing of the others.
    """
    schema = schema_of(config)
    try:
        found = lint(config.dsn, schema, publication=config.publication, trial=False)
    except BadInput as away:
        _log.warning("not looked at before the start: %s", away.message)
        return
    refuse([problem for problem in found if problem.what != MISSING])
