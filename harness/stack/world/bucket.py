"""The archive's bucket as the harness itself sees it: which object versions became readable, and when.

A listing ten times a second must stay cheap while the archive grows. Object names grow in order within
each top-level prefix, as archives are laid out; so a look asks only for what comes from a few names before
the last one seen there on, and for prefixes not seen before. A few, since who is killed leaves a name of
its own, and its successor's may come before that. A full listing now and then meets all else.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import urllib3
from minio import Minio
from minio.error import S3Error

from harness.drive.ports import BucketAway, ObjectVersion
from harness.model.history import Lock

LOOKS_PER_FULL_LISTING_MIN = 50
PROBE_KEY = "probe"
AWAY = (urllib3.exceptions.HTTPError, S3Error, OSError)
"""What a listing meets when the object server is away."""

OBJECTS_PER_LOOK = 10
"""So many objects more, and a full listing comes one look later: its share of the work stays the same."""

NAMES_BACK = 4
"""From so many names before the last one of a prefix on a look lists again."""

LOCKS_AT_ONCE = 8
_GONE = ("NoSuchKey", "NoSuchVersion", "MethodNotAllowed")


class MinioBucket:
    """Listings of one bucket (``drive.ports.Bucket``); calls come one after the other.

    ``sent_bytes`` returns how many bytes the object server has sent to restorers. ``foreign``: names that
    somebody else put there, who may have gone ahead of the archive's order: looks don't go on from them.
    """

    def __init__(
        self,
        *,
        client: Minio,
        bucket: str,
        sent_bytes: Callable[[], int],
        foreign: set[str] | None = None,
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._sent_bytes = sent_bytes
        self._seen: set[ObjectVersion] = set()
        self._last: dict[str, list[str]] = {}
        self._looks_left = 0
        self.foreign = set() if foreign is None else foreign

    async def new_versions(self) -> list[ObjectVersion]:
        try:
            return await asyncio.to_thread(self.look)
        except AWAY as away:
            raise BucketAway(f"{type(away).__name__}: {away}") from away

    async def restorer_bytes(self) -> int:
        return await asyncio.to_thread(self._sent_bytes)

    async def locks(self, versions: Sequence[ObjectVersion]) -> Sequence[Lock]:
        return await asyncio.to_thread(self._locks, versions)

    def look(self) -> list[ObjectVersion]:
        """Return the versions that were not there at the last look, in the order of their names."""
        full = self._looks_left == 0
        self._looks_left -= 1
        found = sorted(
            {*(self._everything() if full else self._tips())} - self._seen,
            key=lambda version: (version.key, version.version),
        )
        self._seen.update(found)
        for version in found:
            if version.key not in self.foreign:
                prefix = _prefix(version.key)
                names = {version.key, *self._last.get(prefix, [])}
                self._last[prefix] = sorted(names)[-NAMES_BACK:]
        if full:
            self._looks_left = max(LOOKS_PER_FULL_LISTING_MIN, len(self._seen) // OBJECTS_PER_LOOK)
        return found

    def _locks(self, versions: Sequence[ObjectVersion]) -> list[Lock]:
        with ThreadPoolExecutor(LOCKS_AT_ONCE) as pool:
            return list(pool.map(self._lock, versions))

    def _lock(self, at: ObjectVersion) -> Lock:
        """Ask for one version's lock by a HEAD, which must find the version too."""
        try:
            head = self._client.stat_object(self._bucket, at.key, version_id=at.version).metadata or {}
        except S3Error as error:
            if error.code not in _GONE:
                raise
            return Lock(key=at.key, version=at.version, there=False)
        until = head.get("x-amz-object-lock-retain-until-date")
        left_s = (datetime.fromisoformat(until) - datetime.now(UTC)).total_seconds() if until else 0.0
        mode = head.get("x-amz-object-lock-mode", "")
        return Lock(key=at.key, version=at.version, mode=mode, left_s=left_s)

    def refuses_writes(self) -> str:
        """Try to write one byte, which must not succeed; return why it was refused, or an empty text."""
        try:
            self._client.put_object(self._bucket, PROBE_KEY, io.BytesIO(b"x"), 1)
        except S3Error as refused:
            return f"{refused.code}: {refused.message}"
        return ""

    def _everything(self) -> Iterator[ObjectVersion]:
        yield from _versions(self._list(recursive=True))

    def _tips(self) -> Iterator[ObjectVersion]:
        top = list(self._list(recursive=False))
        yield from _versions(entry for entry in top if not entry.is_dir)
        for prefix in sorted({entry.object_name for entry in top if entry.is_dir}):
            known = self._last.get(prefix, [])
            after = known[0] if len(known) == NAMES_BACK else None
            yield from _versions(self._list(recursive=True, prefix=prefix, start_after=after))

    def _list(
        self, *, recursive: bool, prefix: str | None = None, start_after: str | None = None
    ) -> Iterator[Any]:
        entries: Iterator[Any] = self._client.list_objects(
            self._bucket,
            prefix=prefix,
            recursive=recursive,
            start_after=start_after,
            include_version=True,
        )
        return entries


def patient_client(url: str, *, access_key: str, secret_key: str) -> Minio:
    """Return a client that never obeys the 60 s ``Retry-After`` of a starting MinIO."""
    retry = urllib3.Retry(total=3, backoff_factor=0.1, respect_retry_after_header=False)
    pool = urllib3.PoolManager(
        maxsize=LOCKS_AT_ONCE, timeout=urllib3.Timeout(connect=2, read=30), retries=retry
    )
    parts = urllib3.util.parse_url(url)
    return Minio(
        parts.netloc or url,
        access_key=access_key,
        secret_key=secret_key,
        secure=parts.scheme == "https",
        http_client=pool,
    )


def _versions(entries: Iterator[Any]) -> Iterator[ObjectVersion]:
    for entry in entries:
        if not entry.is_delete_marker and not entry.is_dir:
            yield ObjectVersion(key=entry.object_name, version=entry.version_id or "")


def _prefix(key: str) -> str:
    head, slash, _ = key.partition("/")
    return head + slash
