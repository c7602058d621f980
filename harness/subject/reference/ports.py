"""The three ports of the reference backup system, and the small ones beside them.

Change feed, object store and target database; then a clock, the key store, the owner index, and what the
archiver asks of the captured database itself. Adapters for the real services live in ``adapters``;
in-memory ones in ``harness.simulate``. Calls are coroutines; real adapters run blocking clients in threads.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from harness.model.errors import SubjectFailed
from harness.model.schema import Schema
from harness.model.values import RawRow
from harness.subject.reference.format import SchemaRef
from harness.subject.reference.health import Beaten
from harness.subject.reference.shapes import Altered


class StoreUnavailable(SubjectFailed):
    """The object store did not answer; the call may be made again, with the same arguments."""


class FeedUnavailable(SubjectFailed):
    """The change feed did not answer; the call may be made again."""


class TargetUnavailable(SubjectFailed):
    """The target database did not answer; the restore may be made again.

    ``swapped``: what a swap did if it was committed, which nobody knows when its COMMIT had been sent.
    """

    swapped: Swapped | None = None


class SchemaMissing(SubjectFailed):
    """The target database lacks a table of the schema: in an empty one it must be built first."""


class Clock(Protocol):
    """Monotonic seconds, and the only way to let time pass (the drill's clock fits)."""

    def now_s(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


class Begin(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction begins in the feed."""

    offset: int
    xid: int


class RowEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A row changed, with full images (REPLICA IDENTITY FULL); values as Postgres text.

    ``order``: the event's place in its transaction, from 1 (0 for a snapshot row). ``table`` is qualified.
    """

    offset: int
    xid: int
    order: int
    table: str
    op: Literal["insert", "update", "delete", "snapshot"]
    before: RawRow | None = None
    after: RawRow | None = None


class TruncateEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A table was truncated: belongs to no tenant."""

    offset: int
    xid: int
    order: int
    table: str


class MessageEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A logical message inside a transaction: it counts among the events.

    ``content`` is kept of messages that tell of DDL only (``event_triggers``).
    """

    offset: int
    xid: int
    order: int
    content: str = ""


class End(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction ends: ``lsn`` is its commit position, ``count`` how many events it had.

    ``committed_ms``: when it was committed, milliseconds since 1970 on the database's clock, if known.
    """

    offset: int
    xid: int
    lsn: int
    count: int
    committed_ms: int | None = None


class SnapshotBegin(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot begins, or begins again: what came of an earlier, unfinished one is void.

    ``offset`` is that of its first row event, which comes next.
    """

    offset: int


class SnapshotEnd(msgspec.Struct, frozen=True, kw_only=True):
    """The initial snapshot is complete; it stands for everything up to ``lsn``."""

    offset: int
    lsn: int


class Unreadable(msgspec.Struct, frozen=True, kw_only=True):
    """A record that can't be carried; the archiver stops with ``reason``."""

    offset: int
    reason: str


FeedEvent = Begin | RowEvent | TruncateEvent | MessageEvent | End | SnapshotBegin | SnapshotEnd | Unreadable


class FeedStart(msgspec.Struct, frozen=True, kw_only=True):
    """Where a reader begins: at ``offset`` of ``feed`` (which names no later namesake)."""

    feed: str
    offset: int


class Feed(Protocol):
    """An ordered change feed with offsets; a restarted reader begins at the committed offset."""

    async def start(self) -> FeedStart:
        """Begin reading at the committed offset, or at the first one still there; say where that is."""
        ...

    async def read(self, *, limit: int, wait_s: float) -> Sequence[FeedEvent]:
        """Return up to ``limit`` events, waiting at most ``wait_s`` for the first."""
        ...

    def alter(self, altered: Sequence[Altered]) -> None:
        """Know how tables were changed before the place where reading begins."""
        ...

    async def commit(self, offset: int) -> None:
        """Make ``offset`` (the next one to be read) where a restarted reader begins."""
        ...


class StoredObject(msgspec.Struct, frozen=True, kw_only=True):
    """Where one object version is, and how many bytes it has."""

    key: str
    version: str
    size_bytes: int


class ObjectStore(Protocol):
    """An S3 bucket with versioning and Object Lock."""

    async def put_once(self, key: str, body: bytes) -> StoredObject:
        """Write under COMPLIANCE retention, which is read back, only if the key does not exist.

        When it exists with the very same bytes (a retry whose answer was lost), returns that version.
        Raises ArchiveBroken when it exists with others.
        """
        ...

    async def put_again(self, key: str, body: bytes) -> StoredObject:
        """Write one more version of a key that somebody else has taken, under the same retention."""
        ...

    async def get(self, key: str, version: str, *, start: int = 0, size: int | None = None) -> bytes:
        """Read ``size`` bytes from ``start`` of exactly this version; raises ArchiveBroken if absent."""
        ...

    async def list(self, prefix: str, *, after: str = "") -> Sequence[StoredObject]:
        """List the *oldest* version of each key under ``prefix`` after the key ``after``, in key order.

        The oldest one, since an overwrite or a delete marker only adds newer versions (FM-85, FM-86).
        """
        ...

    async def versions_of(self, key: str) -> Sequence[StoredObject]:
        """List all versions of one key, the oldest first."""
        ...

    async def retention_s(self, key: str, version: str) -> float | None:
        """Return for how many more seconds this version is locked in COMPLIANCE mode, None if it isn't."""
        ...


class TenantKey(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's sealing key: ``id`` (hex) names it in blocks, ``secret`` is 32 bytes."""

    id: str
    tenant: str
    secret: bytes


class KeyStore(Protocol):
    """Tenants' keys; lives outside bucket and database, and survives both."""

    async def current(self, tenant: str) -> TenantKey:
        """Return the tenant's current key, made and durable before this returns."""
        ...

    async def get(self, key_id: str) -> TenantKey:
        """Return the key of that id; raises ArchiveBroken when it was destroyed or never was."""
        ...


class Pinned(msgspec.Struct, frozen=True, kw_only=True):
    """One object version and the SHA-256 of its bytes."""

    stored: StoredObject
    sha256: str


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What an archiver needs of its archive to go on after the manifest entry ``last``.

    ``shaping``: the entries since the last snapshot that tell how tables are, which ``last`` may be one of.
    ``segments`` and ``refused``: how many there were of either.
    """

    last: Pinned
    shaping: tuple[Pinned, ...] = ()
    segments: int = 0
    refused: int = 0


class OwnerIndex(Protocol):
    """(table, columns, cells) to owner, for rows through which others find their tenant.

    An owner is a text of ``owners``: a tenant, or the parent that knows it. ``checkpoint`` is how far the
    index is complete, None for an empty one.
    """

    @property
    def checkpoint(self) -> Checkpoint | None: ...

    def get(self, table: str, columns: tuple[str, ...], cells: tuple[str, ...]) -> str | None: ...

    def put(self, table: str, columns: tuple[str, ...], cells: tuple[str, ...], owner: str) -> None: ...

    def forget(self) -> None:
        """Forget what was put since the last flush."""
        ...

    def flush(self, checkpoint: Checkpoint) -> None:
        """Make everything put so far durable, and in the same step how far the index is complete."""
        ...


class Whereabouts(msgspec.Struct, frozen=True, kw_only=True):
    """Which database answers: its system identifier and timeline; None both where it can't say."""

    system_id: str | None = None
    timeline: int | None = None


class SchemaDump(msgspec.Struct, frozen=True, kw_only=True):
    """DDL that rebuilds schema, publication and identities, and the digest of the catalogue it shows."""

    ddl: str
    catalogue: str = ""


class Source(Protocol):
    """The captured database, as the archiver sees it beside the feed."""

    async def where(self) -> Whereabouts | None:
        """Return who answers, None when nobody does."""
        ...

    async def dump_schema(self) -> SchemaDump | None:
        """Return the DDL that rebuilds schema, publication and identities in an empty database.

        None when the database could not be reached.
        """
        ...

    async def beat(self) -> Beaten | None:
        """Write the heartbeat row; return what was written, and seen of the database with it.

        None when the database could not be reached: that is no news, and not the archiver's fault.
        """
        ...


class Target(Protocol):
    """A database into which tenants are restored."""

    async def build_schema(self, ddl: str, high: Mapping[str, int]) -> None:
        """Build of the archived schema what is missing, publication and identities included.

        Tables that are there stay as they are. In the same transaction sequences are set past ``high``, as
        by a swap: whoever writes into a table that was rebuilt must not take a value of before.
        """
        ...

    async def columns(self) -> Mapping[str, Collection[str]]:
        """Return the columns of each declared table that is there."""
        ...

    async def catalogue_digest(self) -> str:
        """Return the digest of the catalogue as it is now, empty where nothing was built."""
        ...

    async def swap(self, swap: Swap) -> Swapped:
        """Replace one tenant's rows in one transaction.

        Raises RestoreRefused naming what is in the way, NotWhole what is missing, SchemaMissing when there
        are no such tables.
        """
        ...


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of ``table`` that went to other tenants: each is the one with these ``cells`` in ``columns``."""

    table: str
    columns: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]


class Swap(msgspec.Struct, frozen=True, kw_only=True):
    """What one restore puts in place.

    ``rows``: per owned table the rows the tenant shall have. ``shared``: shared rows to add if absent.
    ``high``: per ``table.column`` the highest value ever archived, for sequences. ``set_aside``: whether
    present rows that differ are kept aside (in place) or not (scratch). ``taken``: rows that are the
    tenant's though others have them now; they go from there, with all that hangs below them. ``schema``:
    the archived one as of the cut. ``earlier`` and ``later``: how tables changed
    before it, since the last snapshot, and after it. ``declared``: the tables as they
    are in the target, None when they are as ever.
    """

    tenant: str
    rows: Mapping[str, Sequence[RawRow]]
    shared: Mapping[str, Sequence[RawRow]]
    high: Mapping[str, int]
    set_aside: bool
    schema: SchemaRef
    taken: tuple[Taken, ...] = ()
    earlier: tuple[Altered, ...] = ()
    later: tuple[Altered, ...] = ()
    declared: Schema | None = None


class Swapped(msgspec.Struct, frozen=True, kw_only=True):
    """What a swap did. ``short``: why less was brought back than was asked for, if it was."""

    rows: int
    set_aside: tuple[tuple[str, RawRow], ...]
    shared_added: dict[str, int]
    short: str = ""
