"""The operator's session on the simulated database: performs a script's *effects* instead of its SQL.

A script's SQL would need a parser; its ``actual`` effects say the same as data. What they touch is found
and locked at once, cascades included, and then changed in one go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from harness.drive.ports import Refused
from harness.model.history import Change, Sight
from harness.model.plan import Effect, ScriptTransaction
from harness.model.schema import ByColumn, Table
from harness.model.values import Key, RawRow, key_of, row_key, to_image
from harness.simulate.locks import Hold
from harness.simulate.ownership import rows_by_tenant
from harness.simulate.server import Server, Work
from harness.simulate.sessions import Address, Connection
from harness.simulate.statements import Statements

_WALL_START = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)


class SimulatedOperator(Connection):
    """An operator's connection (``drive.ports.OperatorSession``)."""

    def __init__(self, address: Address) -> None:
        super().__init__(address, patient=True)
        self._marked: list[tuple[Table, Key]] = []

    async def begin(self) -> None:
        """Open a transaction."""
        await super().begin()
        self._marked = []

    async def run(self, transaction: ScriptTransaction) -> None:
        """Perform the transaction's actual effects."""
        await self._address.ask()
        server, work = self._current()
        work.unchecked = transaction.unchecked
        perform = {
            "mark": self._mark,
            "blank": self._blank,
            "permanent": self._remove,
            "truncate": self._truncate,
            "move": self._move,
            "drop": self._drop,
            "detach": self._detach,
            "purge": self._purge,
        }
        try:
            for mode, change in perform.items():
                effects = [e for e in transaction.actual if e.mode == mode]
                if effects:
                    await change(server, work, effects)
            await self._empty(server, work, transaction.empties)
        except Refused:
            self._forget()
            raise

    async def look(self, tenants: Sequence[str]) -> tuple[Sight, tuple[Change, ...]]:
        """Read what is left of these tenants, how much was changed, and the rows marked."""
        await self._address.ask()
        server, work = self._current()
        try:
            await Statements(server).settle(work)
        except Refused:
            self._forget()
            raise
        schema = server.built.schema
        rows = rows_by_tenant(schema, server.snapshot(own=work), tenants)
        left = {
            tenant: {t.name: tuple(key_of(row, t.key) for row in of[t.name]) for t in schema.owned}
            for tenant, of in rows.items()
        }
        sight = Sight(left=left, deleted=work.count("delete"), updated=work.count("update"))
        return sight, tuple(self._images(server))

    async def break_off(self) -> None:
        """Break the connection off; the server rolls back."""
        self._forget()

    async def _mark(self, server: Server, work: Work, effects: Iterable[Effect]) -> None:
        now = pg_timestamp(self._address.latency.clock.now_s())
        for effect in effects:
            if effect.mark_column is None:
                raise Refused("a mark needs a column to set")
            for table, key in _meant(server, work, [effect]):
                values = {effect.mark_column: now}
                if await Statements(server).update(work, table, key, values) is not None:
                    self._marked.append((table, key))

    async def _blank(self, server: Server, work: Work, effects: Iterable[Effect]) -> None:
        for effect in effects:
            for table, key in _meant(server, work, [effect]):
                await Statements(server).update(work, table, key, dict.fromkeys(effect.columns))

    async def _truncate(self, server: Server, work: Work, effects: Iterable[Effect]) -> None:
        names = {name for effect in effects for name in effect.tables}
        tables = [table for table in server.built.schema.owned if table.name in names]
        await Statements(server).truncate(work, tables)

    async def _drop(self, server: Server, work: Work, effects: Iterable[Effect]) -> None:
        names = {name for effect in effects for name in effect.tables}
        tables = [table for table in server.built.schema.tables if table.name in names]
        await Statements(server).drop(work, tables, "DROP TABLE")

    async def _detach(self, server: Server, work: Work, effects: Iterable[Effect]) -> None:
        for table, leaf in dict.fromkeys((effect.tables[0], effect.leaf or 0) for effect in effects):
            await Statements(server).detach(work, server.built.schema.table(table), leaf)

    async def _remove(self, server: Server, work: Work, effects: Iterable[Effect]) -> None:
        await Statements(server).delete(work, _meant(server, work, effects))

    async def _move(self, server: Server, work: Work, effects: Iterable[Effect]) -> None:
        """Each effect is one statement: its foreign keys are whole again when they are checked."""
        for effect in effects:
            seen = server.snapshot(own=work)  # somebody may be removing one of them, and not be through
            rows = [
                (table, key, _given_values(effect, table, seen[table.name][key]))
                for table, key in _meant(server, work, [effect])
            ]
            await Statements(server).update_together(work, rows)

    async def _purge(self, server: Server, work: Work, effects: Iterable[Effect]) -> None:
        """Lock the tenants' own rows, then remove those tenants that are still marked."""
        schema, found = server.built.schema, list(effects)
        for effect in found:
            item = (schema.script.root, schema.table(schema.script.root).key, (effect.tenant,))
            await server.locks.take(work, item, Hold.OWN)
        rows = rows_by_tenant(schema, server.snapshot(own=work), [effect.tenant for effect in found])
        marked = [
            effect
            for effect in found
            if any(row[effect.mark_column or ""] for row in rows[effect.tenant][effect.tables[-1]])
        ]
        await self._remove(server, work, marked)

    async def _empty(self, server: Server, work: Work, names: Iterable[str]) -> None:
        """Empty lookup tables; what refers to their rows goes by cascade."""
        for name in names:
            table = server.built.schema.table(name)
            rows = [(table, key) for key in server.built.tables[name].rows]
            await Statements(server).delete(work, rows)

    def _images(self, server: Server) -> Iterable[Change]:
        for table, key in dict.fromkeys(self._marked):
            row = server.built.tables[table.name].rows.get(key)
            if row is not None:
                yield Change(op="update", key=row_key(table.name, key), row=to_image(row))


def _given_values(effect: Effect, table: Table, row: RawRow) -> RawRow:
    """Return what a move sets: the tenant's column, and numbers that would be in somebody's way."""
    assert isinstance(table.tenancy, ByColumn)  # steps move such tables only
    shifted = {
        column: str(int(row[column] or 0) + by) for name, column, by in effect.shifted if name == table.name
    }
    return {table.tenancy.column: effect.to, **shifted}


def pg_timestamp(now_s: float) -> str:
    """Return the drill's virtual instant as Postgres prints a timestamptz."""
    text = (_WALL_START + timedelta(seconds=now_s)).strftime("%Y-%m-%d %H:%M:%S.%f").rstrip("0")
    return text.rstrip(".") + "+00"


def _meant(server: Server, work: Work, effects: Iterable[Effect]) -> list[tuple[Table, Key]]:
    """Return the rows that these effects name and that are there, children before parents."""
    effects = list(effects)
    rows = rows_by_tenant(server.built.schema, server.snapshot(own=work), {e.tenant: None for e in effects})
    found: dict[tuple[str, Key], tuple[Table, Key]] = {}
    for table in reversed(server.built.schema.owned):
        for effect in effects:
            if table.name in effect.tables:
                for key in _keys(effect, table, rows[effect.tenant][table.name]):
                    found[table.name, key] = (table, key)
    return list(found.values())


def _keys(effect: Effect, table: Table, rows: Iterable[RawRow]) -> Iterable[Key]:
    keys = (key_of(row, table.key) for row in rows)
    return keys if effect.keys is None else (key for key in keys if key in effect.keys)
