"""The object store on S3: a versioned bucket with Object Lock, through the minio client.

Each object is put once (If-None-Match), in one piece, under COMPLIANCE retention that is read back, and
read by VersionId ever after. The client's own ``put_object`` takes no condition and splits what is large,
so the single PUT goes through the call below it.
"""

from __future__ import annotations

import asyncio
import base64
import builtins
import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

import urllib3
from minio import Minio
from minio.commonconfig import COMPLIANCE
from minio.error import InvalidResponseError, S3Error, ServerError

from harness.model.errors import ArchiveBroken
from harness.subject.reference.ports import StoredObject, StoreUnavailable

THREADS = 8
ANSWER_S_MAX = 30.0
REGION = "us-east-1"
"""Said, not asked: a question for it would precede the first request."""

_GONE = ("NoSuchKey", "NoSuchVersion", "MethodNotAllowed")
_BUSY = (
    *("SlowDown", "ServiceUnavailable", "InternalError", "XMinioServerNotInitialized", "RequestTimeout"),
    *("XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "InsufficientStorage"),
)
"""Answers that may be others later: a server that starts, is overloaded, or is out of space."""
_TORN = (InvalidResponseError, ParseError)
"""An answer that a broken connection cut short."""

T = TypeVar("T")


class S3Store:
    """One bucket. ``retention_s`` is how long what is written stays locked.

    ``patient``: False to be told soon, after one try, that the server is away.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        access_key: str,
        secret_key: str,
        bucket: str,
        retention_s: float,
        patient: bool = True,
    ) -> None:
        self._bucket = bucket
        self._retention = timedelta(seconds=retention_s)
        self._threads = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="s3")
        parts = urlsplit(endpoint)
        self._client = Minio(
            parts.netloc,
            access_key=access_key,
            secret_key=secret_key,
            secure=parts.scheme == "https",
            region=REGION,
            http_client=_pool(patient=patient),
        )

    async def put_once(self, key: str, body: bytes) -> StoredObject:
        """Write a new key and read its retention back; an existing one must hold these very bytes."""
        return await self._run(lambda: self._put(key, body))

    async def put_again(self, key: str, body: bytes) -> StoredObject:
        """Write one more version of a key and read its retention back."""
        return await self._run(lambda: self._put(key, body, once=False))

    async def get(self, key: str, version: str, *, start: int = 0, size: int | None = None) -> bytes:
        """Read part of one version."""
        if size == 0:
            return b""
        return await self._run(lambda: self._get(key, version, start, size))

    async def list(self, prefix: str, *, after: str = "") -> Sequence[StoredObject]:
        """List the oldest version of each key, in key order."""
        return await self._run(lambda: self._list(prefix, after))

    async def versions_of(self, key: str) -> Sequence[StoredObject]:
        """List the versions of one key, the oldest first."""
        under = await self._run(lambda: self._versions(key, ""))
        return [found for found in under if found.key == key]

    async def retention_s(self, key: str, version: str) -> float | None:
        """Return how long a version is still locked in COMPLIANCE mode."""
        return await self._run(lambda: self._locked_s(key, version))

    def close(self) -> None:
        """End the threads; running calls are finished first."""
        self._threads.shutdown()

    def _put(self, key: str, body: bytes, *, once: bool = True) -> StoredObject:
        until = datetime.now(UTC) + self._retention
        headers: dict[str, str | builtins.list[str] | tuple[str]] = {
            **({"If-None-Match": "*"} if once else {}),
            "Content-Type": "application/octet-stream",
            "Content-MD5": base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode(),
            "x-amz-object-lock-mode": COMPLIANCE,
            "x-amz-object-lock-retain-until-date": until.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        try:
            put = self._client._put_object(self._bucket, key, body, headers)
        except S3Error as error:
            if error.code != "PreconditionFailed":
                raise
            return self._same_as_stored(key, body)
        if put.version_id and self._locked_s(key, put.version_id) is not None:
            return self._require_locked(key, put.version_id, len(body))
        return self._after_torn_answer(key, body, once=once)

    def _after_torn_answer(self, key: str, body: bytes, *, once: bool) -> StoredObject:
        """Headers that a broken connection cut short look like whole ones: ask what is there instead."""
        if not once:
            raise StoreUnavailable(f"the answer to a PUT of {key} names no version that is locked")
        return self._same_as_stored(key, body)

    def _same_as_stored(self, key: str, body: bytes) -> StoredObject:
        """The answer to an earlier try was lost, or somebody else writes here (FM-84)."""
        stored = next((found for found in self._list(key, "") if found.key == key), None)
        if stored is None or self._get(key, stored.version, 0, None) != body:
            raise ArchiveBroken(
                f"{key} exists with other bytes: somebody else writes to this archive",
                cure="let one archiver run, and give each archive a bucket of its own",
            )
        return self._require_locked(key, stored.version, len(body))

    def _require_locked(self, key: str, version: str | None, size_bytes: int) -> StoredObject:
        locked_s = self._locked_s(key, version) if version else None
        if version is None or locked_s is None or locked_s < self._retention.total_seconds() / 2:
            raise ArchiveBroken(
                f"{key} is not locked as it was written: version {version}, {locked_s} s left (FM-89)",
                cure="use a bucket with versioning and Object Lock",
            )
        return StoredObject(key=key, version=version, size_bytes=size_bytes)

    def _get(self, key: str, version: str, start: int, size: int | None) -> bytes:
        answer = self._client.get_object(
            self._bucket, key, offset=start, length=size or 0, version_id=version
        )
        try:
            body = bytes(answer.read())
        finally:
            answer.release_conn()
        if answer.headers.get("Content-Length") != str(len(body)):
            raise StoreUnavailable(f"the answer to a GET of {key} was cut short")
        return body

    def _list(self, prefix: str, after: str) -> tuple[StoredObject, ...]:
        oldest: dict[str, StoredObject] = {}
        for found in self._versions(prefix, after):
            oldest.setdefault(found.key, found)
        return tuple(oldest[key] for key in sorted(oldest))

    def _versions(self, prefix: str, after: str) -> builtins.list[StoredObject]:
        """List what lies under a prefix; of each key the oldest version comes first."""
        listed = [
            StoredObject(key=found.object_name, version=found.version_id, size_bytes=found.size)
            for found in self._client.list_objects(
                self._bucket, prefix=prefix, recursive=True, start_after=after, include_version=True
            )
            if not found.is_delete_marker
        ]
        return listed[::-1]  # S3 lists the newest version of a key first

    def _locked_s(self, key: str, version: str) -> float | None:
        try:
            lock = self._client.get_object_retention(self._bucket, key, version)
        except S3Error as error:
            if error.code in ("NoSuchObjectLockConfiguration", *_GONE):
                return None
            raise
        if lock is None or lock.mode != COMPLIANCE:
            return None
        return (lock.retain_until_date - datetime.now(UTC)).total_seconds()

    async def _run(self, call: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except S3Error as error:
            if error.code in _GONE:
                raise ArchiveBroken(f"{error.object_name} is not in the bucket: {error.code}") from None
            if error.code in _BUSY:
                raise StoreUnavailable(f"{error.code}: {error.message}") from None
            raise ArchiveBroken(f"the object store refused: {error.code} {error.message}") from error
        except (*_TORN, urllib3.exceptions.HTTPError, ServerError, OSError) as error:
            raise StoreUnavailable(f"{type(error).__name__}: {error}") from error


def _pool(*, patient: bool) -> urllib3.PoolManager:
    """A cut connection is tried anew at once: every call may be made twice.

    A starting server answers Retry-After: 60, which is not obeyed; waiting for it is the caller's business.
    """
    return urllib3.PoolManager(
        maxsize=THREADS,
        timeout=urllib3.Timeout(connect=2, read=ANSWER_S_MAX if patient else 2),
        retries=urllib3.Retry(
            total=2 if patient else 0, backoff_factor=0.05, respect_retry_after_header=False
        ),
    )
