"""Restores into Postgres that leave something behind in the database, and harmless look-alikes.

Each is the reference's target with one decision changed, as the simulator's are in ``simulate.careless``.
"""

from __future__ import annotations

from typing import Final

from harness.model.schema import Table
from harness.model.values import RawRow
from harness.subject.reference.adapters import statements
from harness.subject.reference.adapters.postgres_target import Change, PostgresTarget
from harness.subject.reference.adapters.sessions import Session, run
from harness.subject.reference.adapters.statements import Query, quoted
from harness.subject.reference.ports import Swap, Swapped, TargetUnavailable

FAR: Final = 1_000_000
HOLD_S: Final = 0.02

_OF = "pg_get_serial_sequence(%s, %s)::regclass"


class AndThen(PostgresTarget):
    """Does something more in a transaction of its own, after each swap or before it."""

    async def swap(self, swap: Swap) -> Swapped:
        """Swap, and then do it."""
        async with self._session() as session, session.transaction():
            await self.before(session, swap)
        swapped = await super().swap(swap)
        try:
            async with self._session() as session, session.transaction():
                await self.after(session, swap)
        except TargetUnavailable as away:  # a deadlock with a writer, say: the restore is made again,
            away.swapped = swapped  # and has to know what the first one set aside
            raise
        return swapped

    async def before(self, session: Session, swap: Swap) -> None:
        """Do nothing before."""

    async def after(self, session: Session, swap: Swap) -> None:
        """Do nothing afterwards."""


class ResetsSequences(AndThen):
    """Sets each sequence to the highest value among the tenant's own rows (FM-102)."""

    async def after(self, session: Session, swap: Swap) -> None:
        """Set sequences."""
        for name in swap.high:
            table, _, column = name.rpartition(".")
            own = [int(row[column] or 1) for row in swap.rows.get(table, ())]
            if own:
                await run(session, self.setting((quoted(table), column), max(own)))

    def setting(self, of: tuple[str, str], highest: int) -> Query:
        """Return what sets one sequence."""
        return Query(sql=f"SELECT setval({_OF}, %s)", parameters=(*of, str(highest)))


class SetsSequencesFarAhead(ResetsSequences):
    """Near miss: leaves a wide gap before the next value of each sequence."""

    def setting(self, of: tuple[str, str], highest: int) -> Query:  # noqa: ARG002 - it is far below
        """Return what moves one sequence far ahead."""
        sql = f"SELECT setval({_OF}, nextval({_OF}) + {FAR})"
        return Query(sql=sql, parameters=(*of, *of))


class FiresTriggers(PostgresTarget):
    """Acts as an application does: triggers tell the outbox of each row (FM-101)."""

    async def begin(self, session: Session) -> None:
        """Have everything of the application fire; foreign keys are checked at the end, where they can."""
        await run(session, Query(sql="SET CONSTRAINTS ALL DEFERRED"))


class LooksAtTriggers(PostgresTarget):
    """Near miss: knows which triggers there are, and fires none."""

    async def begin(self, session: Session) -> None:
        """Look, and act as a replica."""
        await run(session, Query(sql="SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"))
        await super().begin(session)


class LeavesTriggersDisabled(AndThen):
    """Disables the triggers of each table that it restores into, and never enables them again (FM-6)."""

    async def before(self, session: Session, swap: Swap) -> None:
        """Disable the application's triggers."""
        await self._turn(session, swap, "DISABLE")

    async def _turn(self, session: Session, swap: Swap, how: str) -> None:
        for name, rows in swap.rows.items():
            if rows and await _is_there(session, name):
                await run(session, Query(sql=f"ALTER TABLE {quoted(name)} {how} TRIGGER USER"))


class EnablesTriggersAgain(LeavesTriggersDisabled):
    """Near miss: disables them too, and enables them again, both in the transaction of its swap."""

    async def before(self, session: Session, swap: Swap) -> None:
        """Do nothing in a transaction of its own: a swap that fails would leave them disabled."""

    async def _swap(self, session: Session, swap: Swap, changes: list[Change]) -> Swapped:
        await self._turn(session, swap, "DISABLE")
        swapped = await super()._swap(session, swap, changes)
        await self._turn(session, swap, "ENABLE")
        return swapped


class BlanksSharedRows(AndThen):
    """Overwrites lookup rows that are there with what an old archive knew of them (FM-5)."""

    async def after(self, session: Session, swap: Swap) -> None:
        """Write the lookup rows."""
        for table in self._schema.shared:
            for row in swap.shared.get(table.name, ()):
                if known := self.known(table, row):
                    await run(session, _update(table, row, known))

    def known(self, table: Table, row: RawRow) -> RawRow:  # noqa: ARG002 - of the old shape
        """Return what the archive knew: nothing of columns that came later."""
        return {c.name: None for c in table.columns if c.nullable}


class WritesSharedRowsAgain(BlanksSharedRows):
    """Near miss: writes what is there already."""

    def known(self, table: Table, row: RawRow) -> RawRow:
        """Return the row's own cells."""
        return {c.name: row[c.name] for c in table.columns if c.nullable}


class LocksWholeTables(AndThen):
    """Locks whole tables, one after another from the last on, while neighbours write (FM-105)."""

    mode = "ACCESS EXCLUSIVE"

    async def before(self, session: Session, swap: Swap) -> None:  # noqa: ARG002 - whoever it is for
        """Lock all, and let go; whoever waits in a circle with it is the one to give up."""
        await run(session, Query(sql="SET LOCAL deadlock_timeout = '30s'"))
        for table in reversed(self._schema.owned):
            if await _is_there(session, table.name):
                await run(session, Query(sql=f"LOCK TABLE {quoted(table.name)} IN {self.mode} MODE"))
                await run(session, Query(sql=f"SELECT pg_sleep({HOLD_S})"))


class LooksAtWholeTables(LocksWholeTables):
    """Near miss: holds each table for as long, under a lock that is in nobody's way."""

    mode = "ACCESS SHARE"


async def _is_there(session: Session, table: str) -> bool:
    query = Query(sql="SELECT to_regclass(%s) IS NOT NULL AS found", parameters=(quoted(table),))
    row = await (await run(session, query)).fetchone()
    return row is not None and row["found"] == "t"


def _update(table: Table, row: RawRow, values: RawRow) -> Query:
    sets = ", ".join(f"{statements.listed((name,))} = %s" for name in values)
    where = " AND ".join(f"{statements.listed((name,))} = %s" for name in table.key)
    keys = (row[name] for name in table.key)
    return Query(
        sql=f"UPDATE {quoted(table.name)} SET {sets} WHERE {where}", parameters=(*values.values(), *keys)
    )
