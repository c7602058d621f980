"""MinIO: the object server, with one bucket under Object Lock that the harness makes itself.

The bucket's default rule locks whatever is put without a retention of its own (FM-89); S3 counts defaults
in whole days, so it is one day. Archivers set the drill's shorter retention on each object.
"""

from __future__ import annotations

import httpx
import urllib3
from minio import Minio
from minio.commonconfig import COMPLIANCE
from minio.error import S3Error
from minio.objectlockconfig import DAYS, ObjectLockConfig

from harness.stack import rest
from harness.stack.identity import Identity
from harness.stack.service import KERNELS_CLOCK, Address, Command, Fact, ServiceSpec, Site
from harness.stack.wait import NotYet

NOT_THERE = (httpx.HTTPError,)
DEFAULT_RETENTION_DAYS = 1
_LOCK = ObjectLockConfig(COMPLIANCE, DEFAULT_RETENTION_DAYS, DAYS)


def minio(site: Site, identity: Identity, *, name: str = "minio") -> ServiceSpec:
    """Describe the object server: ready when its cluster health is good. ``name``: its port's, too."""
    return ServiceSpec(
        name=name,
        run=Command(
            program="minio",
            arguments=(
                *("server", "--quiet", "--address", str(site.listen(name))),
                site.data(name),
            ),
        ),
        ready=Fact(
            words="the object server's cluster is healthy",
            probe=lambda: _expect_healthy(site.outside(name).url),
            transient=NOT_THERE,
        ),
        ports=(name,),
        environment={
            "MINIO_ROOT_USER": identity.access_key,
            "MINIO_ROOT_PASSWORD": identity.secret_key,
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
            "MINIO_CALLHOME_ENABLE": "off",
            "GOMEMLIMIT": "200MiB",
        },
        abilities=KERNELS_CLOCK,
    )


def client(address: Address | str, identity: Identity) -> Minio:
    """Return a client with a connection pool of its own.

    A starting MinIO answers ``Retry-After: 60``, which urllib3 would obey: it is told not to.
    """
    retry = urllib3.Retry(total=3, backoff_factor=0.1, respect_retry_after_header=False)
    pool = urllib3.PoolManager(timeout=urllib3.Timeout(connect=2, read=30), retries=retry)
    return Minio(
        str(address),
        access_key=identity.access_key,
        secret_key=identity.secret_key,
        secure=False,
        http_client=pool,
    )


def create_bucket(address: Address, identity: Identity) -> None:
    """Make the bucket with versioning, Object Lock and the default rule."""
    server = client(address, identity)
    server.make_bucket(identity.bucket, object_lock=True)
    server.set_object_lock_config(identity.bucket, _LOCK)


def expect_locked(address: Address, identity: Identity) -> None:
    """Probe: the bucket's lock and versioning, read back, are what was asked for (FM-88)."""
    lock = expect_lockable(address, identity)
    if lock != _LOCK:
        raise NotYet(str(lock))


def expect_lockable(address: Address, identity: Identity) -> ObjectLockConfig:
    """Probe: the bucket has Object Lock and versions; return its default rule, which an attack may take."""
    server = client(address, identity)
    try:
        lock = server.get_object_lock_config(identity.bucket)
        versioning = server.get_bucket_versioning(identity.bucket).status
    except S3Error as refused:
        raise NotYet(f"{refused.code}: {refused.message}") from refused
    if versioning != "Enabled":
        raise NotYet(f"{lock}, versioning {versioning}")
    return lock


def _expect_healthy(url: str) -> None:
    answer = rest.get(f"{url}/minio/health/cluster", timeout_s=2.0)
    if answer.status_code != httpx.codes.OK:
        raise NotYet(f"{answer.status_code} from /minio/health/cluster")
