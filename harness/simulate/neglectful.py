"""Systems that pass over something that reached them, or should have; and some that only look so.

Like those in ``faulty``, each overrides as little of the reference system as it can. Their table is at the
end.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Final

import msgspec

from harness.model.attacks import Attack
from harness.model.history import Cut, Need, Place
from harness.model.plan import Plan
from harness.model.schema import ByColumn, ByPath, Schema, Table
from harness.model.values import RawRow
from harness.model.watermarks import WatermarkCheck
from harness.simulate.defect import Defect
from harness.simulate.faulty import Wrapped
from harness.simulate.feed import Connector
from harness.simulate.gaps import OverlooksMissingBeats
from harness.simulate.misset import Rewrites
from harness.simulate.server import Committed, Server, Written
from harness.simulate.target import SimulatedTarget
from harness.simulate.world import Parts
from harness.subject.port import RestoreResult, Subject
from harness.subject.reference import fold as folding
from harness.subject.reference.archiver import Archiver
from harness.subject.reference.assembler import Transaction
from harness.subject.reference.batch import Batch
from harness.subject.reference.format import Global, Part
from harness.subject.reference.ports import ObjectStore, RowEvent, StoreUnavailable, Swap, Swapped
from harness.subject.reference.restorer import Restorer

FULL: Final = 5
"""Changes of one tenant that make its buffer full."""

SHORT: Final = 4
"""Of so many characters a tenant's short name is."""

COPIED_S: Final = 3.0
"""So long after the first damage the bucket is copied: what a script did has come there by then."""


class FlushesWhenFull(Archiver):
    """Has a buffer for each tenant, and writes it when it is full: a quiet tenant's never is (FM-94)."""

    _kept: dict[str, list[Part]]

    def parts_to_write(self, batch: Batch) -> dict[str, list[Part]]:
        """Return the parts of the tenants that have enough, and keep those of the others."""
        kept: dict[str, list[Part]] = getattr(self, "_kept", {})
        for tenant, parts in batch.parts.items():
            kept.setdefault(tenant, []).extend(parts)
        full = {t: of for t, of in kept.items() if sum(len(part.changes) for part in of) >= FULL}
        self._kept = {t: of for t, of in kept.items() if t not in full}
        return full


class FlushesWhenFullOrDue(Archiver):
    """Near miss: writes when a tenant's buffer is full, and after the interval all the same."""

    def flush_due(self) -> bool:
        """Whether one is full, or the interval is over."""
        buffers = self.batch.parts.values()
        return super().flush_due() or any(sum(len(p.changes) for p in of) >= FULL for of in buffers)


class BeginsAnewAtTheEnd(Connector):
    """Makes a new slot on a promoted standby, and no snapshot: what came before it is nowhere (FM-21)."""

    def resume(self, server: Server, *, again: int) -> None:
        """Go on; on another server at the end of its WAL."""
        promoted = server is not self._server
        super().resume(server, again=again)
        if promoted:
            self._done = len(server.wal)


class RepeatsNothing(Connector):
    """Near miss: its slot on a promoted standby begins exactly where the one before ended."""

    def resume(self, server: Server, *, again: int) -> None:
        """Go on, and send nothing again where the server is another one."""
        super().resume(server, again=again if server is self._server else 0)


class SendsKeysOnly(Rewrites):
    """Tells of an old row only its key, as REPLICA IDENTITY DEFAULT does (FM-40)."""

    def identity(self, table: Table) -> set[str]:
        """Return the columns of which old rows are told."""
        return set(table.key)

    def _rewritten(self, one: Written) -> Written:
        if one.before is None or not one.table.owned:
            return one
        told = self.identity(one.table)
        before = {name: cell if name in told else None for name, cell in one.before.items()}
        rewritten = Written(table=one.table, op=one.op, before=before, after=one.after)
        rewritten.told = one.told
        return rewritten


class SendsKeysAndOwners(SendsKeysOnly):
    """Near miss: tells of deleted rows their keys and whose they were, and of changed ones all."""

    def identity(self, table: Table) -> set[str]:
        """Return the columns of every key, and of the way to the tenant."""
        return {*table.key, *_way(table), *(column for columns in table.unique for column in columns)}

    def _rewritten(self, one: Written) -> Written:
        return super()._rewritten(one) if one.op == "delete" else one


class TakesKeysForRows(Archiver):
    """Takes old rows without all their columns, and drops a deletion if it can't tell whose it was."""

    def admit(self, transaction: Transaction) -> None:
        """Add what is left of a transaction."""
        kept = [e for e in transaction.events if not (isinstance(e, RowEvent) and self._nobodys(e))]
        events = [_completed(e) if isinstance(e, RowEvent) else e for e in kept]
        super().admit(msgspec.structs.replace(transaction, events=tuple(events)))

    def _nobodys(self, event: RowEvent) -> bool:
        before = event.before
        if event.op != "delete" or before is None or event.table not in _owned(self.schema):
            return False
        return any(before.get(column) is None for column in _way(self.schema.table(event.table)))


def _completed(event: RowEvent) -> RowEvent:
    """Return an update whose old row has the new one's cells where it told none."""
    before, after = event.before, event.after
    if event.op != "update" or before is None or after is None:
        return event
    whole = {name: after[name] if cell is None else cell for name, cell in before.items()}
    return msgspec.structs.replace(event, before=whole)


def _owned(schema: Schema) -> set[str]:
    return {table.name for table in schema.owned}


def _way(table: Table) -> tuple[str, ...]:
    """Return the columns by which a row finds its tenant."""
    match table.tenancy:
        case ByColumn(column=column):
            return (column,)
        case ByPath(columns=columns):
            return columns
    return ()


class SkipsTruncates(Connector):
    """Tells of no TRUNCATE, as a connector does by default: skipped.operations=t (FM-44)."""

    def publish(self, transactions: Sequence[Committed]) -> None:
        """Append transactions to the topic, without what was truncated."""
        super().publish([_without(one, "truncate") for one in transactions])


class SkipsEmptyOnes(Connector):
    """Near miss: tells of no transaction in which there is nothing to be told."""

    def publish(self, transactions: Sequence[Committed]) -> None:
        """Append those that say something."""
        super().publish([one for one in transactions if one.written or one.heartbeat or one.ddl])


def _without(one: Committed, op: str) -> Committed:
    return msgspec.structs.replace(one, written=tuple(w for w in one.written if w.op != op))


class IgnoresTruncates(Restorer):
    """Folds rows, and nothing that belongs to no tenant: what was truncated is there again (FM-7)."""

    def fold(
        self,
        tables: Sequence[Table],
        parts: Sequence[Part],
        globals_: Sequence[Global],
        keeps: folding.Keeps,
    ) -> dict[str, list[RawRow]]:
        """Fold without any TRUNCATE."""
        rows_only = [found for found in globals_ if found.kind != "truncate"]
        return super().fold(tables, parts, rows_only, keeps)


class TruncatesTwice(Restorer):
    """Near miss: folds each TRUNCATE twice."""

    def fold(
        self,
        tables: Sequence[Table],
        parts: Sequence[Part],
        globals_: Sequence[Global],
        keeps: folding.Keeps,
    ) -> dict[str, list[RawRow]]:
        """Fold with each global entry given once more."""
        return super().fold(tables, parts, [*globals_, *globals_], keeps)


class FindsByShortName(Wrapped):
    """Finds a tenant by its short name, which others have too: the first of them comes back (FM-97)."""

    def __init__(self, inner: Subject) -> None:
        super().__init__(inner)
        self._known: dict[str, str] = {}

    async def restore(self, tenant: str, cut: Cut, place: Place) -> RestoreResult:
        """Restore whoever was first known by that name."""
        return await super().restore(self.found(tenant), cut, place)

    def found(self, tenant: str) -> str:
        """Return the one first asked for by that short name."""
        return self._known.setdefault(tenant[:SHORT], tenant)


class LooksUpShortNames(FindsByShortName):
    """Near miss: looks the short name up too, and then goes by the id."""

    def found(self, tenant: str) -> str:
        """Return the very tenant."""
        super().found(tenant)
        return tenant


class RestartsSequences(SimulatedTarget):
    """Begins each sequence anew: the application's next row gets an id that is taken (FM-102)."""

    async def swap(self, swap: Swap) -> Swapped:
        """Swap, then begin sequences anew, as TRUNCATE … RESTART IDENTITY does."""
        swapped = await super().swap(swap)
        self.restart(self._address.reach())
        return swapped

    def restart(self, server: Server) -> None:
        """Set each sequence to its first value."""
        server.built.sequences.update(dict.fromkeys(server.built.sequences, 1))


class RestartsNone(RestartsSequences):
    """Near miss: sets each sequence to the value that it has."""

    def restart(self, server: Server) -> None:
        """Set each to what it is."""
        server.built.sequences.update({**server.built.sequences})


class Eye:
    """What a restorer and a subject share: the first object store that the restorer got."""

    store: ObjectStore | None = None


class ShowsItsStore(Restorer):
    """Lets ``eye`` see the store that it reads from."""

    eye: ClassVar[Eye] = Eye()

    def __init__(self, **parts: object) -> None:
        super().__init__(**parts)  # type: ignore[arg-type]  # as the restorer takes them
        self.eye.store = self.eye.store or self.store


class NamesNewestVersions(Wrapped):
    """Names what restores need by key, in the version that is the newest when it is asked (FM-85)."""

    which: ClassVar[int] = -1

    def __init__(self, inner: Subject, *, eye: Eye) -> None:
        super().__init__(inner)
        self._eye = eye

    async def needs(self) -> tuple[Need, ...]:
        """Name the objects in the versions that lie there."""
        named = await super().needs()
        found = [tuple([await self._lies(*one) for one in need.objects]) for need in named]
        return tuple(
            msgspec.structs.replace(need, objects=of) for need, of in zip(named, found, strict=True)
        )

    async def _lies(self, key: str, version: str) -> tuple[str, str]:
        assert self._eye.store is not None  # a restorer was made before the subject
        try:
            there = await self._eye.store.versions_of(key)
        except StoreUnavailable:
            return key, version
        return key, there[self.which].version if there else version


class NamesOldestVersions(NamesNewestVersions):
    """Near miss: looks the versions up too, and names the one that was there first."""

    which = 0


def names_versions(kind: type[NamesNewestVersions]) -> Parts:
    """Return a restorer and a subject that share an eye of their own."""
    eye = Eye()
    restorer = type("ShowsItsStore", (ShowsItsStore,), {"eye": eye})
    return Parts(restorer=restorer, subject=partial(kind, eye=eye))


def copied_after(plan: Plan) -> Plan:
    """Return the plan with a copy of the bucket made soon after the damage, of two who are damaged."""
    damaged = sorted({t for tx in plan.scripts[0].transactions for t in tx.damaged})
    check = WatermarkCheck(moment="incident", after_s=COPIED_S, tenants=tuple(damaged[:2]))
    return msgspec.structs.replace(plan, watermark_checks=(check,) if damaged else ())


DEFECTS: tuple[Defect, ...] = (
    Defect(
        name="flushes buffers when they are full",
        failure_mode="FM-94",
        where="archiver",
        words="each tenant's buffer is written when it is full: what a quiet tenant wrote never is",
        caught_by=("honest", "loss"),
        parts=lambda: Parts(archiver=FlushesWhenFull),
        near_miss=lambda: Parts(archiver=FlushesWhenFullOrDue),
    ),
    Defect(
        name="makes a new slot after a failover",
        failure_mode="FM-21",
        where="capture",
        words="on the promoted standby the slot is made anew, without a snapshot, and no gap is looked for",
        caught_by=("honest", "prefix"),
        parts=lambda: Parts(connector=BeginsAnewAtTheEnd, archiver=OverlooksMissingBeats),
        near_miss=lambda: Parts(connector=RepeatsNothing, archiver=OverlooksMissingBeats),
    ),
    Defect(
        name="takes keys for old rows",
        failure_mode="FM-40",
        where="archiver",
        words="old rows come with their keys only, as REPLICA IDENTITY DEFAULT has it, and the archiver"
        " drops deletions that do not say whose they are",
        caught_by=("resurrection", "honest"),
        parts=lambda: Parts(connector=SendsKeysOnly, archiver=TakesKeysForRows),
        near_miss=lambda: Parts(connector=SendsKeysAndOwners, archiver=TakesKeysForRows),
    ),
    Defect(
        name="skips each TRUNCATE",
        failure_mode="FM-44",
        where="capture",
        words="the connector tells of no TRUNCATE, as skipped.operations has it by default",
        caught_by=("watermarks",),
        parts=lambda: Parts(connector=SkipsTruncates),
        near_miss=lambda: Parts(connector=SkipsEmptyOnes),
        kind="truncated",
        changed=copied_after,
        hint="a TRUNCATE, and a copy of the bucket from soon after it",
    ),
    Defect(
        name="ignores each TRUNCATE",
        failure_mode="FM-7",
        where="restorer",
        words="the restorer folds rows alone, and what belongs to no tenant is passed over",
        caught_by=("watermarks",),
        parts=lambda: Parts(restorer=IgnoresTruncates),
        near_miss=lambda: Parts(restorer=TruncatesTwice),
        kind="truncated",
        changed=copied_after,
        hint="a TRUNCATE, and a copy of the bucket from soon after it",
    ),
    Defect(
        name="finds tenants by short names",
        failure_mode="FM-97",
        where="restorer",
        words="of tenants with one short name the first comes back, whoever was asked for",
        caught_by=("honest", "live rows"),
        parts=lambda: Parts(subject=FindsByShortName),
        near_miss=lambda: Parts(subject=LooksUpShortNames),
    ),
    Defect(
        name="restarts sequences",
        failure_mode="FM-102",
        where="restorer",
        words="each sequence begins anew with a restore, so that the next row gets an id that is taken",
        caught_by=("next write",),
        parts=lambda: Parts(target=RestartsSequences),
        near_miss=lambda: Parts(target=RestartsNone),
    ),
    Defect(
        name="names the newest versions",
        failure_mode="FM-85",
        where="restorer",
        words="what restores need is named by key, in whatever version is the newest by then",
        caught_by=("chain",),
        parts=lambda: names_versions(NamesNewestVersions),
        near_miss=lambda: names_versions(NamesOldestVersions),
        attacks=(Attack(kind="overwrite", moment="write", after_s=4.0, aims=tuple(range(0, 1000, 20))),),
    ),
)
