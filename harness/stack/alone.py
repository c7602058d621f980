"""Parts of a stack for one's own tests: a Postgres pair, a locked bucket, a change-capture pipeline.

Each is a ``Stack`` of which only some services run, on either host, with its addresses spelled out. All of
the stack's disturbances work on it: ``pair.stack.kill("primary")``, ``pair.stack.cut("clients-primary")``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from psycopg import sql

from harness.model.errors import BadInput
from harness.stack.options import StackOptions
from harness.stack.services import postgres
from harness.stack.stack import Stack

PAIR = ("proxy-postgres", "primary", "standby")
BUCKET = ("minio",)


class PostgresPair(msgspec.Struct, frozen=True, kw_only=True):
    """A primary and its synchronous standby, with an empty database.

    DSNs are libpq URLs: ``dsn`` for the application, through a proxy that can be cut; ``admin_dsn`` for
    the superuser; ``standby_dsn`` for the superuser on the standby, read only.
    """

    stack: Stack
    dsn: str
    admin_dsn: str
    standby_dsn: str


class LockedBucket(msgspec.Struct, frozen=True, kw_only=True):
    """A bucket under Object Lock: whatever is put there is kept for an hour, in compliance mode.

    ``url``: of the S3 server. ``bucket``: its name.
    """

    stack: Stack
    url: str
    access_key: str
    secret_key: str
    bucket: str


class CdcPipeline(msgspec.Struct, frozen=True, kw_only=True):
    """Postgres pair, Debezium, Kafka and a locked bucket.

    ``dsn``, ``admin_dsn``: see ``PostgresPair``. ``kafka``: the bootstrap server, ``host:port``. ``topic``:
    where every change arrives, in commit order, as Debezium's JSON, in one partition. ``bucket``: see
    ``LockedBucket``.
    """

    stack: Stack
    dsn: str
    admin_dsn: str
    kafka: str
    topic: str
    bucket: LockedBucket

    def capture(self, *tables: str) -> None:
        """Capture these tables (``name`` or ``schema.name``) from now on, after a snapshot of their rows.

        Every old value is in the events (REPLICA IDENTITY FULL). Called again, it replaces the tables.
        Returns once changes stream. Raises BadInput without a table.
        """
        if not tables:
            raise BadInput("there is no table to capture", cure='name one: capture("orders")')
        names = self.stack.endpoints
        if postgres.has_publication(names.admin_dsn, names.publication):
            self.stack.stop_capture()
            self.stack.load_capture_sql(f"DROP PUBLICATION {names.publication}")
        self.stack.load_capture_sql(_publish(names.publication, tables))
        self.stack.start_capture()


@contextmanager
def postgres_pair(options: StackOptions) -> Iterator[PostgresPair]:
    """Run a Postgres pair; raises what ``Stack.start`` raises."""
    with _part(options, PAIR) as stack:
        names = stack.endpoints
        yield PostgresPair(
            stack=stack, dsn=names.app_dsn, admin_dsn=names.admin_dsn, standby_dsn=names.standby_dsn
        )


@contextmanager
def locked_bucket(options: StackOptions) -> Iterator[LockedBucket]:
    """Run an object server with one locked bucket; raises what ``Stack.start`` raises."""
    with _part(options, BUCKET) as stack:
        yield _bucket_of(stack)


@contextmanager
def cdc_pipeline(options: StackOptions) -> Iterator[CdcPipeline]:
    """Run a pipeline that captures nothing yet; raises what ``Stack.start`` raises."""
    with Stack.start(options) as stack:
        names = stack.endpoints
        yield CdcPipeline(
            stack=stack,
            dsn=names.app_dsn,
            admin_dsn=names.admin_dsn,
            kafka=names.kafka_direct,
            topic=names.topic,
            bucket=_bucket_of(stack),
        )


def _part(options: StackOptions, only: tuple[str, ...]) -> Stack:
    """Start services that need no Java, and so no cache for it either."""
    return Stack.start(msgspec.structs.replace(options, java_options={}), only=only)


def _bucket_of(stack: Stack) -> LockedBucket:
    names = stack.endpoints
    return LockedBucket(
        stack=stack,
        url=names.s3_direct,
        access_key=names.access_key,
        secret_key=names.secret_key,
        bucket=names.bucket,
    )


def _publish(publication: str, tables: tuple[str, ...]) -> str:
    """Return the SQL that publishes tables with all their old values."""
    named = [sql.Identifier(*table.split(".")) for table in tables]
    full = [sql.SQL("ALTER TABLE {} REPLICA IDENTITY FULL").format(name) for name in named]
    publish = sql.SQL("CREATE PUBLICATION {} FOR TABLE {}").format(
        sql.Identifier(publication), sql.SQL(", ").join(named)
    )
    return sql.SQL("; ").join([*full, publish]).as_string()
