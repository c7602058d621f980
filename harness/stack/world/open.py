"""Puts the drive's ports together over a running stack: one world for all drills on it."""

from __future__ import annotations

from collections.abc import Callable

from minio import Minio
from psycopg.conninfo import make_conninfo

from harness.drive.ports import World
from harness.schemas import LoadedSchema
from harness.stack.programs import locate
from harness.stack.stack import Stack
from harness.stack.world.bucket import MinioBucket, patient_client
from harness.stack.world.clock import WallClock
from harness.stack.world.copies import StackCopies
from harness.stack.world.database import SCRATCH
from harness.stack.world.intruder import MinioIntruder
from harness.stack.world.machinery import StackMachinery
from harness.stack.world.misset import AS_THEY_SHOULD_BE, Misset
from harness.stack.world.stages import StackStages
from harness.stack.world.witness import StackWitness
from harness.subject.port import Subject, Traceable
from harness.subject.reference.adapters.local_files import make_signing_key
from harness.subject.reference.config import ArchiveConfig
from harness.subject.reference.health import PROMISE_S


def open_world(
    stack: Stack,
    loaded: LoadedSchema,
    subject: Subject,
    subject_at: Callable[[str], Subject] | None = None,
    *,
    config: ArchiveConfig | None = None,
    holdings: Traceable | None = None,
    misset: Misset = AS_THEY_SHOULD_BE,
) -> World:
    """Return the world of drills on ``stack``; nothing is started, loaded or captured by this.

    ``subject_at``: the subject over the object server at another URL; without it no copy is restored from.
    ``config``: what the archiver is told, if not what ``archive_config`` says. ``holdings``: who tells what
    the archive holds; without it no loss is blamed on anybody beyond Kafka. ``misset``: what is planted.
    """
    names, clock = stack.endpoints, WallClock()
    foreign: set[str] = set()
    database = misset.database(schema=loaded.schema, app_dsn=names.app_dsn, admin_dsn=names.admin_dsn)
    machinery = StackMachinery(
        stack=stack,
        loaded=loaded,
        database=database,
        subject=subject,
        clock=clock,
        watch=_bucket(stack, foreign),
        config=config or archive_config(stack, loaded),
        misset=misset,
    )
    return World(
        clock=clock,
        database=database,
        bucket=_bucket(stack, foreign),
        machinery=machinery,
        subject=subject,
        copies=_copies(stack, subject_at),
        witness=None if stack.witness.why_not else StackWitness(stack.witness, loaded.schema),
        no_witness=stack.witness.why_not,
        stages=StackStages(names, loaded.schema, clock, holdings),
        intruder=MinioIntruder(client=_client(stack), bucket=names.bucket, names=foreign),
    )


def _copies(stack: Stack, subject_at: Callable[[str], Subject] | None) -> StackCopies | None:
    return StackCopies(stack.copies, subject_at) if subject_at and stack.copies.possible else None


def archive_config(stack: Stack, loaded: LoadedSchema, *, promise_s: float = PROMISE_S) -> ArchiveConfig:
    """Return what the reference archiver and restorer of this stack are to be told.

    ``promise_s``: an exposure beyond it is a breach, which they are to tell.
    """
    names = stack.endpoints
    return ArchiveConfig(
        schema=str(loaded.folder),
        dsn=names.archiver_dsn,
        restorer_dsn=names.restorer_dsn,
        scratch_dsn=make_conninfo(names.restorer_dsn, dbname=SCRATCH),
        kafka_bootstrap=names.kafka_archiver,
        topic=names.topic,
        s3_endpoint=names.s3_archiver,
        s3_restorer_endpoint=names.s3_restorer,
        s3_access_key=names.access_key,
        s3_secret_key=names.secret_key,
        bucket=names.bucket,
        keys_path=str(names.keys_folder / "keys.sqlite"),
        index_path=str(names.archiver_folder / "owners.sqlite"),
        state_path=str(names.archiver_folder / "state.json"),
        placeholder=names.placeholder,
        publication=names.publication,
        promise_s=promise_s,
        pg_dump=str(locate().postgres_bin / "pg_dump"),
        connect_url=names.connect_url,
        connector=names.connector,
        slot=names.slot,
        signing_key_path=str(names.keys_folder / "signing.pem"),
        verify_key=make_signing_key(names.keys_folder / "signing.pem").verify_key,
    )


def _bucket(stack: Stack, foreign: set[str]) -> MinioBucket:
    return MinioBucket(
        client=_client(stack),
        bucket=stack.endpoints.bucket,
        sent_bytes=lambda: stack.proxy_bytes("restorer-minio"),
        foreign=foreign,
    )


def _client(stack: Stack) -> Minio:
    names = stack.endpoints
    return patient_client(names.s3_direct, access_key=names.access_key, secret_key=names.secret_key)
