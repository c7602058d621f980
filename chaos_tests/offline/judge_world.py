"""A tiny world in which histories are written by hand: it keeps rows, time and positions, and nothing else.

``World`` plays database, archive and runner at once, without any of their code. A test lets a drill happen,
bends what was seen or restored, and asks for the verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from msgspec import structs

from harness.judge import judge
from harness.model import history as h
from harness.model.faults import Fault
from harness.model.folder import SHARED_FILE, restored_file
from harness.model.operations import Delete, Insert, Operation, Update
from harness.model.operations import Transaction as Planned
from harness.model.plan import (
    Effect,
    Floors,
    Plan,
    Script,
    ScriptTransaction,
    Statement,
    TenantPlan,
)
from harness.model.schema import (
    ByColumn,
    ByPath,
    Column,
    ForeignKey,
    Infrastructure,
    Schema,
    ScriptHints,
    Shared,
    Table,
)
from harness.model.values import Digest, Key, Row, image_of, row_key, row_of, table_and_key
from harness.model.verdict import DrillVerdict, Finding

ROOT, ITEM, NOTE, COUNTRY, OUTBOX = "app.tenant", "app.item", "app.note", "app.country", "app.outbox"
OWNED = (ROOT, ITEM, NOTE)
KEYS = {ROOT: ("id",), ITEM: ("id",), NOTE: ("id",), COUNTRY: ("code",), OUTBOX: ("id",)}
BUDGET_S = 3.0


def a_schema() -> Schema:
    """A root, a table with an identity, one with a path, a lookup table and an outbox."""
    item_key = ForeignKey(columns=("item",), parent=ITEM, parent_columns=("id",))
    return Schema(
        name="app",
        script=ScriptHints(root=ROOT),
        tables=(
            _table(COUNTRY, Shared(), _columns("code", "name")),
            _table(ROOT, ByColumn(column="id"), _columns("id", "deleted_at")),
            _table(
                ITEM,
                ByColumn(column="tenant"),
                (Column(name="id", type="bigint", given_by="identity"), *_columns("tenant", "body")),
            ),
            _table(NOTE, ByPath(columns=("item",)), _columns("id", "item"), (item_key,)),
            _table(OUTBOX, Infrastructure(xid_column="xid"), _columns("id", "xid")),
        ),
    )


def _columns(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name=name, type="text") for name in names)


def _table(name: str, tenancy: Any, columns: tuple[Column, ...], keys: tuple[Any, ...] = ()) -> Table:
    return Table(name=name, tenancy=tenancy, key=KEYS[name], columns=columns, foreign_keys=keys)


def insert(table: str, **row: str | None) -> h.Change:
    """A row that was inserted."""
    key = tuple(str(row[column]) for column in KEYS[table])
    return h.Change(op="insert", key=row_key(table, key), row=image_of(dict(row)))


def update(table: str, key: str, **row: str | None) -> h.Change:
    """A row that was updated: its key before, its whole image after."""
    now = tuple(str(row[column]) for column in KEYS[table])
    was = None if now == (key,) else row_key(table, (key,))
    return h.Change(op="update", key=row_key(table, now), was=was, row=image_of(dict(row)))


def delete(table: str, key: str) -> h.Change:
    """A row that was deleted."""
    return h.Change(op="delete", key=row_key(table, (key,)))


def item(tenant: str, number: int, body: str) -> h.Change:
    """An item of a tenant that was inserted."""
    return insert(ITEM, id=str(number), tenant=tenant, body=body)


RowKey = tuple[str, Key]
Rows = dict[RowKey, Row]


def apply(rows: Rows, changes: Iterable[h.Change]) -> None:
    """Do to ``rows`` what ``changes`` say."""
    for change in changes:
        rows.pop(table_and_key(change.was or change.key), None)
        if change.row:
            rows[table_and_key(change.key)] = row_of(change.row)


def stored_rows(restore: int, rows: Rows) -> list[h.StoredRow]:
    """Rows as they are stored when they were read back after a restore."""
    return [
        h.StoredRow(restore=restore, key=row_key(table, key), row=image_of(row))
        for (table, key), row in rows.items()
    ]


def _size_bytes(row: Row) -> int:
    return sum(cell.chars if isinstance(cell, Digest) else len(cell) for cell in row.values() if cell)


class World:
    """What there is, and the entries written so far. Times are given or go on by ``step_s``."""

    def __init__(self, *, survivors: str = "all", budget_s: float = BUDGET_S) -> None:
        self.survivors, self.budget_s = survivors, budget_s
        self.at_s, self.lsn, self.xid, self.cluster = 0.0, 100, 500, 1
        self.entries: list[h.Entry] = []
        self.live: dict[str, Rows] = {}
        self.unowned: Rows = {}
        self.saved: dict[str, Rows] = {}
        self.files: dict[str, list[h.StoredRow]] = {}
        self.needs: list[h.Need] = []
        self.tenants: dict[str, dict[str, Any]] = {}
        self.scripts: list[Script] = []
        self.again: tuple[str, ...] = ()
        self.faults: tuple[Fault, ...] = ()
        self.floors = Floors(rows_per_s=1.0)
        self.writes_on = True
        self.restores = 0
        self.rounds: dict[str, int] = {}
        self.hits: dict[str, h.Cut] = {}
        self.add(h.Started(at_s=0.0, wall_s=0.0, flush_interval_s=1.0, listing_interval_s=0.1))
        self.add(h.ClusterSeen(at_s=0.0, cluster=1, system_id="s1", timeline=1, epoch=1))

    def add(self, *entries: h.Entry) -> None:
        """Write entries as they are."""
        self.entries.extend(entries)

    def tick(self, seconds: float = 0.01) -> float:
        """Let time pass, and return the time."""
        self.at_s = round(self.at_s + seconds, 6)
        return self.at_s

    def phase(self, phase: str, at_s: float | None = None) -> None:
        """Go on to a phase."""
        self.at_s = self.at_s if at_s is None else at_s
        self.add(h.PhaseBegan(at_s=self.at_s, phase=phase))

    def tenant(self, tenant: str, *, quiet: bool = False) -> None:
        """Bring a tenant to life with its root row and one item."""
        self.tenants[tenant] = {"quiet": quiet, "load": [], "writer": [], "probe": []}
        self.live[tenant] = {}
        number = 1000 * len(self.tenants)
        load = (insert(ROOT, id=tenant, deleted_at=None), item(tenant, number, f"{tenant} first"))
        self.write(tenant, *load, actor="load", name=f"{tenant}.load")

    def write(
        self,
        tenant: str | None,
        *changes: h.Change,
        actor: h.Actor = "writer",
        name: str | None = None,
        outcome: h.Outcome = "acked",
        applied: bool | None = None,
        begun_s: float | None = None,
        took_s: float = 0.01,
        detail: str = "",
        conflicted: bool = False,
    ) -> str:
        """Let a transaction begin now, or at ``begun_s``, send COMMIT and have its outcome.

        ``conflicted``: it is serializable, was refused for that, and is tried again under its name.
        """
        name = name or f"{tenant}.{actor}.{len(self.entries)}"
        begun = self.at_s if begun_s is None else begun_s
        sent_s, lower = self.tick(), self.lsn
        self.lsn, self.xid = self.lsn + 10, self.xid + 1
        self.add(self.sent(name, actor, tenant, changes, begun, sent_s, lower=lower))
        upper = self.lsn if outcome == "acked" else None
        self.add(
            h.Done(
                at_s=self.tick(took_s),
                name=name,
                actor=actor,
                tenant=tenant,
                outcome=outcome,
                lsn_upper=upper,
                detail=detail,
                begun_s=begun,
                conflicted=conflicted,
            )
        )
        if applied if applied is not None else outcome == "acked":
            apply(self.live[tenant] if tenant else self.unowned, self._owned(changes, tenant))
            apply(self.unowned, (c for c in changes if c.table == OUTBOX))
        if not conflicted:
            self._plan(tenant, actor, name, changes)
        return name

    def serializable(self, *names: str) -> None:
        """Plan these transactions, written already, as serializable ones."""
        for parts in self.tenants.values():
            parts["writer"] = [
                structs.replace(tx, serializable=True) if tx.name in names else tx for tx in parts["writer"]
            ]

    def fail(
        self, tenant: str, at_s: float, *, begun_s: float, lost: bool = False, writer: str = "writer"
    ) -> str:
        """Let a planned transaction of a writer fail at ``at_s``; ``lost``: because its connection had."""
        name = f"{tenant}.{writer}.{len(self.entries)}"
        done = h.Done(
            at_s=at_s,
            name=name,
            actor="writer",
            tenant=tenant,
            outcome="refused",
            begun_s=begun_s,
            lost=lost,
        )
        self.add(done)
        self._plan(tenant, "writer", name, (item(tenant, 7, "never"),))
        return name

    def sent(
        self,
        name: str,
        actor: h.Actor,
        tenant: str | None,
        changes: Sequence[h.Change],
        begun_s: float,
        sent_s: float,
        *,
        lower: int,
        sight: h.Sight | None = None,
    ) -> h.Sent:
        """The entry of a transaction about to send COMMIT."""
        return h.Sent(
            at_s=sent_s,
            name=name,
            actor=actor,
            tenant=tenant,
            cluster=self.cluster,
            xid=self.xid,
            begun_s=begun_s,
            lsn_lower=lower,
            changes=tuple(changes),
            sight=sight,
        )

    @staticmethod
    def _owned(changes: Sequence[h.Change], tenant: str | None) -> list[h.Change]:
        return [c for c in changes if (c.table in OWNED) == (tenant is not None)]

    def _plan(self, tenant: str | None, actor: str, name: str, changes: Sequence[h.Change]) -> None:
        if tenant is not None and actor in ("load", "writer", "probe"):
            operations = tuple(_planned(change) for change in changes if change.table in OWNED)
            self.tenants[tenant][actor].append(Planned(name=name, operations=operations))

    def script(
        self,
        *transactions: tuple[str, tuple[Effect, ...], tuple[Effect, ...]],
        nobody: bool = False,
    ) -> None:
        """Plan a script of (name, intended, actual) transactions."""
        self.scripts.append(
            Script(
                kind="stale_list",
                words="a stale list",
                damages_nobody=nobody,
                transactions=tuple(
                    ScriptTransaction(
                        name=name,
                        statements=(Statement(sql="DELETE"),),
                        intended=intended,
                        actual=actual,
                    )
                    for name, intended, actual in transactions
                ),
            )
        )

    def kill(self, name: str) -> None:
        """Plan that the script is killed in this transaction."""
        script = self.scripts[-1]
        transactions = tuple(
            structs.replace(tx, killed=True) if tx.name == name else tx for tx in script.transactions
        )
        self.scripts[-1] = structs.replace(script, transactions=transactions)

    def hit(
        self,
        name: str,
        *,
        outcome: h.Outcome = "acked",
        spare: Iterable[RowKey] = (),
        begun_s: float | None = None,
        look: bool = True,
    ) -> None:
        """Run a planned script transaction. ``spare``: rows that it leaves although it should not."""
        planned = next(tx for s in self.scripts for tx in s.transactions if tx.name == name)
        begun = self.at_s if begun_s is None else begun_s
        gone, marks = self._effects(planned, set(spare))
        for tenant in (*planned.damaged, *planned.rightly_deleted):
            self.saved.setdefault(tenant, dict(self.live[tenant]))
        for tenant, row in gone:
            del self.live[tenant][row]
        for tenant, change in marks:
            apply(self.live[tenant], (change,))
        counts: dict[str, int] = {}
        told = gone if all(e.mode == "permanent" for e in planned.actual) else []
        for _, (table, _) in told:
            counts[table] = counts.get(table, 0) + 1
        sight = h.Sight(
            left={t: self._left(t) for t in {e.tenant for e in planned.actual}},
            deleted=counts,
            updated={ROOT: len(marks)} if marks else {},
        )
        changes = [change for _, change in marks]
        sent_s, lower = self.tick(), self.lsn
        self.lsn, self.xid = self.lsn + 10, self.xid + 1
        seen = sight if look else None
        self.add(self.sent(name, "script", None, changes, begun, sent_s, lower=lower, sight=seen))
        upper = self.lsn if outcome == "acked" else None
        self.add(
            h.Done(
                at_s=self.tick(), name=name, actor="script", tenant=None, outcome=outcome, lsn_upper=upper
            )
        )
        for tenant in (*planned.damaged, *planned.rightly_deleted):
            cut = h.Cut(epoch=self.cluster, xid=self.xid, lsn_lower=lower, lsn_upper=upper or 0)
            self.hits.setdefault(tenant, cut)

    def _effects(
        self, planned: ScriptTransaction, spare: set[RowKey]
    ) -> tuple[list[tuple[str, RowKey]], list[tuple[str, h.Change]]]:
        gone, marks = [], []
        for effect in planned.actual:
            for row in list(self.live[effect.tenant]):
                if row in spare or row[0] not in effect.tables:
                    continue
                if effect.keys is not None and row[1] not in effect.keys:
                    continue
                if effect.removes:
                    gone.append((effect.tenant, row))
                elif effect.mark_column:
                    image = {**self.live[effect.tenant][row], effect.mark_column: f"{self.at_s}"}
                    marked = h.Change(op="update", key=row_key(row[0], row[1]), row=image_of(image))
                    marks.append((effect.tenant, marked))
        return gone, marks

    def _left(self, tenant: str) -> dict[str, tuple[Key, ...]]:
        left: dict[str, tuple[Key, ...]] = {}
        for table, key in self.live[tenant]:
            left[table] = (*left.get(table, ()), key)
        return left

    def flush(self, *, seen: bool = True, watermark: bool = True) -> None:
        """Archive everything so far: an object, its need, and a watermark."""
        key = f"segment-{len(self.needs)}"
        self.needs.append(h.Need(epoch=self.cluster, lsn=self.lsn, objects=((key, "v1"),)))
        if seen:
            self.add(h.ObjectSeen(at_s=self.tick(), key=key, version="v1"))
        if watermark:
            self.add(h.WatermarkSeen(at_s=self.tick(), epoch=self.cluster, lsn=self.lsn))

    def destroy(self) -> None:
        """Lose everything but the archive, then begin a fresh cluster."""
        self.add(h.Destroyed(at_s=self.tick(), survivors="archive", services=("primary",)))
        for tenant, rows in self.live.items():
            self.saved.setdefault(tenant, rows)
            self.live[tenant] = {}
        self.unowned = {row: image for row, image in self.unowned.items() if row[0] == COUNTRY}
        self.cluster, self.lsn = 2, 50
        self.add(h.ClusterSeen(at_s=self.tick(), cluster=2, system_id="s2", timeline=1, epoch=2))

    def fail_over(self) -> None:
        """Lose the primary; its standby goes on as a new cluster, whose positions and xids overlap."""
        self.add(h.Destroyed(at_s=self.tick(), survivors="standby", services=("primary",)))
        self.cluster, self.lsn, self.xid = 2, self.lsn - 5, self.xid - 1
        self.add(h.ClusterSeen(at_s=self.tick(1.0), cluster=2, system_id="s1", timeline=2, epoch=2))

    def settle(self, name: str, outcome: Literal["acked", "refused"]) -> None:
        """Have the promoted primary's first snapshot say what became of a transaction."""
        self.add(h.Settled(at_s=self.tick(), name=name, outcome=outcome, witness="the first snapshot"))

    def restore(
        self,
        tenant: str,
        *,
        rows: Rows | None = None,
        place: h.Place | None = None,
        cut: h.Cut | None = None,
        set_aside: tuple[h.SetAside, ...] = (),
        result: str = "restored",
        probe: bool = True,
    ) -> Rows:
        """Restore a tenant, to its saved rows unless given, read it back, write its probe if in place.

        Meanwhile b writes on, if it is there.
        """
        self.restores += 1
        self.rounds[tenant] = self.rounds.get(tenant, 0) + 1
        here = cut or self.hits.pop(tenant, h.Cut())
        where = place or ("live" if here.xid else "scratch")
        self.add(
            h.RestoreBegan(
                at_s=self.tick(),
                restore=self.restores,
                round=self.rounds[tenant],
                tenant=tenant,
                cut=here,
                place=where,
                cluster=self.cluster,
            )
        )
        back = dict(rows if rows is not None else self.saved.pop(tenant, self.live[tenant]))
        done = h.RestoreDone(
            at_s=self.tick(0.1),
            restore=self.restores,
            tenant=tenant,
            result=result,  # type: ignore[arg-type]  # tests name the results there are
            rows=len(back),
            set_aside=set_aside,
            bytes_read=1000 + self.restores,
        )
        self.add(done)
        if result == "restored":
            self.read(tenant, self.restores, back)
            if where == "live":
                self.live[tenant] = dict(back)
                if probe:
                    number = 9000 + self.restores
                    self.write(tenant, item(tenant, number, f"probe {number}"), actor="probe")
        if self.writes_on and (ROOT, ("b",)) in self.live.get("b", {}):
            self.write("b", item("b", 2500 + self.restores, f"b on {self.restores}"))
        return back

    def read(self, tenant: str, restore: int, rows: Rows) -> None:
        """Store rows read back."""
        file = restored_file(tenant)
        stored = stored_rows(restore, rows)
        self.files.setdefault(file, []).extend(stored)
        self.add(
            h.ReadBack(
                at_s=self.tick(),
                restore=restore,
                tenant=tenant,
                file=file,
                rows=len(rows),
                size_bytes=sum(map(_size_bytes, rows.values())),
            )
        )

    def catalogue(self, when: str, digest: str = "same") -> None:
        """See the live catalogue."""
        self.add(
            h.CatalogueSeen(at_s=self.tick(), place="live", cluster=self.cluster, when=when, digest=digest)
        )

    def end(self, *, complete: bool = True, next_value: int = 1_000_000) -> None:
        """Read everything for the last time and end the drill."""
        self.flush()
        self.phase("read")
        for tenant, rows in self.live.items():
            self.read(tenant, 0, rows)
        self.files[SHARED_FILE] = stored_rows(0, self.unowned)
        self.catalogue("at the end")
        next_values = {f"{ITEM}.id": next_value}
        self.add(h.SequencesSeen(at_s=self.tick(), place="live", when="end", next_values=next_values))
        self.add(h.NeedsNamed(at_s=self.tick(), needs=tuple(self.needs)))
        self.add(h.Ended(at_s=self.tick(), complete=complete, reason="" if complete else "gave up"))

    def plan(self) -> Plan:
        """The plan that fits what happened."""
        return Plan(
            seed=1,
            profile="quick",
            schema="app",
            survivors=self.survivors,  # type: ignore[arg-type]  # tests name the survivors there are
            budget_s=self.budget_s,
            write_s=8.0,
            tenants=tuple(
                TenantPlan(
                    tenant=tenant,
                    quiet=parts["quiet"],
                    initial=tuple(parts["load"]),
                    writers=(tuple(parts["writer"]),),
                    write_counts=(len(parts["writer"]),),
                    probes=tuple(parts["probe"]),
                )
                for tenant, parts in self.tenants.items()
            ),
            scripts=tuple(self.scripts),
            again=self.again,
            faults=self.faults,
            floors=self.floors,
        )

    def verdict(self) -> DrillVerdict:
        """Judge what happened."""
        return judge(self.plan(), a_schema(), self.entries, self.files)


def _planned(change: h.Change) -> Operation:
    handle = "h"
    if change.op == "insert":
        return Insert(table=change.table, handle=handle, values={})
    if change.op == "update":
        return Update(table=change.table, handle=handle, values={})
    return Delete(table=change.table, handle=handle)


def whole(tenant: str) -> Effect:
    """Every row of a tenant, for good."""
    return Effect(tenant=tenant, mode="permanent", tables=OWNED)


def mark(tenant: str) -> Effect:
    """A mark on a tenant's root row."""
    return Effect(tenant=tenant, mode="mark", tables=(ROOT,), keys=((tenant,),), mark_column="deleted_at")


def begin(*, survivors: str = "all", budget_s: float = BUDGET_S) -> World:
    """Load tenants a, b and the quiet q, and let them write for eight seconds: up to 9.0 s."""
    world = World(survivors=survivors, budget_s=budget_s)
    world.phase("load", 0.1)
    world.write(None, insert(COUNTRY, code="AT", name="Austria"), actor="shared", name="shared.0")
    for tenant in ("a", "b", "q"):
        world.tenant(tenant, quiet=tenant == "q")
    world.flush()
    world.catalogue("before the script")
    world.phase("write", 1.0)
    for round_ in range(28):
        world.at_s = 1.0 + round_ * 0.28
        for tenant, base in (("a", 1000), ("b", 2000)):
            number = base + 1 + round_
            world.write(
                tenant,
                item(tenant, number, f"{tenant} {number}"),
                insert(NOTE, id=f"n{number}", item=str(number)),
                insert(OUTBOX, id=f"o{number}", xid=str(world.xid + 1)),
            )
        if round_ == 4:
            world.write("q", item("q", 3001, "q once"))
        if round_ == 6:
            _change_and_delete(world)
        if round_ % 3 == 2:
            world.flush()
    world.phase("script", 9.0)
    return world


def _change_and_delete(world: World) -> None:
    """Update one item of a and b, and delete a note, for good reason."""
    for tenant, number in (("a", 1001), ("b", 2001)):
        changed = update(ITEM, str(number), id=str(number), tenant=tenant, body=f"{tenant} changed")
        world.write(tenant, changed, delete(NOTE, f"n{number + 1}"))


def finish(world: World) -> World:
    """Restore everybody, and end."""
    world.phase("restore")
    for tenant in world.tenants:
        fresh = world.cluster == 2 and world.survivors == "archive"
        place: h.Place | None = "live" if fresh else None
        world.restore(tenant, place=place)
    world.end()
    return world


def a_drill() -> World:
    """A good drill: the script takes a and q for good, by mistake, and both come back."""
    world = begin()
    world.script(("s0", (), (whole("a"), whole("q"))))
    world.hit("s0")
    world.flush()
    return world


def findings(verdict: DrillVerdict) -> list[Finding]:
    """All findings, of tenants and of the drill."""
    return verdict.every_finding


def checks(verdict: DrillVerdict) -> set[str]:
    """The names of the checks that found something."""
    return {finding.check for finding in findings(verdict)}
