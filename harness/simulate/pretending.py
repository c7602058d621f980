"""Harnesses that are wrong themselves: what they see proves nothing, and must not be called proven.

What is wrong is the harness's own hold on the world (its database, its machinery), not the backup system.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from harness.drive.ports import Proof, Refused, Rows
from harness.model.faults import Fault
from harness.model.history import Change, Place, Sight
from harness.simulate.database import SimulatedDatabase
from harness.simulate.operator import SimulatedOperator
from harness.simulate.sessions import SimulatedSession
from harness.simulate.world import SimulatedMachinery


class Asleep(SimulatedSession):
    """A writer's session in which nothing is ever begun."""

    async def begin(self, *, serializable: bool = False) -> None:  # noqa: ARG002 - at any level
        """Refuse to."""
        raise Refused("this writer writes nothing")


class Yawning(SimulatedSession):
    """Near miss: a session that is slow to begin, now and then."""

    async def begin(self, *, serializable: bool = False) -> None:
        """Wait for a statement's time before."""
        await self._address.ask()
        await super().begin(serializable=serializable)


class WritersApart(SimulatedDatabase):
    """Gives writers sessions of another kind than those who load, probe, and take what is in the way."""

    async def session(self, name: str) -> SimulatedSession:
        """Open a session, one of those for a writer."""
        if name == "load" or name.startswith(("probe", "taker")):
            return await super().session(name)
        await self._connect()
        return self.for_writer()

    def for_writer(self) -> SimulatedSession:
        """Return a session for a writer."""
        raise NotImplementedError


class WritersNeverWrote(WritersApart):
    """Loads tenants and restores them, but no writer ever writes (FM-110)."""

    kind: type[SimulatedSession] = Asleep

    def for_writer(self) -> SimulatedSession:
        """Return one of that kind."""
        return self.kind(self._clients)


class WritersBeginLate(WritersNeverWrote):
    """Near miss: writers are slow, and write all the same."""

    kind = Yawning


class PassesOverNulls(SimulatedDatabase):
    """Reads restored rows with an empty text for each NULL, as a careless digest does."""

    async def read(self, tenants: Sequence[str], place: Place) -> dict[str, Rows]:
        """Read all rows, NULLs aside."""
        found = await super().read(tenants, place)
        return {
            tenant: {
                name: [{c: "" if cell is None else cell for c, cell in row.items()} for row in rows]
                for name, rows in tables.items()
            }
            for tenant, tables in found.items()
        }


class ReadsColumnsInAnyOrder(SimulatedDatabase):
    """Near miss: reads each row's columns from the last to the first; a row is the same row."""

    async def read(self, tenants: Sequence[str], place: Place) -> dict[str, Rows]:
        """Read all rows, backwards."""
        found = await super().read(tenants, place)
        return {
            tenant: {name: [dict(reversed(row.items())) for row in rows] for name, rows in tables.items()}
            for tenant, tables in found.items()
        }


class ReadsRowsTwice(SimulatedDatabase):
    """Reads some rows twice, as a join that multiplies rows does; a digest of a set would not see it."""

    async def read(self, tenants: Sequence[str], place: Place) -> dict[str, Rows]:
        """Read all rows, the first of each table twice."""
        found = await super().read(tenants, place)
        return {
            tenant: {name: [*rows[:1], *rows] for name, rows in tables.items()}
            for tenant, tables in found.items()
        }


class Blind(SimulatedOperator):
    """An operator who never looks at what a transaction did."""

    async def look(self, tenants: Sequence[str]) -> tuple[Sight, tuple[()]]:
        """See nothing."""
        sight, _ = await super().look(tenants)
        return msgspec.structs.replace(sight, left={}, deleted={}, updated={}), ()


class ScriptsUnseen(SimulatedDatabase):
    """Lets a script loose and does not look whether it did what the model says."""

    async def operator(self) -> SimulatedOperator:
        """Open a session for somebody who does not look."""
        await self._connect()
        return Blind(self._clients)


class LooksTwice(SimulatedOperator):
    """An operator who looks twice at what a transaction did."""

    async def look(self, tenants: Sequence[str]) -> tuple[Sight, tuple[Change, ...]]:
        """Look, and once more."""
        await super().look(tenants)
        return await super().look(tenants)


class ScriptsSeenTwice(SimulatedDatabase):
    """Near miss: lets a script loose and looks twice at what it did."""

    async def operator(self) -> SimulatedOperator:
        """Open a session for somebody who does."""
        await self._connect()
        return LooksTwice(self._clients)


class FaultsNeverBite(SimulatedMachinery):
    """Injects faults and sees no proof of any."""

    async def disturb(self, fault: Fault) -> Proof:
        """Do it, and see nothing."""
        proof = await super().disturb(fault)
        return Proof(seen=False, words=f"not seen: {proof.words}")


class FaultsAreSeenTwice(SimulatedMachinery):
    """Near miss: says of each fault more than is needed."""

    async def disturb(self, fault: Fault) -> Proof:
        """Do it, and say so twice."""
        proof = await super().disturb(fault)
        return Proof(seen=proof.seen, words=f"{proof.words}; {proof.words}")
