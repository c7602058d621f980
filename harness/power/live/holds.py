"""Faulty readers of the real services: the harness itself is wrong. And a standby that isn't synchronous.

The readers err as those of ``simulate.pretending`` do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from harness.drive.ports import Proof, Rows
from harness.model.faults import Fault
from harness.model.history import Change, Sight
from harness.model.schema import Schema
from harness.stack.identity import APP
from harness.stack.services.toxiproxy import Toxic
from harness.stack.stack import Stack
from harness.stack.world.connection import Connection
from harness.stack.world.database import OPERATORS, PostgresDatabase
from harness.stack.world.right_of_way import RightOfWay
from harness.stack.world.session import PostgresOperator

FAR_MS: Final = 400
_FAR = Toxic(type="latency", stream="downstream", attributes={"latency": FAR_MS})


class PassesOverNulls(PostgresDatabase):
    """Reads rows with an empty text for each NULL, as a careless digest does."""

    async def _read(self, connection: Connection, tenants: Sequence[str]) -> dict[str, Rows]:
        found = await super()._read(connection, tenants)
        return {
            tenant: {
                name: [{c: "" if cell is None else cell for c, cell in row.items()} for row in rows]
                for name, rows in tables.items()
            }
            for tenant, tables in found.items()
        }


class ReadsColumnsInAnyOrder(PostgresDatabase):
    """Near miss: reads each row's columns from the last to the first; a row is the same row."""

    async def _read(self, connection: Connection, tenants: Sequence[str]) -> dict[str, Rows]:
        found = await super()._read(connection, tenants)
        return {
            tenant: {name: [dict(reversed(row.items())) for row in rows] for name, rows in tables.items()}
            for tenant, tables in found.items()
        }


class ReadsRowsTwice(PostgresDatabase):
    """Reads some rows twice, as a join that multiplies rows does; a digest of a set would not see it."""

    async def _read(self, connection: Connection, tenants: Sequence[str]) -> dict[str, Rows]:
        found = await super()._read(connection, tenants)
        return {
            tenant: {name: [*rows[:1], *rows] for name, rows in tables.items()}
            for tenant, tables in found.items()
        }


class Blind(PostgresOperator):
    """An operator who never looks at what a transaction did."""

    async def look(self, tenants: Sequence[str]) -> tuple[Sight, tuple[Change, ...]]:
        """See nothing."""
        sight, _ = await super().look(tenants)
        return msgspec.structs.replace(sight, left={}, deleted={}, updated={}), ()


class ScriptsUnseen(PostgresDatabase):
    """Lets a script loose and does not look whether it did what the model says."""

    async def operator(self) -> PostgresOperator:
        """Open a session for somebody who does not look."""
        connection = Connection(self._app, "operator", settings=OPERATORS)
        await connection.open()
        watcher = Connection(self._admin, "restoreproof right of way")
        return Blind(connection, self._schema, RightOfWay(watcher))


def never_seen(_: Fault, proof: Proof) -> Proof:
    """Take no proof of a fault for one."""
    return Proof(seen=False, words=f"not seen: {proof.words}")


def seen_twice(_: Fault, proof: Proof) -> Proof:
    """Near miss: say of each fault more than is needed."""
    return Proof(seen=proof.seen, words=f"{proof.words}; {proof.words}")


def far_standby(stack: Stack) -> None:
    """Near miss: the standby is far away, and commits wait for it."""
    if "latency-downstream" not in stack.proxies.toxics("standby-primary"):
        stack.proxies.poison("standby-primary", [_FAR])


def unsynchronized(stack: Stack) -> None:
    """Have the application's commits wait for no standby, which is called synchronous all the same."""
    far_standby(stack)
    stack.load_capture_sql(f"ALTER ROLE {APP} SET synchronous_commit = 'local'")


def defaults_for_texts(schema: Schema) -> str:
    """Return the SQL that gives a default to each text that may be NULL, as columns get one later."""
    return ";\n".join(
        f"ALTER TABLE {table.name} ALTER COLUMN {column.name} SET DEFAULT ''"
        for table in schema.owned
        for column in table.columns
        if column.nullable and column.type == "text" and column.given_by == "client"
    )
