"""Where a stack's clients find its services: addresses that never change while the stack lives."""

from __future__ import annotations

from pathlib import Path

import msgspec

from harness.stack.host import Host
from harness.stack.identity import APP, ARCHIVER, RESTORER, SUPERUSER, Identity
from harness.stack.services.postgres import dsn


class Endpoints(msgspec.Struct, frozen=True, kw_only=True):
    """DSNs are libpq URLs, ``kafka_*`` are ``host:port``, the others HTTP URLs.

    Through a proxy of their own, which a fault can cut: ``app_dsn`` (writers, the owner of the
    application's tables), ``restorer_dsn`` (superuser), ``archiver_dsn`` (commits locally),
    ``kafka_archiver``, ``s3_archiver``, ``s3_restorer``. For the harness itself: ``admin_dsn`` and
    ``standby_dsn`` through proxies that no fault cuts, so that they lead to whichever node is primary, or
    standby, at the time; the others directly.
    ``keys_folder`` outlives everything but the stack; ``archiver_folder`` is the archiver's local disk,
    which is destroyed with it.
    """

    app_dsn: str
    restorer_dsn: str
    archiver_dsn: str
    admin_dsn: str
    standby_dsn: str
    kafka_archiver: str
    kafka_direct: str
    connect_url: str
    s3_archiver: str
    s3_restorer: str
    s3_direct: str
    access_key: str
    secret_key: str
    bucket: str
    topic: str
    slot: str
    publication: str
    connector: str
    placeholder: str
    keys_folder: Path
    archiver_folder: Path


def endpoints_of(site: Host, identity: Identity, keys_folder: Path) -> Endpoints:
    """Return the endpoints of a stack on the host ``site``."""
    return Endpoints(
        app_dsn=dsn(site.outside("clients-primary"), APP),
        restorer_dsn=dsn(site.outside("restorer-primary"), RESTORER),
        archiver_dsn=dsn(site.outside("archiver-primary"), ARCHIVER),
        admin_dsn=dsn(site.outside("harness-primary"), SUPERUSER),
        standby_dsn=dsn(site.outside("harness-standby"), SUPERUSER),
        kafka_archiver=str(site.outside("archiver-kafka")),
        kafka_direct=str(site.outside("kafka-internal")),
        connect_url=site.outside("connect").url,
        s3_archiver=site.outside("archiver-minio").url,
        s3_restorer=site.outside("restorer-minio").url,
        s3_direct=site.outside("minio").url,
        access_key=identity.access_key,
        secret_key=identity.secret_key,
        bucket=identity.bucket,
        topic=identity.topic,
        slot=identity.slot,
        publication=identity.publication,
        connector=identity.connector,
        placeholder=identity.placeholder,
        keys_folder=keys_folder,
        archiver_folder=Path(site.beside.data("archiver")),
    )
