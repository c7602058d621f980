"""Tiny histories, each made from one number: two tenants, up to six transactions of writers, a script.

A small database plays them: rows have locks, so that transactions overlap only on different rows. Outcomes
stay open, are settled by a witness, or by what comes later; what was refused is tried again; ids are used
again, by the other tenant too; the script takes rows, marks them or gives them away, with all below them;
a standby may take over in between. What comes back is then drawn freely: a state or none at all.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from msgspec.structs import replace

from chaos_tests.offline.brute_force import only
from chaos_tests.offline.judge_world import ITEM, NOTE, OWNED, ROOT, mark, whole
from harness.model import history as h
from harness.model.folder import restored_file
from harness.model.plan import Effect, Plan, Script, ScriptTransaction, Statement, TenantPlan
from harness.model.values import Row, image_of, row_key, row_of

RowKey = tuple[str, str]
Rows = dict[RowKey, Row]
_Tried = tuple[str, tuple[h.Change, ...]]
TENANTS = ("a", "b")
KEYS = ("1", "2", "3")
KEPT = "0"
"""An item of a that no writer touches: so that whatever the script does hits a for certain."""
BUDGET_S = 3.0
WRITES_MAX = 6


@dataclass
class Tiny:
    """One history, its plan, the rows read back, and what is odd about it."""

    plan: Plan
    entries: list[h.Entry]
    files: dict[str, list[h.StoredRow]]
    traits: set[str]


@dataclass
class _Draft:
    """A transaction before its entries have a place in time."""

    sent: h.Sent
    done_s: float
    outcome: h.Outcome
    settled: h.Settled | None = None


@dataclass
class _World:
    """The database as it truly is: whose row is there, and which rows were given away."""

    rnd: random.Random
    rows: dict[RowKey, tuple[str, Row]] = field(default_factory=dict)
    given: set[RowKey] = field(default_factory=set)
    drafts: list[_Draft] = field(default_factory=list)
    entries: list[h.Entry] = field(default_factory=list)
    states: dict[str, list[Rows]] = field(default_factory=lambda: {t: [] for t in TENANTS})
    traits: set[str] = field(default_factory=set)
    at_s: float = 0.0
    since_s: float = 0.0
    cluster: int = 1
    number: int = 0

    def mine(self, tenant: str) -> Rows:
        """A tenant's rows."""
        return {row: image for row, (owner, image) in self.rows.items() if owner == tenant}

    def value(self) -> str:
        """A text that nobody had before."""
        self.number += 1
        return f"v{self.number}"


def tiny(seed: int) -> Tiny:
    """Return the history of that number."""
    world = _World(random.Random(seed))
    rnd = world.rnd
    for tenant in TENANTS:
        _load(world, tenant)
    count = rnd.randint(2, WRITES_MAX)
    script_at = rnd.randint(1, count)
    over_at = rnd.randint(1, count) if rnd.random() < 0.3 else -1
    script = _script(world)
    again: _Tried | None = None
    for number in range(count):
        if number == over_at:
            _fail_over(world)
        if number == script_at:
            _hit(world, script)
            again = None
        again = _write(world, again)
    if script_at == count:
        _hit(world, script)
    entries, files = _finish(world)
    return Tiny(plan=_plan(script), entries=entries, files=files, traits=world.traits)


def _load(world: _World, tenant: str) -> None:
    root = image_of({"id": tenant, "deleted_at": None})
    changes = [h.Change(op="insert", key=row_key(ROOT, (tenant,)), row=root)]
    if tenant == "a":
        changes.append(_insert(world, tenant, (ITEM, KEPT)))
    if world.rnd.random() < 0.7:
        changes.append(_insert(world, tenant, (ITEM, KEYS[len(world.drafts)])))
    _commit(world, tenant, tuple(changes), "load", outcome="acked", applied=True)
    world.since_s = world.at_s = world.at_s + 5.0


def _write(world: _World, again: _Tried | None) -> _Tried | None:
    """Let somebody write; return what was refused, to be tried again."""
    rnd = world.rnd
    if again is None:
        tenant = rnd.choice(TENANTS)
        changes = _changes(world, tenant)
    else:
        tenant, changes = again
    world.traits |= {"tried again"} if again else set()
    drawn = rnd.random()
    outcome: h.Outcome = "unknown" if drawn < 0.3 else "refused" if drawn < 0.4 else "acked"
    applied = outcome == "acked" or (outcome == "unknown" and rnd.random() < 0.5)
    _commit(world, tenant, changes, "writer", outcome=outcome, applied=applied)
    return (tenant, changes) if outcome == "refused" else None


def _changes(world: _World, tenant: str) -> tuple[h.Change, ...]:
    """Change one to three rows that are the tenant's, or nobody's yet."""
    pool = [(table, key) for table in (ITEM, NOTE) for key in KEYS]
    free = [r for r in pool if r not in world.rows or (world.rows[r][0] == tenant and r not in world.given)]
    chosen = world.rnd.sample(free, min(len(free), world.rnd.randint(1, 3)))
    spare = [row for row in free if row not in world.rows and row not in chosen]
    changes = [_change(world, tenant, row, spare) for row in chosen]
    return tuple(changes) or (_root(world, tenant),)


def _change(world: _World, tenant: str, row: RowKey, spare: list[RowKey]) -> h.Change:
    table, key = row
    if row not in world.rows:
        return _insert(world, tenant, row)
    if world.rnd.random() < 0.35:
        return h.Change(op="delete", key=row_key(table, (key,)))
    other = next((r for r in spare if r[0] == table), row) if world.rnd.random() < 0.2 else row
    if other != row:
        spare.remove(other)
        world.traits.add("a key changed")
    image = _insert(world, tenant, other).row
    was = row_key(table, (key,)) if other != row else None
    return h.Change(op="update", key=row_key(table, (other[1],)), was=was, row=image)


def _insert(world: _World, tenant: str, row: RowKey) -> h.Change:
    table, key = row
    if table == ITEM:
        image: Row = {"id": key, "tenant": tenant, "body": world.value()}
    else:
        image = {"id": key, "item": world.value()}
    return h.Change(op="insert", key=row_key(table, (key,)), row=image_of(image))


def _root(world: _World, tenant: str) -> h.Change:
    image = image_of({"id": tenant, "deleted_at": world.value()})
    return h.Change(op="update", key=row_key(ROOT, (tenant,)), row=image)


def _commit(
    world: _World,
    tenant: str,
    changes: tuple[h.Change, ...],
    actor: h.Actor,
    *,
    outcome: h.Outcome,
    applied: bool,
) -> None:
    """Send COMMIT; the transaction began and its outcome comes whenever locks allow."""
    rnd = world.rnd
    world.at_s += rnd.choice((0.25, 0.5, 1.0, 2.0))
    name = f"{tenant}{len(world.drafts)}"
    sent = h.Sent(
        at_s=world.at_s,
        name=name,
        actor=actor,
        tenant=tenant,
        cluster=world.cluster,
        xid=500 + len(world.drafts),
        begun_s=max(world.since_s, world.at_s - rnd.choice((0.0, 0.25, 1.0, 3.0))),
        lsn_lower=0,
        changes=changes,
    )
    done_s = world.at_s + rnd.choice((0.125, 0.25, 1.0, 3.0))
    draft = _Draft(sent=sent, done_s=done_s, outcome=outcome)
    if outcome == "unknown":
        world.traits.add("open")
        if rnd.random() < 0.3:
            truth: Literal["acked", "refused"] = "acked" if applied else "refused"
            at_s = done_s + rnd.choice((0.25, 2.0))
            draft.settled = h.Settled(at_s=at_s, name=name, outcome=truth, witness="a witness")
    world.drafts.append(draft)
    if applied:
        _apply(world, tenant, changes)


def _apply(world: _World, tenant: str, changes: Sequence[h.Change]) -> None:
    for change in changes:
        world.rows.pop(only(change.was or change.key), None)
        if change.row:
            world.rows[only(change.key)] = (tenant, row_of(change.row))
    world.states[tenant].append(world.mine(tenant))


def _script(world: _World) -> ScriptTransaction:
    """Draw a script: it takes all or some of a, marks it, gives rows to b, or marks b as intended."""
    kinds = {
        "all": (whole("a"),),
        "keys": (Effect(tenant="a", mode="permanent", tables=(ITEM,), keys=((KEPT,), ("1",), ("2",))),),
        "mark": (mark("a"),),
        "move": (Effect(tenant="a", mode="move", tables=(ITEM,), to="b", along=(NOTE,)),),
        "intended": (mark("b"),),
    }
    kind = world.rnd.choice(list(kinds))
    world.traits.add(f"script: {kind}")
    actual = kinds[kind]
    intended = actual if kind == "intended" else ()
    return ScriptTransaction(
        name="s0", statements=(Statement(sql="DELETE"),), intended=intended, actual=actual
    )


def _hit(world: _World, script: ScriptTransaction) -> None:
    """Let the script's transaction send its COMMIT."""
    rnd, effect = world.rnd, script.actual[0]
    drawn = rnd.random()
    outcome: h.Outcome = "acked" if drawn < 0.7 else "unknown"
    before = dict(world.rows)
    changes: tuple[h.Change, ...] = ()
    if effect.mode == "mark":
        changes = (_root(world, effect.tenant),)
        world.rows[ROOT, effect.tenant] = (effect.tenant, row_of(changes[0].row))
    else:
        _take(world, effect)
    sight = h.Sight(left={t: _left(world, t) for t in TENANTS}, deleted={}, updated={})
    if drawn >= 0.85:  # its outcome is open, and it came to nothing
        world.rows = before
        world.given.clear()
    _send_script(world, changes, sight, outcome)


def _take(world: _World, effect: Effect) -> None:
    for row, (owner, image) in list(world.rows.items()):
        covered = row[0] in effect.reaches and (effect.keys is None or (row[1],) in effect.keys)
        if owner == effect.tenant and covered:
            del world.rows[row]
            if effect.to is not None:
                moved = {**image, "tenant": effect.to} if row[0] == ITEM else image
                world.rows[row] = (effect.to, moved)
                world.given.add(row)


def _left(world: _World, tenant: str) -> dict[str, tuple[tuple[str, ...], ...]]:
    mine = world.mine(tenant)
    return {table: tuple((key,) for t, key in mine if t == table) for table in OWNED}


def _send_script(world: _World, changes: tuple[h.Change, ...], sight: h.Sight, outcome: h.Outcome) -> None:
    world.at_s += 0.5
    sent = h.Sent(
        at_s=world.at_s,
        name="s0",
        actor="script",
        tenant=None,
        cluster=world.cluster,
        xid=500 + len(world.drafts),
        begun_s=max(world.since_s, world.at_s - world.rnd.choice((0.0, 0.25, 1.0))),
        lsn_lower=0,
        changes=changes,
        sight=sight,
    )
    world.drafts.append(
        _Draft(sent=sent, done_s=world.at_s + world.rnd.choice((0.125, 1.0)), outcome=outcome)
    )


def _fail_over(world: _World) -> None:
    """The primary is lost: what was not answered by then is open, and the standby goes on."""
    world.at_s += 0.25
    world.traits.add("failover")
    for draft in world.drafts:
        if draft.done_s > world.at_s and draft.sent.cluster == 1:
            draft.done_s = world.at_s
            draft.outcome = "unknown" if draft.outcome == "acked" else draft.outcome
    world.entries.append(h.Destroyed(at_s=world.at_s, survivors="standby", services=("primary",)))
    world.cluster, world.since_s = 2, world.at_s
    world.entries.append(h.ClusterSeen(at_s=world.at_s, cluster=2, system_id="s1", timeline=2, epoch=2))


def _finish(world: _World) -> tuple[list[h.Entry], dict[str, list[h.StoredRow]]]:
    """Give positions to all, and restore both tenants to something."""
    for draft in world.drafts:
        world.entries += [draft.sent, _done(draft)]
        if draft.settled is not None:
            world.entries.append(draft.settled)
    world.entries.sort(key=lambda entry: entry.at_s)
    entries = [
        h.Started(at_s=0.0, wall_s=0.0, flush_interval_s=1.0, listing_interval_s=0.1),
        h.ClusterSeen(at_s=0.0, cluster=1, system_id="s1", timeline=1, epoch=1),
        *_positioned(world.entries),
    ]
    files: dict[str, list[h.StoredRow]] = {}
    at_s = max(entry.at_s for entry in entries)
    for number, tenant in enumerate(TENANTS, 1):
        back = _drawn(world, tenant)
        file = restored_file(tenant)
        files[file] = [
            h.StoredRow(restore=number, key=row_key(table, (key,)), row=image_of(row))
            for (table, key), row in back.items()
        ]
        entries += _restored(number, tenant, at_s + number, world.cluster, file, len(back))
    entries.append(h.Ended(at_s=at_s + 9, complete=True))
    return entries, files


def _done(draft: _Draft) -> h.Done:
    sent = draft.sent
    return h.Done(
        at_s=draft.done_s, name=sent.name, actor=sent.actor, tenant=sent.tenant, outcome=draft.outcome
    )


def _positioned(entries: Sequence[h.Entry]) -> Iterator[h.Entry]:
    """Let the log grow with each COMMIT; on the promoted standby it begins a little lower."""
    lsn = 100
    for entry in entries:
        if isinstance(entry, h.ClusterSeen):
            lsn -= 15
        if isinstance(entry, h.Sent):
            yield replace(entry, lsn_lower=lsn)
            lsn += 10
        elif isinstance(entry, h.Done) and entry.outcome == "acked":
            yield replace(entry, lsn_upper=lsn)
        else:
            yield entry


def _restored(
    number: int, tenant: str, at_s: float, cluster: int, file: str, rows: int
) -> tuple[h.Entry, ...]:
    return (
        h.RestoreBegan(
            at_s=at_s,
            restore=number,
            round=1,
            tenant=tenant,
            cut=h.Cut(),
            place="scratch",
            cluster=cluster,
        ),
        h.RestoreDone(at_s=at_s + 0.1, restore=number, tenant=tenant, result="restored", rows=rows),
        h.ReadBack(at_s=at_s + 0.2, restore=number, tenant=tenant, file=file, rows=rows),
    )


def _drawn(world: _World, tenant: str) -> Rows:
    """What comes back: a state on the tenant's way, some of its transactions, or what is there; or bent."""
    rnd = world.rnd
    drawn = rnd.random()
    states = world.states[tenant]
    if drawn < 0.4:
        back = dict(rnd.choice(states))
    elif drawn < 0.9:
        back = _some(world, tenant)
    else:
        back = world.mine(tenant)
    if rnd.random() < 0.3 and back:
        row = rnd.choice(sorted(back))
        bend = rnd.choice(("drop", "garble", "foreign"))
        world.traits.add(f"bent: {bend}")
        if bend == "drop":
            del back[row]
        elif bend == "garble":
            back[row] = {**back[row], "id": back[row]["id"], "garbled": "x"}
        else:
            back |= dict(list(world.mine("b" if tenant == "a" else "a").items())[:1])
    return back


def _some(world: _World, tenant: str) -> Rows:
    """The effects of some of its transactions, the refused ones among them, in order."""
    back: Rows = {}
    share = world.rnd.choice((0.5, 0.8, 0.95))
    for draft in world.drafts:
        if draft.sent.tenant == tenant and (draft.sent.actor == "load" or world.rnd.random() < share):
            for change in draft.sent.changes:
                back.pop(only(change.was or change.key), None)
                if change.row:
                    back[only(change.key)] = row_of(change.row)
    return back


def _plan(script: ScriptTransaction) -> Plan:
    tenants = tuple(
        TenantPlan(tenant=tenant, initial=(), writers=((),), write_counts=(0,)) for tenant in TENANTS
    )
    return Plan(
        seed=1,
        profile="quick",
        schema="app",
        survivors="all",
        budget_s=BUDGET_S,
        write_s=1.0,
        tenants=tenants,
        scripts=(Script(kind="stale_list", words="a stale list", transactions=(script,)),),
    )
