"""Someone with the bucket's credentials, through the minio client (``drive.ports.Intruder``).

What the server answers is passed on in its own words; one that is away is no answer, and is waited for.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import urllib3
from minio import Minio
from minio.deleteobjects import DeleteObject
from minio.error import S3Error, ServerError
from minio.objectlockconfig import ObjectLockConfig
from minio.retention import Retention
from minio.versioningconfig import SUSPENDED, VersioningConfig

from harness.drive.ports import Answer, ObjectVersion
from harness.stack.wait import wait_for

SOON = timedelta(seconds=1)
AWAY_S_MAX = 120.0
AWAY = (urllib3.exceptions.HTTPError, ServerError, OSError)
T = TypeVar("T")


class MinioIntruder:
    """Acts on one bucket. ``names`` collects the names that objects were put under."""

    def __init__(self, *, client: Minio, bucket: str, names: set[str]) -> None:
        self._client = client
        self._bucket = bucket
        self._names = names

    async def versions(self) -> Sequence[ObjectVersion]:
        return await asyncio.to_thread(_patiently, self._versions)

    async def read(self, key: str, version: str) -> bytes:
        return await asyncio.to_thread(_patiently, lambda: self._read(key, version))

    async def put(self, key: str, body: bytes, *, new: bool) -> Answer:
        headers: dict[str, str | list[str] | tuple[str]] = {
            "Content-MD5": base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode(),
            **({"If-None-Match": "*"} if new else {}),
        }

        def put() -> str:
            self._names.add(key)  # before anybody can list it
            return f"version {self._client._put_object(self._bucket, key, body, headers).version_id}"

        return await asyncio.to_thread(_answered, put)

    async def delete(self, key: str, version: str | None, *, bypass: bool = False) -> Answer:
        def delete() -> str:
            self._client.remove_object(self._bucket, key, version)
            return "deleted" if version else "a delete marker"

        def delete_bypassing() -> Answer:
            doomed = [DeleteObject(key, version)]
            errors = list(self._client.remove_objects(self._bucket, doomed, bypass_governance_mode=True))
            words = [f"{error.code}: {error.message}" for error in errors]
            return Answer(refused=bool(errors), words=words[0] if words else "deleted")

        return await (
            asyncio.to_thread(_patiently, delete_bypassing)
            if bypass
            else asyncio.to_thread(_answered, delete)
        )

    async def shorten(self, key: str, version: str, *, mode: str) -> Answer:
        def shorten() -> str:
            soon = Retention(mode, datetime.now(UTC) + SOON)
            self._client.set_object_retention(self._bucket, key, soon, version)
            return f"{mode} until {soon.retain_until_date}"

        return await asyncio.to_thread(_answered, shorten)

    async def suspend_versioning(self) -> Answer:
        def suspend() -> str:
            self._client.set_bucket_versioning(self._bucket, VersioningConfig(SUSPENDED))
            return "versioning is suspended"

        return await asyncio.to_thread(_answered, suspend)

    async def remove_lock_rule(self) -> Answer:
        def remove() -> str:
            self._client.set_object_lock_config(self._bucket, ObjectLockConfig(None, None, None))
            return "the bucket has no rule any more"

        return await asyncio.to_thread(_answered, remove)

    def _versions(self) -> list[ObjectVersion]:
        listed = self._client.list_objects(self._bucket, recursive=True, include_version=True)
        found = [
            ObjectVersion(key=found.object_name or "", version=found.version_id or "")
            for found in listed
            if not found.is_delete_marker
        ]
        found.reverse()  # S3 lists the newest version of a key first
        return sorted(found, key=lambda version: version.key)

    def _read(self, key: str, version: str) -> bytes:
        answer = self._client.get_object(self._bucket, key, version_id=version)
        try:
            return bytes(answer.read())
        finally:
            answer.release_conn()


def _answered(act: Callable[[], str]) -> Answer:
    """Do something; a refusal is an answer."""
    try:
        return Answer(refused=False, words=_patiently(act))
    except S3Error as refused:
        return Answer(refused=True, words=f"{refused.code}: {refused.message}")


def _patiently(act: Callable[[], T]) -> T:
    """Do something once the server answers, which a fault may have put away; raises TimedOut."""
    return wait_for("the object server answers an intruder", act, limit_s=AWAY_S_MAX, transient=AWAY)
