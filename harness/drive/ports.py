"""The small ports through which a drill reaches services.

``stack`` implements them on real services, ``simulate`` in memory on a virtual clock. Everything here is
awaited on the loop of the drill; waiting happens only through ``Clock`` and these calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol, Self

import msgspec

from harness.model.errors import HarnessFailed
from harness.model.faults import Fault
from harness.model.history import Change, Cut, Lock, Outcome, Place, Sight
from harness.model.plan import ScriptTransaction
from harness.model.position import Position
from harness.model.schema import Table
from harness.model.stages import AnyStage
from harness.model.values import RawRow
from harness.subject.port import RestoreResult, Subject


class Clock(Protocol):
    """Monotonic seconds, and the only way to let time pass."""

    def now_s(self) -> float:
        """Return seconds on a monotonic clock with an arbitrary origin."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds`` have passed on this clock (at once for 0 or less)."""
        ...


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """Identity of the database cluster that answers at the clients' address."""

    system_id: str
    timeline: int


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """What a session holds before it sends COMMIT.

    ``changes``: what its statements did not say, rows written by triggers and rows deleted by cascade.
    """

    xid: int
    lsn_lower: int
    changes: tuple[Change, ...] = ()


class Ack(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a COMMIT. ``lsn_upper`` is set for *acked* only; ``conflicted``: as ``Conflicted``."""

    outcome: Outcome
    lsn_upper: int | None = None
    detail: str = ""
    conflicted: bool = False


class Refused(Exception):
    """The database refused a statement; the transaction is over and nothing of it stays."""


class Conflicted(Refused):
    """Refused on account of another transaction that ran at the same time: the same may work once more.

    A serialization failure (SQLSTATE 40001), or a deadlock (40P01) of which it was the victim.
    """


class ConnectionLost(Exception):
    """The connection is gone; nothing was committed unless COMMIT had been sent."""


class NotRead(HarnessFailed):
    """A reading of the harness's own was refused, or its connection lost: it may be made again."""


class Session(Protocol):
    """One connection of one writer; values are text, handles already resolved.

    Statements raise Refused or ConnectionLost. After either, ``reset`` makes the session usable again.
    """

    async def begin(self, *, serializable: bool = False) -> None: ...

    async def insert(self, table: Table, values: Mapping[str, str | None]) -> RawRow:
        """Insert one row and return its whole image."""
        ...

    async def copy(
        self, table: Table, columns: Sequence[str], rows: Sequence[Sequence[str | None]]
    ) -> list[RawRow]:
        """Bulk-load rows and return their images, read by their keys in the same transaction."""
        ...

    async def update(
        self, table: Table, key: Mapping[str, str], values: Mapping[str, str | None]
    ) -> RawRow | None:
        """Update the row with that key and return its new image, or None when there is no such row."""
        ...

    async def delete(self, table: Table, key: Mapping[str, str]) -> bool:
        """Delete the row with that key; False when there is no such row."""
        ...

    async def ready(self) -> Ready:
        """Read what must be known before COMMIT is sent."""
        ...

    async def commit(self) -> Ack:
        """Send COMMIT. Never raises for a lost connection: that is the outcome *unknown*."""
        ...

    async def rollback(self) -> None: ...

    async def reset(self) -> None:
        """Roll back or reconnect, so that ``begin`` can be called; raises ConnectionLost."""
        ...

    async def close(self) -> None: ...


class OperatorSession(Protocol):
    """The connection on which a script runs."""

    async def begin(self) -> None: ...

    async def run(self, transaction: ScriptTransaction) -> None:
        """Send the transaction's statements; raises Refused or ConnectionLost."""
        ...

    async def look(self, tenants: Sequence[str]) -> tuple[Sight, tuple[Change, ...]]:
        """Read, inside the transaction, what it did: keys left of these tenants, counts, marked rows.

        Deferred constraints are checked first, so that what is seen is what COMMIT can do; raises Refused
        or ConnectionLost.
        """
        ...

    async def ready(self) -> Ready: ...

    async def commit(self) -> Ack: ...

    async def break_off(self) -> None:
        """Break the connection off without COMMIT, as a killed script does."""
        ...

    async def reset(self) -> None: ...

    async def close(self) -> None: ...


Rows = dict[str, list[RawRow]]
"""Table name to rows."""


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's rows, catalogue digest and next values (none of scratch), as ``Database`` reads them."""

    rows: Rows
    catalogue_digest: str
    next_values: dict[str, int]


class Database(Protocol):
    """The application's database, behind the address that clients use."""

    async def cluster(self) -> Cluster: ...

    async def session(self, name: str) -> Session: ...

    async def operator(self) -> OperatorSession: ...

    def readings(self) -> AbstractAsyncContextManager[None]:
        """While the context lasts, many readings follow each other and may share connections."""
        ...

    async def read(self, tenants: Sequence[str], place: Place) -> dict[str, Rows]:
        """Read all rows of these tenants in one REPEATABLE READ transaction; raises NotRead."""
        ...

    async def read_unowned(self, place: Place) -> Rows:
        """Read shared and infrastructure tables."""
        ...

    async def catalogue_digest(self, place: Place) -> str:
        """Digest columns, defaults, constraints, indexes, triggers with state, publication, identities."""
        ...

    async def next_values(self, place: Place) -> dict[str, int]:
        """Return the next value of each sequence behind an owned table, by ``table.column``."""
        ...

    async def look(self, tenant: str, place: Place) -> Looked:
        """Read one tenant's rows, the catalogue's digest and the next values in one transaction."""
        ...

    async def clear(self) -> None:
        """Remove everything of earlier drills by ordinary captured deletes (never TRUNCATE).

        Shared and infrastructure rows go too. Must leave a database in which a drill can begin.
        """
        ...

    async def reset_scratch(self) -> None:
        """Make the scratch database new and empty."""
        ...


class ObjectVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of one object, as a listing shows it."""

    key: str
    version: str


class BucketAway(Exception):
    """The object server did not answer; what became readable meanwhile is listed later."""


class Bucket(Protocol):
    """The archive's bucket as the harness itself sees it, never through the subject."""

    async def new_versions(self) -> Sequence[ObjectVersion]:
        """List the object versions that became readable since the last call; raises BucketAway."""
        ...

    async def restorer_bytes(self) -> int:
        """Return how many bytes the object server has sent to restorers so far."""
        ...

    async def locks(self, versions: Sequence[ObjectVersion]) -> Sequence[Lock]:
        """Return how these versions are locked now, in their order."""
        ...


class Copies(Protocol):
    """Copies of the object server's data as they were at an instant, by number, and restores from them.

    A context: leaving it ends what serves them, and removes them.
    """

    async def take(self, copy: int) -> None:
        """Copy the data as they are now; returns when the copy is whole."""
        ...

    async def serve(self, copies: Sequence[int]) -> None:
        """Start an object server on each copy."""
        ...

    async def restore(self, copy: int, tenant: str) -> RestoreResult:
        """Have the subject restore a tenant into the scratch database from a copy, up to its end."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *error: object) -> None: ...


class Witness(Protocol):
    """A physical backup of the whole cluster beside the archive, which is restored to points in time.

    It shares nothing with the system under test. What it can't do raises a RestoreproofError.
    """

    async def begin(self) -> str:
        """Keep everything from now on; returns once that is sure, with words that say what keeps it."""
        ...

    async def gather(self) -> None:
        """Have all that was committed until now; to be called before the first ``read``."""
        ...

    async def read(self, cut: Cut, tenants: Sequence[str]) -> dict[str, Rows]:
        """Return the rows of these tenants as they were just before transaction ``cut.xid`` committed."""
        ...

    async def end(self) -> None:
        """Keep nothing any more, and leave nothing behind; may be called at any time."""
        ...


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the object server made of an act: refused or done, in its words."""

    refused: bool
    words: str


class Intruder(Protocol):
    """Someone with the bucket's credentials, and no key of the archive's. A refusal is an answer."""

    async def versions(self) -> Sequence[ObjectVersion]:
        """List every version of every object, by name, the oldest version of each first."""
        ...

    async def read(self, key: str, version: str) -> bytes: ...

    async def put(self, key: str, body: bytes, *, new: bool) -> Answer:
        """Put an object; ``new``: only if there is none of that name."""
        ...

    async def delete(self, key: str, version: str | None, *, bypass: bool = False) -> Answer:
        """Delete a version, or without one hide the object; ``bypass``: of GOVERNANCE mode."""
        ...

    async def shorten(self, key: str, version: str, *, mode: str) -> Answer:
        """Set a retention of ``mode`` that ends in a second."""
        ...

    async def suspend_versioning(self) -> Answer: ...

    async def remove_lock_rule(self) -> Answer:
        """Take away the rule by which the bucket locks what is put without a retention."""
        ...


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """Whether something was seen to be so, and the words that show it."""

    seen: bool
    words: str


class Stages(Protocol):
    """What the stages between a commit and the archive hold, for the blame of losses.

    Nothing here raises: what can't be read is told. ``cluster`` is the drill's ordinal of the cluster that
    answers, ``start_s`` the drill's start on its clock. What is returned may be worked out when it is
    iterated over.
    """

    async def begin(self) -> None:
        """Note where the topic ends: what comes from here on is of this drill, or of this cluster."""
        ...

    async def follow(self) -> None:
        """Follow the topic from here on: it is about to be destroyed."""
        ...

    async def captured(self, cluster: int, start_s: float) -> Iterable[AnyStage]:
        """Read WAL, standby and topic, or end the following of a topic that is gone."""
        ...

    async def archived(self, after: Position | None) -> Iterable[AnyStage]:
        """Read what the archive holds from ``after`` on."""
        ...


Rejoining = Literal["base backup", "rewind"]
"""How an old primary gets the new one's data: all of it anew, or only where they differ."""


class Machinery(Protocol):
    """Starting, breaking and rebuilding the services of a drill."""

    async def prepare(self, *, fresh: bool) -> None:
        """Make services run, with the schema loaded and nothing captured yet when ``fresh``.

        Not fresh: the running pipeline goes on; only what is missing is started, a standby too.
        """
        ...

    async def start_capture(self) -> None:
        """Start change capture and the archiver; returns when a heartbeat was seen in the bucket."""
        ...

    def available(self, fault: Fault) -> str:
        """Return why this host can't do ``fault``, or an empty text."""
        ...

    async def disturb(self, fault: Fault) -> Proof:
        """Inject a fault; the proof shows that it bites, probed from both sides where there are two."""
        ...

    async def heal(self, fault: Fault) -> Proof:
        """Undo a fault, if it was injected; the proof shows that what it touched works again.

        May be called more than once, after a fault that failed, and after a destruction: then only what
        outlived it is healed.
        """
        ...

    async def destroy(self) -> tuple[str, ...]:
        """Kill archiver, Connect, broker, standby and primary, in that order, and return at once.

        Returns the names of what was destroyed. Only the bucket, the keys and the proxies stay: the disks
        of the others are of no use to anybody, and gone before ``rebuild`` starts anything.
        """
        ...

    def refuses_failover(self) -> str:
        """Return why no standby can take over here, or an empty text."""
        ...

    async def strike_primary(self, *, fenced: bool) -> tuple[str, ...]:
        """Kill the primary, and return once it is dead: it acknowledges nothing any more.

        ``fenced``: its clients are cut off before. Returns the names of what was killed. Raises
        HarnessFailed when the standby could not take over, before anything is done.
        """
        ...

    async def promote(self) -> None:
        """Make the standby primary, on a new timeline; returns once the clients' addresses lead to it.

        It stands alone: its commits wait for nobody.
        """
        ...

    async def resume_capture(self) -> None:
        """Return once capture goes on at the new primary, from where the standby knew it to be."""
        ...

    async def rejoin(self, by: Rejoining) -> None:
        """Have the old primary come back as the synchronous standby, from which a failover could go on."""
        ...

    async def rebuild(self) -> None:
        """Start a fresh, empty cluster (no schema) behind the same addresses, and a fresh broker."""
        ...


class World(msgspec.Struct, frozen=True, kw_only=True):
    """All that a drill reaches, as one value. ``no_witness``: why there is none."""

    clock: Clock
    database: Database
    bucket: Bucket
    machinery: Machinery
    subject: Subject
    intruder: Intruder
    copies: Copies | None = None
    witness: Witness | None = None
    no_witness: str = ""
    stages: Stages | None = None
