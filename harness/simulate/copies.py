"""Copies of the simulated bucket (``drive.ports.Copies``): stores of their own, and subjects over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

from harness.model.history import Cut
from harness.simulate.archive_ports import MemoryStore
from harness.simulate.latency import Latency
from harness.subject.port import RestoreResult, Subject


class SimulatedCopies:
    """``subject_over`` gives the system under test over another store than its own."""

    def __init__(
        self, store: MemoryStore, latency: Latency, subject_over: Callable[[MemoryStore], Subject]
    ) -> None:
        self._store = store
        self._latency = latency
        self._subject_over = subject_over
        self._copies: dict[int, MemoryStore] = {}
        self._served: dict[int, Subject] = {}

    async def take(self, copy: int) -> None:
        """Copy the store as it is when the call is made."""
        self._copies[copy] = self._store.copy()
        await self._latency.object_call()

    async def serve(self, copies: Sequence[int]) -> None:
        """Put the system under test over each copy."""
        self._served = {copy: self._subject_over(self._copies[copy]) for copy in copies}

    async def restore(self, copy: int, tenant: str) -> RestoreResult:
        """Restore a tenant up to the end of a copy."""
        return await self._served[copy].restore(tenant, Cut(), "scratch")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        self._copies.clear()
        self._served.clear()
