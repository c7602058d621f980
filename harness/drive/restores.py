"""Restores: who is restored where and to which cut, asking the subject, and reading back what it did.

Restores run one after the other. Of each the journal holds the question, the answer with the bytes that it
took, the tenant's rows in one snapshot, the catalogue's digest, and for those in place the sequences.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from harness.drive.damage import Damage, Hit
from harness.drive.drill import Drill
from harness.drive.observer import Observer
from harness.drive.ports import Rows
from harness.drive.workload import Workload
from harness.model.errors import SubjectFailed
from harness.model.folder import restored_file
from harness.model.history import (
    CatalogueSeen,
    Cut,
    Place,
    ReadBack,
    RestoreBegan,
    RestoreDone,
    SequencesSeen,
    StoredRow,
)
from harness.model.plan import Plan
from harness.model.position import Xid
from harness.model.schema import Table
from harness.model.values import key_of, row_key, to_image
from harness.subject.port import RestoreResult

END_OF_ARCHIVE: Final = Cut()


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """One restore to be made: whose, to which cut, into which place."""

    tenant: str
    cut: Cut
    place: Place


def assign(plan: Plan, damage: Damage, epochs: Mapping[int, int]) -> list[Assignment]:
    """Return the restores of the first round: every tenant once, damaged ones first.

    Damaged tenants go in place, undamaged ones into scratch (in place too when only the archive is left),
    rightly deleted ones into scratch.
    """
    untouched: Place = "live" if plan.survivors == "archive" else "scratch"
    tenants = [tenant.tenant for tenant in plan.tenants]
    healthy = [t for t in tenants if t not in damage.damaged and t not in damage.deleted]
    return [
        *assign_damaged(tenants, damage, epochs),
        *(
            Assignment(tenant=t, cut=_without(END_OF_ARCHIVE, t, damage, epochs), place=untouched)
            for t in healthy
        ),
        *(
            Assignment(tenant=t, cut=_before(t, damage.deleted[t], damage, epochs), place="scratch")
            for t in tenants
            if t in damage.deleted and t not in damage.damaged
        ),
    ]


def assign_damaged(tenants: Sequence[str], damage: Damage, epochs: Mapping[int, int]) -> list[Assignment]:
    """Return a restore in place for each damaged tenant, in the order of ``tenants``."""
    return [
        Assignment(tenant=t, cut=_before(t, damage.damaged[t], damage, epochs), place="live")
        for t in tenants
        if t in damage.damaged
    ]


def _before(tenant: str, hit: Hit, damage: Damage, epochs: Mapping[int, int]) -> Cut:
    """Return the cut just before the transaction that hit a tenant; no upper bound if it was not acked."""
    cut = Cut(
        epoch=epochs.get(hit.sent.cluster, 0),
        xid=hit.sent.xid,
        lsn_lower=hit.sent.lsn_lower,
        lsn_upper=(hit.done.lsn_upper or 0) if hit.done else 0,
    )
    return _without(cut, tenant, damage, epochs)


def _without(cut: Cut, tenant: str, damage: Damage, epochs: Mapping[int, int]) -> Cut:
    """Return the cut that leaves out, too, rows of others that the script gave the tenant."""
    given = damage.given(tenant)
    left_out = (Xid(epoch=epochs.get(sent.cluster, 0), xid=sent.xid) for sent in given)
    return msgspec.structs.replace(cut, without=tuple(left_out))


class Restores:
    """Performs assignments. Those restored in place wait for their probe until ``go_on``.

    ``to_a_cut``: by tenant the first restore to before a transaction that brought it back, and its cut.
    """

    def __init__(self, drill: Drill, workload: Workload, observer: Observer) -> None:
        self._drill = drill
        self._workload = workload
        self._observer = observer
        self._number = 0
        self._bytes_so_far: int | None = None
        self._refused: list[Assignment] = []
        self.to_a_cut: dict[str, tuple[int, Cut]] = {}

    async def restore(self, assignment: Assignment, round_: int) -> bool:
        """Restore one tenant and read it back; return whether the subject says that it is restored."""
        if assignment.place == "live":
            await self._workload.stop([assignment.tenant])
        await self._observer.watermark()
        self._number += 1
        result = await self._ask(assignment, round_)
        self._drill.tally.restored += 1
        if result.result == "refused" and assignment.place == "live":
            self._refused.append(assignment)
        if result.result != "restored":
            return False
        if assignment.cut.xid:
            self.to_a_cut.setdefault(assignment.tenant, (self._number, assignment.cut))
        await self._look(assignment, self._number)
        return True

    async def beside(self, round_: int) -> None:
        """Restore into a scratch database, each time a new one, who was refused in place."""
        refused, self._refused = self._refused, []
        self._drill.tally.to_restore += len(refused)
        for assignment in refused:
            await self._drill.world.database.reset_scratch()
            await self.restore(msgspec.structs.replace(assignment, place="scratch"), round_)

    async def probe(self, tenants: Iterable[str]) -> None:
        """Let tenants restored in place write: first a probe, then their writers."""
        for tenant in tenants:
            await self._workload.probe(tenant)
            self._workload.go_on([tenant])

    async def catalogue(self, place: Place, when: str) -> None:
        """Journal the digest of a place's catalogue."""
        self._note_catalogue(place, when, await self._drill.world.database.catalogue_digest(place))

    async def sequences(self, place: Place, when: str) -> None:
        """Journal the next values of a place's sequences."""
        self._note_sequences(place, when, await self._drill.world.database.next_values(place))

    def _note_catalogue(self, place: Place, when: str, digest: str) -> None:
        self._drill.journal.write(
            CatalogueSeen(
                at_s=self._drill.journal.now_s(),
                place=place,
                cluster=self._drill.where.cluster,
                when=when,
                digest=digest,
            )
        )

    def _note_sequences(self, place: Place, when: str, next_values: dict[str, int]) -> None:
        at_s = self._drill.journal.now_s()
        self._drill.journal.write(SequencesSeen(at_s=at_s, place=place, when=when, next_values=next_values))

    async def _ask(self, assignment: Assignment, round_: int) -> RestoreResult:
        journal = self._drill.journal
        bytes_before = await self._bytes_before()
        journal.write(
            RestoreBegan(
                at_s=journal.now_s(),
                restore=self._number,
                round=round_,
                tenant=assignment.tenant,
                cut=assignment.cut,
                place=assignment.place,
                cluster=self._drill.where.cluster,
            )
        )
        result = await self._answer(assignment)
        bytes_after = self._bytes_so_far = await self._drill.world.bucket.restorer_bytes()
        journal.write(
            RestoreDone(
                at_s=journal.now_s(),
                restore=self._number,
                tenant=assignment.tenant,
                result=result.result,
                detail=result.detail,
                rows=result.rows,
                set_aside=result.set_aside,
                bytes_read=bytes_after - bytes_before,
            )
        )
        return result

    async def _bytes_before(self) -> int:
        """Return what was read so far; counting cuts the link, so the last restore's count serves."""
        if self._bytes_so_far is None:
            self._bytes_so_far = await self._drill.world.bucket.restorer_bytes()
        return self._bytes_so_far

    async def _answer(self, assignment: Assignment) -> RestoreResult:
        """Return the subject's answer; that it fails, or gives none in time, is an answer too."""
        limit_s = self._drill.plan.limits.restore_s
        limit = asyncio.timeout(limit_s)
        try:
            async with limit:
                return await self._drill.world.subject.restore(
                    assignment.tenant, assignment.cut, assignment.place
                )
        except SubjectFailed as failed:
            return RestoreResult(result="failed", detail=str(failed))
        except TimeoutError:
            if not limit.expired():
                raise
            return RestoreResult(result="failed", detail=f"no answer within {limit_s:g} s")

    async def _look(self, assignment: Assignment, number: int) -> None:
        """Read back rows, catalogue and, in place, sequences; bind handles to the rows that are there."""
        tenant, place = assignment.tenant, assignment.place
        when = f"after restore {number}"
        seen = await self._drill.world.database.look(tenant, place)
        self._note_catalogue(place, when, seen.catalogue_digest)
        read_back(self._drill, number, tenant, seen.rows)
        if place == "live":
            self._note_sequences(place, when, seen.next_values)
            keys = {name: table.key for name, table in self._drill.where.tables.items()}
            self._drill.bindings[tenant].now_are(
                {name: {key_of(row, keys[name]): row for row in of} for name, of in seen.rows.items()}
            )


def read_back(drill: Drill, restore: int, tenant: str, rows: Rows) -> None:
    """Store rows of ``tenant`` that were read after ``restore`` (0: at the end)."""
    file = restored_file(tenant)
    stored = stored_rows(restore, rows, drill.where.tables)
    drill.journal.store(file, stored)
    drill.journal.write(
        ReadBack(
            at_s=drill.journal.now_s(),
            restore=restore,
            tenant=tenant,
            file=file,
            rows=len(stored),
            size_bytes=_size_bytes(rows),
        )
    )


def _size_bytes(rows: Rows) -> int:
    cells = (cell for found in rows.values() for row in found for cell in row.values())
    return sum(len(cell.encode()) for cell in cells if cell)


def stored_rows(restore: int, rows: Rows, tables: Mapping[str, Table]) -> list[StoredRow]:
    """Return rows in the form in which they are stored."""
    return [
        StoredRow(restore=restore, key=row_key(table, key_of(row, tables[table].key)), row=to_image(row))
        for table, found in rows.items()
        for row in found
    ]
