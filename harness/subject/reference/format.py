"""The archive's format: names of objects, and the records in them. It lasts for ever, so it begins whole.

An archive is a bucket with three kinds of objects, each written once:

    man/<seq, 12 digits>                         manifest entry: JSON, chained by hash to the one before
    seg/<epoch, 8>/<seq, 12>-<random>            segment: sealed blocks of changes, grouped by tenant
    schema/<number, 8>-<sha256, 16>.sql          DDL that rebuilds the captured schema

A manifest entry is all that makes a segment part of the archive: it pins the segment's VersionId, size and
SHA-256 (an overwrite or a delete marker only adds versions: FM-85, FM-86). What is in a segment is in
``segment``, how blocks are sealed in ``sealing``, how entries are signed in ``signing``. Places that later
versions fill are here from the first on: ``base`` (a checkpoint, the bases folded so far), subjects' key
slots. A field that is added to an entry has a default, and stands before ``signature``, which is last.
"""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Literal

import msgspec

from harness.model.errors import ArchiveBroken
from harness.model.position import Position
from harness.model.values import RawRow
from harness.subject.reference.shapes import Altered

FORMAT: Literal[1] = 1
MANIFEST_PREFIX = "man/"
SEGMENT_PREFIX = "seg/"
SCHEMA_PREFIX = "schema/"
SHARED = "@shared"
"""The pseudo-tenant under which rows of shared tables are archived."""

_MANIFEST_KEY = re.compile(MANIFEST_PREFIX + r"(?!0{12})\d{12}", re.ASCII)

Seq = Annotated[int, msgspec.Meta(ge=1)]


def manifest_key(seq: int) -> str:
    """Name the manifest entry ``seq``; names grow in the order of entries."""
    return f"{MANIFEST_PREFIX}{seq:012d}"


def is_manifest_key(key: str) -> bool:
    """Whether an entry can have this name; whatever else lies beside them is nobody's entry."""
    return _MANIFEST_KEY.fullmatch(key) is not None


def segment_key(epoch: int, seq: int, token: str) -> str:
    """Name the segment of entry ``seq``; ``token`` keeps a try that was never chained out of the way."""
    return f"{SEGMENT_PREFIX}{epoch:08d}/{seq:012d}-{token}"


def schema_key(number: int, sha256: str) -> str:
    """Name the schema object ``number``."""
    return f"{SCHEMA_PREFIX}{number:08d}-{sha256[:16]}.sql"


def digest(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in hex."""
    return hashlib.sha256(data).hexdigest()


class RowChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One change of one row, as a block holds it. ``order`` is its place in the transaction.

    ``after``: the whole new image (insert, update, snapshot). ``before``: of a delete the whole old image;
    of an update only the cells that changed, since the others stand in ``after``.

    A row that went from one tenant to another is a delete for the one and an insert for the other; in both
    ``moved`` names the other tenant. ``became``, in the delete: the key by which the other one has it.
    """

    order: int
    table: str
    op: Literal["insert", "update", "delete", "snapshot"]
    before: RawRow | None = None
    after: RawRow | None = None
    moved: str | None = None
    became: RawRow | None = None


def old_row(change: RowChange) -> RawRow | None:
    """Return the whole image of the row before the change, None if there was none."""
    if change.op == "update":
        return {**(change.after or {}), **(change.before or {})}
    return change.before


class Rehome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A row went from tenant ``origin`` to tenant ``to``, and all its descendants with it, by no event.

    ``parent``: the cells of the row of ``table`` by which rows of other tables find their tenant. It holds
    from the end of its transaction on, and stands in the parts of both tenants.
    """

    table: str
    parent: RawRow
    origin: str
    to: str


class Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One tenant's part of one transaction (or of one snapshot, whose xid is 0)."""

    epoch: int
    lsn: int
    xid: int
    changes: tuple[RowChange, ...]
    committed_ms: int | None = None
    rehomed: tuple[Rehome, ...] = ()

    @property
    def position(self) -> Position:
        """Where in commit order the transaction stands."""
        return Position(epoch=self.epoch, lsn=self.lsn)


class SchemaRef(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An archived schema, pinned; ``number`` counts its changes from 1.

    ``catalogue``: the database's own digest of its catalogue as that schema shows it.
    """

    number: int
    key: str
    version: str
    sha256: str
    catalogue: str = ""


class Global(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What belongs to no tenant and every restore must know.

    ``truncate``: ``table`` lost all its rows; ``drop``: it went with them. ``snapshot``: everything before
    is void, the rows of the transaction at this position are all there was. ``schema``: the transaction
    changed the schema, whose ``catalogue`` has this digest from here on; ``schema`` is what it was dumped
    as, None when another change came before it could be. ``alter``: the columns of ``table`` changed as
    ``altered`` says.
    """

    kind: Literal["truncate", "drop", "snapshot", "schema", "alter"]
    epoch: int
    lsn: int
    xid: int = 0
    order: int = 0
    table: str = ""
    committed_ms: int | None = None
    catalogue: str = ""
    schema: SchemaRef | None = None
    altered: Altered | None = None

    @property
    def position(self) -> Position:
        """Where in commit order it stands."""
        return Position(epoch=self.epoch, lsn=self.lsn)


class SegmentRef(msgspec.Struct, frozen=True, kw_only=True):
    """A segment, pinned. ``directory``: base64 of the fixed-size bucket directory (see ``segment``)."""

    key: str
    version: str
    sha256: str
    size_bytes: int
    directory: str


class Epoch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The archive's ordinal for one (system id, timeline).

    ``fork_lsn``: where the timeline forked off from the one before, None for a first one.
    """

    ordinal: int
    system_id: str
    timeline: int
    fork_lsn: int | None = None


class FeedMark(msgspec.Struct, frozen=True, kw_only=True):
    """How far in which feed the archive has come: ``next_offset`` is the first one not in it."""

    feed: str
    next_offset: int


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """The last heartbeat row in the archive: its counter, and ``at`` as the database printed it."""

    beat: int
    at: str


class Fence(msgspec.Struct, frozen=True, kw_only=True):
    """Who wrote an entry: ``writer``'s name, and ``run`` for its process; ``token`` never falls."""

    token: int
    writer: str
    run: str


class ManifestEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One link of the chain: everything committed after ``start`` up to ``end`` is in ``segment``.

    ``prev`` is the SHA-256 of the entry before (None in the first). ``high``: per ``table.column`` of an
    identity or serial column the highest value archived so far, of any tenant. ``epochs`` is the whole
    table so far. ``segment`` is None when nothing but infrastructure was written. ``fence``: see there.
    ``schema``: the newest one archived; ``catalogue``: the digest in force at ``end``, empty if unknown.
    ``sure``: up to where a heartbeat or a snapshot has shown that nothing is missing. What is archived
    beyond may follow a gap that the next heartbeat gives away. ``asked``: the number of the newest snapshot
    so far; on the same cluster only one with a larger number was asked for (``repair``).
    """

    format: Literal[1] = FORMAT
    seq: Seq
    prev: str | None
    start: Position | None
    end: Position
    segment: SegmentRef | None
    feed: FeedMark
    db_schema: SchemaRef = msgspec.field(name="schema")
    epochs: tuple[Epoch, ...]
    high: dict[str, int] = {}
    globals: tuple[Global, ...] = ()
    beat: Beat | None = None
    base: str | None = None
    fence: Fence | None = None
    catalogue: str = ""
    sure: Position | None = None
    asked: int = 0
    signature: str | None = None

    @property
    def watermark(self) -> Position:
        """Up to where everything committed is in the archive; its end while no heartbeat has come."""
        return self.sure or self.end

    def __post_init__(self) -> None:
        if self.epochs and self.epochs[-1].ordinal != len(self.epochs):
            raise ValueError(f"epochs are not numbered from 1: {self.epochs}")


def schemas_of(entry: ManifestEntry) -> list[SchemaRef]:
    """Return the schemas that an entry names, its newest first."""
    return [entry.db_schema, *(found.schema for found in entry.globals if found.schema is not None)]


_entry_encoder = msgspec.json.Encoder()
_entry_decoder = msgspec.json.Decoder(ManifestEntry)


def encode_entry(entry: ManifestEntry) -> bytes:
    """Return the bytes of a manifest entry, the format's version always among them."""
    body = _entry_encoder.encode(entry)
    return b'{"format":%d,' % FORMAT + body[1:]


def decode_entry(data: bytes, *, key: str) -> ManifestEntry:
    """Read a manifest entry; raises ArchiveBroken naming ``key``."""
    try:
        return _entry_decoder.decode(data)
    except (msgspec.DecodeError, ValueError) as error:  # ValueError: text that is no UTF-8
        raise ArchiveBroken(
            f"{key} is no manifest entry of format {FORMAT}: {error}",
            cure="read it with the version that wrote it; if it was damaged, restore from a replica",
        ) from None
