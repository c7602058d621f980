"""Restores from copies of the bucket on the running stack (``drive.ports.Copies``)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Self

from harness.model.history import Cut
from harness.stack.copies import BucketCopies
from harness.subject.port import RestoreResult, Subject


class StackCopies:
    """``subject_at`` gives the system under test over the object server at another URL."""

    def __init__(self, copies: BucketCopies, subject_at: Callable[[str], Subject]) -> None:
        self._copies = copies
        self._subject_at = subject_at
        self._served: dict[int, Subject] = {}

    async def take(self, copy: int) -> None:
        await asyncio.to_thread(self._copies.take, copy)

    async def serve(self, copies: Sequence[int]) -> None:
        urls = await asyncio.to_thread(self._copies.serve, copies)
        self._served = {copy: self._subject_at(url) for copy, url in urls.items()}

    async def restore(self, copy: int, tenant: str) -> RestoreResult:
        return await self._served[copy].restore(tenant, Cut(), "scratch")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        self._served.clear()
        await asyncio.to_thread(self._copies.end)
