"""What no lock of an object server covers: said on the page about object stores, and so it is."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from fixtures.object_servers import ObjectServer
from harness.model.errors import ArchiveBroken
from harness.subject.reference.adapters.s3_store import S3Store
from harness.subject.reference.ports import StoredObject

pytestmark = [pytest.mark.live, pytest.mark.local_only]


def test_whoever_reaches_the_filer_of_seaweedfs_is_past_every_lock(seaweedfs_server: ObjectServer) -> None:
    """It deletes a locked version without asking for credentials: only its S3 port may be reached."""
    server = seaweedfs_server

    async def main() -> None:
        store = S3Store(
            endpoint=server.url,
            access_key=server.access_key,
            secret_key=server.secret_key,
            bucket=server.bucket,
            retention_s=3600.0,
        )
        try:
            stored: StoredObject = await store.put_once("doors/000000000001", b"locked")
            assert await store.get(stored.key, stored.version) == b"locked"
            url = f"{server.back_door}/buckets/{server.bucket}/doors"
            async with httpx.AsyncClient(trust_env=False) as anybody:
                answer = await anybody.delete(url, params={"recursive": "true"})
            assert answer.is_success, answer.text
            with pytest.raises(ArchiveBroken, match="not in the bucket"):
                await store.get(stored.key, stored.version)
        finally:
            store.close()

    asyncio.run(main())
