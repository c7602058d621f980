"""Restorers that are wrong about DDL, and some that only look wrong."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from harness.simulate.misled import EmptiesAtAnyCut
from harness.simulate.storage import Catalogue
from harness.simulate.target import SimulatedTarget
from harness.subject.reference.format import SchemaRef
from harness.subject.reference.ports import Target
from harness.subject.reference.restorer import Restorer


class LeavesUnpublished(SimulatedTarget):
    """Rebuilds what was dropped, and forgets to publish it again: nobody captures those rows any more."""

    def rebuilt(self, now: Catalogue, wanted: Catalogue) -> Catalogue:
        """Return all that is wanted, the publication as it is now."""
        whole = super().rebuilt(now, wanted)
        return msgspec.structs.replace(whole, unpublished=now.unpublished)


class PublishesAfterwards(LeavesUnpublished):
    """Near miss: publishes what it rebuilt in a transaction of its own, before any row comes."""

    _second = False

    async def build_schema(self, ddl: str, high: Mapping[str, int]) -> None:
        """Rebuild, and then rebuild the publication too."""
        await super().build_schema(ddl, high)
        self._second = True
        await super().build_schema(ddl, high)
        self._second = False

    def rebuilt(self, now: Catalogue, wanted: Catalogue) -> Catalogue:
        """Return all that is wanted; the publication only the second time."""
        return SimulatedTarget.rebuilt(self, now, wanted) if self._second else super().rebuilt(now, wanted)


class LeavesLeavesOut(SimulatedTarget):
    """Rebuilds tables, and no partition of a table that is there."""

    def rebuilt(self, now: Catalogue, wanted: Catalogue) -> Catalogue:
        """Return all that is wanted but the leaves."""
        return msgspec.structs.replace(super().rebuilt(now, wanted), lost=now.lost)


class LooksForChangesAlways(Restorer):
    """Near miss: compares the whole schema at each restore, whether or not it was ever changed."""

    async def was_changed_since(self, schema: SchemaRef, target: Target) -> bool:  # noqa: ARG002 - ever
        """Always."""
        return True


class DropsBeforeTheCut(EmptiesAtAnyCut):
    """Drops what was dropped after the cut."""

    kind = "drop"
