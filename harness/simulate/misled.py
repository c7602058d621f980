"""Backup systems that one kind of script leads astray, and some that only look as if it did.

Like those in ``faulty``, each overrides as little of the reference system as it can; each shows itself on
the scripts of one step only, which the table in ``defects`` names.
"""

from __future__ import annotations

from harness.model.history import Cut, Place
from harness.simulate.faulty import Wrapped
from harness.subject.port import RestoreResult


class RestoresTheCanary(Wrapped):
    """Takes everybody whom the script removed for damaged: they all come back where they were."""

    async def restore(self, tenant: str, cut: Cut, place: Place) -> RestoreResult:
        """Restore in place whoever has a cut of their own, and beside too if that was asked."""
        if cut.xid and place == "scratch":
            await super().restore(tenant, cut, "live")
        return await super().restore(tenant, cut, place)


class RestoresTheCanaryTwice(Wrapped):
    """Near miss: restores those rightly deleted twice, each time beside the live database."""

    async def restore(self, tenant: str, cut: Cut, place: Place) -> RestoreResult:
        """Restore, and in scratch once more."""
        if cut.xid and place == "scratch":
            await super().restore(tenant, cut, place)
        return await super().restore(tenant, cut, place)
