"""A run folder as a very large drill would leave it, made without any stack, to measure the judge on.

The 88 % of the tenants that the script takes are restored in place, the others beside, while they write on;
of these the restored state lacks what was not archived yet. Two writers a tenant overlap as they like; some
outcomes stay open or are settled by a witness, some transactions are refused or rolled back as planned. A
write changes one to five rows, three at the mean. The drill is a good one: its verdict is *proven*.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

from harness.model import folder as names
from harness.model import history as h
from harness.model import plan as plans
from harness.model.operations import Delete, Insert, Operation, Transaction, Update
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
from harness.model.values import Image, Row, RowKey, image_of, row_key, row_of, table_and_key, table_of

ROOT, ORDER, LINE, COUNTRY, OUTBOX = "app.tenant", "app.order", "app.line", "app.country", "app.outbox"
OWNED = (ROOT, ORDER, LINE)
RATE_PER_S = 2000.0
DAMAGED_SHARE = 0.883
QUIET_SHARE = 0.01
RESTORING_SHARE = 0.05
WRITERS = 2
FLUSH_S = 1.0
CREATED_AT = "2026-01-05 11:23:00.031855+00"

Rows = dict[RowKey, Image]


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """How large: ``operations`` are transactions of writers, over all ``tenants``."""

    operations: int
    tenants: int
    seed: int = 1


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What was made: transactions sent, their row changes, rows read back, bytes of all files."""

    sent: int
    changes: int
    rows: int
    size_bytes: int


def make(folder: Path, shape: Shape) -> Made:
    """Write the run folder."""
    (folder / names.RESTORED).mkdir(parents=True)
    (folder / names.SCHEMA).write_bytes(msgspec.json.encode(schema()))
    with (folder / names.HISTORY).open("wb") as history:
        maker = _Maker(folder, history, shape)
        maker.drill()
    (folder / names.PLAN).write_bytes(plans.encode(maker.plan()))
    size_bytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return Made(sent=maker.sent, changes=maker.changes, rows=maker.rows, size_bytes=size_bytes)


def schema() -> Schema:
    """A root, orders with an identity, their lines, a lookup table and an outbox."""
    to_order = ForeignKey(columns=("order",), parent=ORDER, parent_columns=("id",))
    return Schema(
        name="app",
        script=ScriptHints(root=ROOT),
        tables=(
            _table(COUNTRY, Shared(), "code", "name"),
            _table(ROOT, ByColumn(column="id"), "id", "name", "created_at"),
            _table(ORDER, ByColumn(column="tenant"), "id", "tenant", "remark", "total", "placed_at"),
            _table(LINE, ByPath(columns=("order",)), "id", "order", "sku", "quantity", keys=(to_order,)),
            _table(OUTBOX, Infrastructure(xid_column="xid"), "id", "xid", "event"),
        ),
    )


def _table(name: str, tenancy: object, *columns: str, keys: tuple[ForeignKey, ...] = ()) -> Table:
    return Table(
        name=name,
        tenancy=tenancy,  # type: ignore[arg-type]  # one of the kinds of tenancy
        key=columns[:1],
        columns=tuple(
            Column(name=c, type="text", given_by="identity" if c == "id" and name == ORDER else "client")
            for c in columns
        ),
        foreign_keys=keys,
    )


class _Tenant:
    """One tenant's rows, what its writers may change, and what it is planned to do."""

    def __init__(self, name: str, *, quiet: bool, damaged: bool) -> None:
        self.name, self.quiet, self.damaged = name, quiet, damaged
        self.rows: Rows = {}
        self.orders: list[list[str]] = [[] for _ in range(WRITERS)]
        self.lines: list[list[str]] = [[] for _ in range(WRITERS)]
        self.busy_s = [0.0] * WRITERS
        self.written: list[list[bytes]] = [[] for _ in range(WRITERS)]
        self.counts = [0] * WRITERS
        self.loads: list[Transaction] = []
        self.probes: list[Transaction] = []


class _Maker:
    """Lets the drill happen, entry by entry, in the order of their times."""

    def __init__(self, folder: Path, history: BinaryIO, shape: Shape) -> None:
        self.folder, self.history, self.shape = folder, history, shape
        self.random = random.Random(shape.seed)
        self.at_s, self.lsn, self.xid, self.number = 0.0, 1000, 500, 0
        self.sent = self.changes = self.rows = self.objects = 0
        self.due: list[tuple[float, int, h.AnyEntry]] = []
        self.needs: list[h.Need] = []
        self.flush_s = FLUSH_S
        self.outbox: list[tuple[RowKey, Image]] = []
        damaged = round(shape.tenants * DAMAGED_SHARE)
        quiet = max(1, round(shape.tenants * QUIET_SHARE))
        self.tenants = [
            _Tenant(str(10_000 + n), quiet=n < quiet, damaged=n < damaged) for n in range(shape.tenants)
        ]
        self.budget_s = max(3.0, shape.tenants / 8)
        self.encode = msgspec.json.Encoder().encode
        self.script: plans.Script

    # the drill

    def drill(self) -> None:
        """Load, write, let the script go, restore everybody, read everything."""
        self.add(h.Started(at_s=0.0, wall_s=0.0, flush_interval_s=FLUSH_S, listing_interval_s=0.1))
        self.add(h.ClusterSeen(at_s=0.0, cluster=1, system_id="s1", timeline=1, epoch=1))
        self.phase("load")
        for tenant in self.tenants:
            self.load(tenant)
        self.catalogue("before the script")
        self.phase("write")
        self.write_phase()
        self.phase("script")
        cut = self.hit()
        self.flush()
        self.phase("restore")
        self.restore_phase(cut)
        self.end()

    def load(self, tenant: _Tenant) -> None:
        """Load a tenant's root row."""
        row: Row = {
            "id": tenant.name,
            "name": f"Tenant {tenant.name}",
            "created_at": CREATED_AT,
        }
        name = f"{tenant.name}.load"
        key, image = (tenant.name,), image_of(row)
        tenant.rows[row_key(ROOT, key)] = image
        tenant.loads.append(
            Transaction(name=name, operations=(Insert(table=ROOT, handle="root", values={**_plain(row)}),))
        )
        self.commit(
            tenant, name, "load", (h.Change(op="insert", key=row_key(ROOT, key), row=image),), "acked"
        )

    def write_phase(self) -> None:
        """Let everybody write, the quiet ones once."""
        writing = [tenant for tenant in self.tenants if not tenant.quiet]
        for tenant in self.tenants:
            if tenant.quiet:
                self.write(tenant, failing=False)
        for _ in range(int(self.shape.operations * (1 - RESTORING_SHARE))):
            self.write(self.random.choice(writing), failing=True)
        for tenant in self.tenants:
            tenant.counts = [len(written) for written in tenant.written]
        self.pass_time(1.0)

    def restore_phase(self, cut: h.Cut) -> None:
        """Restore one tenant after the other, while the neighbours write."""
        neighbours = [tenant for tenant in self.tenants if not tenant.damaged]
        each = int(self.shape.operations * RESTORING_SHARE) // len(self.tenants)
        for number, tenant in enumerate(self.tenants, 1):
            rows = dict(tenant.rows)
            self.flush()
            self.restore(number, tenant, cut if tenant.damaged else h.Cut(), rows, neighbours, each)

    def restore(
        self,
        number: int,
        tenant: _Tenant,
        cut: h.Cut,
        rows: Rows,
        others: list[_Tenant],
        each: int,
    ) -> None:
        """Restore one tenant, to what it was just before; a damaged one writes its probe then."""
        place: h.Place = "live" if tenant.damaged else "scratch"
        for _ in range(each // 2):
            self.write(self.random.choice(others), failing=False)
        self.add(
            h.RestoreBegan(
                at_s=self.at_s, restore=number, round=1, tenant=tenant.name, cut=cut, place=place, cluster=1
            )
        )
        for _ in range(each - each // 2):
            self.write(self.random.choice(others), failing=False)
        done = h.RestoreDone(
            at_s=self.pass_time(0.01), restore=number, tenant=tenant.name, result="restored", rows=len(rows)
        )
        self.add(done)
        self.read(tenant, number, rows)
        if tenant.damaged:
            change = self.order(tenant, 0)
            self.apply(tenant, 0, (change,))
            name = f"{tenant.name}.probe"
            tenant.probes.append(Transaction(name=name, operations=(_planned(change),)))
            self.commit(tenant, name, "probe", (change,), "acked")

    def hit(self) -> h.Cut:
        """The script takes every row of the damaged tenants, in one transaction, by mistake."""
        gone = [tenant for tenant in self.tenants if tenant.damaged]
        effects = tuple(plans.Effect(tenant=t.name, mode="permanent", tables=OWNED) for t in gone)
        statements = (plans.Statement(sql="DELETE"),)
        tx = plans.ScriptTransaction(name="s0", statements=statements, intended=(), actual=effects)
        self.script = plans.Script(kind="stale_list", words="a stale list", transactions=(tx,))
        deleted: dict[str, int] = {}
        for table in (table_of(row) for tenant in gone for row in tenant.rows):
            deleted[table] = deleted.get(table, 0) + 1
        sight = h.Sight(left={t.name: {} for t in gone}, deleted=deleted, updated={})
        lower = self.lsn
        self.commit(None, "s0", "script", (), "acked", sight=sight)
        return h.Cut(epoch=1, xid=self.xid, lsn_lower=lower, lsn_upper=self.lsn)

    def end(self) -> None:
        """Read everything for the last time."""
        self.pass_time(2.0)
        self.flush()
        self.pass_time(1.0)
        self.phase("read")
        for tenant in self.tenants:
            self.read(tenant, 0, tenant.rows)
        with (self.folder / names.SHARED_FILE).open("wb") as out:
            out.writelines(
                h.encode_line(h.StoredRow(restore=0, key=key, row=image)) for key, image in self.outbox
            )
        self.catalogue("at the end")
        next_values = {f"{ORDER}.id": self.number + 1}
        self.add(h.SequencesSeen(at_s=self.at_s, place="live", when="end", next_values=next_values))
        self.add(h.NeedsNamed(at_s=self.at_s, needs=tuple(self.needs)))
        self.add(h.Ended(at_s=self.at_s, complete=True))

    # time and entries

    def pass_time(self, seconds: float) -> float:
        """Let time pass: outcomes that are due come in, and the archiver flushes."""
        until_s = self.at_s + seconds
        while (due_s := min(self.due[0][0] if self.due else until_s, self.flush_s)) < until_s:
            self.at_s = due_s
            if due_s == self.flush_s:
                self.flush()
            else:
                entry = heapq.heappop(self.due)[2]
                if isinstance(entry, h.Done) and entry.outcome == "acked":
                    entry = msgspec.structs.replace(entry, lsn_upper=self.lsn)
                self.add(entry)
        self.at_s = until_s
        return until_s

    def add(self, entry: h.AnyEntry) -> None:
        """Write one entry."""
        self.history.write(h.encode_line(entry))

    def later(self, seconds: float, entry: h.AnyEntry) -> None:
        """Let an entry come in later."""
        heapq.heappush(self.due, (self.at_s + seconds, len(self.due) + self.sent, entry))

    def phase(self, phase: str) -> None:
        """Go on to a phase."""
        self.add(h.PhaseBegan(at_s=self.at_s, phase=phase))

    def catalogue(self, when: str) -> None:
        """See the live catalogue."""
        self.add(h.CatalogueSeen(at_s=self.at_s, place="live", cluster=1, when=when, digest="same"))

    def flush(self) -> None:
        """Archive everything so far."""
        self.objects += 1
        key = f"segment-{self.objects}"
        self.needs.append(h.Need(epoch=1, lsn=self.lsn, objects=((key, "v1"),)))
        self.add(h.ObjectSeen(at_s=self.at_s, key=key, version="v1"))
        self.add(h.WatermarkSeen(at_s=self.at_s, epoch=1, lsn=self.lsn, exposure_s=0.0))
        self.flush_s = self.at_s + FLUSH_S

    def read(self, tenant: _Tenant, restore: int, rows: Rows) -> None:
        """Store rows read back."""
        file = names.restored_file(tenant.name)
        with (self.folder / file).open("ab") as out:
            out.writelines(
                h.encode_line(h.StoredRow(restore=restore, key=key, row=image))
                for key, image in rows.items()
            )
        self.rows += len(rows)
        self.add(h.ReadBack(at_s=self.at_s, restore=restore, tenant=tenant.name, file=file, rows=len(rows)))

    # transactions

    def write(self, tenant: _Tenant, *, failing: bool) -> None:
        """Let one of the tenant's writers write; ``failing``: some are refused, or left open."""
        self.pass_time(1 / RATE_PER_S)
        writer = min(range(WRITERS), key=tenant.busy_s.__getitem__)
        name = f"{tenant.name}.w{writer}.{len(tenant.written[writer])}"
        fate = self.random.random() if failing else 1.0
        changes = tuple(self.change(tenant, writer) for _ in range(self.random.randint(1, 5)))
        commit = fate >= 0.01
        planned = Transaction(name=name, operations=tuple(map(_planned, changes)), commit=commit)
        tenant.written[writer].append(self.encode(planned))
        if not commit:
            self.add(
                h.Done(at_s=self.at_s, name=name, actor="writer", tenant=tenant.name, outcome="refused")
            )
            return
        outcome: h.Outcome = "refused" if fate < 0.02 else "unknown" if fate < 0.025 else "acked"
        applied = outcome == "acked" or (outcome == "unknown" and fate < 0.0225)
        if applied:
            self.apply(tenant, writer, changes)
        changes += self.event() if applied and self.random.random() < 0.1 else ()
        self.commit(tenant, name, "writer", changes, outcome, writer=writer)
        if outcome == "unknown" and self.random.random() < 0.5:
            seen_s = self.at_s + 0.5
            word: Literal["acked", "refused"] = "acked" if applied else "refused"
            self.later(0.5, h.Settled(at_s=seen_s, name=name, outcome=word, witness="the bench"))

    def commit(
        self,
        tenant: _Tenant | None,
        name: str,
        actor: h.Actor,
        changes: tuple[h.Change, ...],
        outcome: h.Outcome,
        *,
        writer: int | None = None,
        sight: h.Sight | None = None,
    ) -> None:
        """Send COMMIT now, and have its outcome a little later; only writers are not waited for."""
        whose = tenant.name if tenant else None
        begun_s, took_s = self.at_s, 0.002
        if tenant is not None and writer is not None:
            begun_s = max(tenant.busy_s[writer], self.at_s - self.random.random() * 0.3)
            took_s = self.random.random() * 0.1
            tenant.busy_s[writer] = self.at_s + took_s
        self.xid += 1
        self.sent += 1
        self.changes += len(changes)
        self.add(
            h.Sent(
                at_s=self.at_s,
                name=name,
                actor=actor,
                tenant=whose,
                cluster=1,
                xid=self.xid,
                begun_s=min(begun_s, self.at_s),
                lsn_lower=self.lsn,
                changes=changes,
                sight=sight,
            )
        )
        self.lsn += 100
        done = h.Done(
            at_s=self.at_s + took_s, name=name, actor=actor, tenant=whose, outcome=outcome, begun_s=begun_s
        )
        self.later(took_s, done)
        if writer is None:
            self.pass_time(took_s + 0.001)

    def apply(self, tenant: _Tenant, writer: int, changes: Iterable[h.Change]) -> None:
        """Do to the tenant's rows what ``changes`` say."""
        for change in changes:
            if change.op == "delete":
                tenant.rows.pop(change.key, None)
            else:
                tenant.rows[change.key] = change.row
            if change.op == "insert":
                (tenant.orders if change.table == ORDER else tenant.lines)[writer].append(_id(change))

    def change(self, tenant: _Tenant, writer: int) -> h.Change:
        """Draw a change of one row."""
        orders, lines = tenant.orders[writer], tenant.lines[writer]
        drawn = self.random.random()
        if not orders or not lines or drawn < 0.56:
            return self.order(tenant, writer) if not orders or drawn < 0.15 else self.line(orders)
        if drawn < 0.64:
            place = self.random.randrange(len(lines))
            lines[place], key = lines[-1], lines[place]
            lines.pop()
            return h.Change(op="delete", key=row_key(LINE, (key,)))
        table, keys = (ORDER, orders) if drawn < 0.8 else (LINE, lines)
        key = self.random.choice(keys)
        self.number += 1
        row = {
            **row_of(tenant.rows[row_key(table, (key,))]),
            "remark" if table == ORDER else "sku": f"changed {self.number}",
        }
        return h.Change(op="update", key=row_key(table, (key,)), row=image_of(row))

    def order(self, tenant: _Tenant, writer: int) -> h.Change:
        """A new order."""
        self.number += 1
        row: Row = {
            "id": str(self.number),
            "tenant": tenant.name,
            "remark": f"order {self.number} of writer {writer}",
            "total": f"{self.number % 9973}.25",
            "placed_at": CREATED_AT,
        }
        return _inserted(ORDER, row)

    def line(self, orders: list[str]) -> h.Change:
        """A new line of one of the writer's orders."""
        self.number += 1
        row: Row = {
            "id": f"l{self.number}",
            "order": self.random.choice(orders),
            "sku": f"sku {self.number}",
            "quantity": str(self.number % 17),
        }
        return _inserted(LINE, row)

    def event(self) -> tuple[h.Change, ...]:
        """A row that a trigger put into the outbox."""
        self.number += 1
        row: Row = {"id": str(self.number), "xid": str(self.xid + 1), "event": f"event {self.number}"}
        change = _inserted(OUTBOX, row)
        self.outbox.append((change.key, change.row))
        return (change,)

    def plan(self) -> plans.Plan:
        """The plan that fits what happened; what writers do was encoded before, to save memory."""
        return plans.Plan(
            seed=self.shape.seed,
            profile="bench",
            schema="app",
            survivors="all",
            budget_s=self.budget_s,
            write_s=1.0,
            floors=plans.Floors(rows_per_s=1.0),
            scripts=(self.script,),
            tenants=tuple(
                plans.TenantPlan(
                    tenant=tenant.name,
                    quiet=tenant.quiet,
                    initial=tuple(tenant.loads),
                    writers=tuple(_raw(tenant)),
                    write_counts=tuple(tenant.counts),
                    probes=tuple(tenant.probes),
                )
                for tenant in self.tenants
            ),
        )


def _raw(tenant: _Tenant) -> Iterator[tuple[Transaction, ...]]:
    for written in tenant.written:
        yield tuple(msgspec.Raw(line) for line in written)  # type: ignore[misc]  # encoded as it stands


def _plain(row: Row) -> dict[str, str | None]:
    return {column: cell for column, cell in row.items() if not isinstance(cell, msgspec.Struct)}


def _inserted(table: str, row: Row) -> h.Change:
    return h.Change(op="insert", key=row_key(table, (str(row["id"]),)), row=image_of(row))


def _id(change: h.Change) -> str:
    return table_and_key(change.key)[1][0]


def _planned(change: h.Change) -> Operation:
    handle = _id(change)
    if change.op == "delete":
        return Delete(table=change.table, handle=handle)
    values = _plain(row_of(change.row))
    if change.op == "insert":
        return Insert(table=change.table, handle=handle, values={**values})
    return Update(table=change.table, handle=handle, values={**values})
