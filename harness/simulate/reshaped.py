"""Restorers that are wrong about DDL, and some that only look wrong."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from harness.model.schema import Table
from harness.model.values import RawRow
from harness.simulate.storage import Catalogue
from harness.simulate.target import SimulatedTarget
from harness.subject.reference import fold as folding
from harness.subject.reference.format import Global, Part, SchemaRef
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

    async def build_schema(self, ddl: str) -> None:
        """Rebuild, and then rebuild the publication too."""
        await super().build_schema(ddl)
        self._second = True
        await super().build_schema(ddl)
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

    def was_changed_since(self, schema: SchemaRef) -> bool:  # noqa: ARG002 - whichever it is
        """Always."""
        return True


class DropsBeforeTheCut(Restorer):
    """Takes a DROP, which is no tenant's own, for something that holds at any cut."""

    def fold(
        self,
        tables: Sequence[Table],
        parts: Sequence[Part],
        globals_: Sequence[Global],
        keeps: folding.Keeps,
    ) -> dict[str, list[RawRow]]:
        """Fold, and empty whatever was ever dropped."""
        state = super().fold(tables, parts, globals_, keeps)
        dropped = {found.table for found in globals_ if found.kind == "drop"}
        return {name: [] if name in dropped else rows for name, rows in state.items()}
