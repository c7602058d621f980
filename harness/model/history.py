"""The history: what was seen, entry by entry, on the harness's own monotonic clock.

``at_s`` is seconds since the drill's start. A *cluster* is the harness's own ordinal for one (system id,
timeline) it has seen, from 1; ``ClusterSeen`` says which epoch the archive gave it. LSNs of entries
belong to the cluster current at that line. Entries are written in the order in which they were
recorded; a transaction's ``Sent`` always comes before its ``Done``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from harness.model.errors import BadInput
from harness.model.position import Xid
from harness.model.values import NO_IMAGE, Image, Key, Row, RowKey, table_of

Outcome = Literal["acked", "refused", "unknown"]
Actor = Literal["load", "writer", "probe", "script", "shared"]
Place = Literal["live", "scratch"]


class Entry(msgspec.Struct, frozen=True, kw_only=True, tag_field="entry", gc=False):
    """Base of all entries; ``at_s`` is when it was seen."""

    at_s: float


class Started(Entry, frozen=True, kw_only=True, tag="started"):
    """First line: the wall clock at the drill's start (seconds since 1970), for people only."""

    wall_s: float
    flush_interval_s: float
    listing_interval_s: float


class PhaseBegan(Entry, frozen=True, kw_only=True, tag="phase"):
    """The drill went on to ``phase``: load, switch over, write, script, destroy, rebuild, fail over,
    restore, again, read, end.
    """

    phase: str


class ClusterSeen(Entry, frozen=True, kw_only=True, tag="cluster"):
    """From here on transactions happen on this cluster; ``epoch`` is the archive's ordinal for it.

    Written again with the epoch once the archive knows it (``epoch`` 0: not yet known).
    """

    cluster: int
    system_id: str
    timeline: int
    epoch: int = 0


class Change(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One row's change: its ``key``, and its ``row`` afterwards, which a deleted one has not.

    ``was``: the key before, where an update changed it.
    """

    op: Literal["insert", "update", "delete"]
    key: RowKey
    was: RowKey | None = None
    row: Image = NO_IMAGE

    @property
    def table(self) -> str:
        """The name of the row's table."""
        return table_of(self.key)


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """What a script transaction had done when it was read inside it, before COMMIT.

    ``left``: per tenant and owned table the keys still there. ``deleted``/``updated``: per table the
    counts of pg_stat_xact_user_tables, partitions summed into their root.
    """

    left: dict[str, dict[str, tuple[Key, ...]]]
    deleted: dict[str, int]
    updated: dict[str, int]


class Sent(Entry, frozen=True, kw_only=True, tag="sent", omit_defaults=True):
    """COMMIT is about to be sent: everything known of the transaction by then.

    ``begun_s`` when it began; ``lsn_lower`` a WAL position before the COMMIT; ``name`` the plan's name
    for it. For a script, ``changes`` holds the marked rows' new images and ``sight`` the rest.
    """

    name: str
    actor: Actor
    tenant: str | None
    cluster: int
    xid: int
    begun_s: float
    lsn_lower: int
    changes: tuple[Change, ...]
    sight: Sight | None = None


class Done(Entry, frozen=True, kw_only=True, tag="done", omit_defaults=True):
    """The outcome of a transaction; ``lsn_upper`` a WAL position after an ack, else None.

    ``refused``, also by a rollback on purpose, may have no ``Sent``. A script's is sent again, under its
    name; so is a serializable one that ``conflicted`` with another. ``detail``: the error's text;
    ``begun_s``: if known. ``lost``: the connection ended, or had long before, and COMMIT was not sent.
    """

    name: str
    actor: Actor
    tenant: str | None
    outcome: Outcome
    lsn_upper: int | None = None
    detail: str = ""
    begun_s: float | None = None
    lost: bool = False
    conflicted: bool = False


class Settled(Entry, frozen=True, kw_only=True, tag="settled"):
    """A witness settled an unknown outcome; ``witness`` says which and how."""

    name: str
    outcome: Literal["acked", "refused"]
    witness: str


class NotSent(Entry, frozen=True, kw_only=True, tag="not_sent"):
    """A script's transaction that its operator did not send any more, and why."""

    name: str
    reason: str


class WriterSkipped(Entry, frozen=True, kw_only=True, tag="skipped"):
    """A planned transaction that could not be tried (a row it names was never made), and why."""

    name: str
    tenant: str
    reason: str


class WriterEnded(Entry, frozen=True, kw_only=True, tag="writer_ended"):
    """A writer has no more transactions (``ran_dry``) or was stopped."""

    tenant: str
    writer: int
    ran_dry: bool


class FaultBegan(Entry, frozen=True, kw_only=True, tag="fault_began"):
    """Fault number ``fault`` of the plan was injected; ``proof`` shows that it bit.

    ``struck_s``: when the injection began, which may take a while to be seen.
    """

    fault: int
    proof: str
    bit: bool
    struck_s: float | None = None


class FaultHealed(Entry, frozen=True, kw_only=True, tag="fault_healed"):
    """Fault number ``fault`` was healed; ``proof`` shows that it is."""

    fault: int
    proof: str


class Destroyed(Entry, frozen=True, kw_only=True, tag="destroyed"):
    """What does not survive was killed at this instant: with ``standby`` the primary alone, else all
    but the archive.
    """

    survivors: str
    services: tuple[str, ...]


class SwitchedOver(Entry, frozen=True, kw_only=True, tag="switched_over"):
    """Switchover ``number`` of the plan (from 1) is over: the old primary follows, capture goes on.

    ``proof`` says what showed it; ``archived``: the archive knows the new timeline.
    """

    number: int
    proof: str
    archived: bool


class ObjectSeen(Entry, frozen=True, kw_only=True, tag="object"):
    """The harness's own listing saw this object version for the first time."""

    key: str
    version: str


class Attacked(Entry, frozen=True, kw_only=True, tag="attacked"):
    """One act of attack number ``attack`` of the plan, and what the object server made of it.

    ``answer``: its words, or what there is now. ``key`` and ``version`` are empty where it is about the
    bucket.
    """

    attack: int
    act: str
    key: str = ""
    version: str = ""
    refused: bool
    answer: str


class Lock(msgspec.Struct, frozen=True, kw_only=True):
    """How an object version is locked, by a HEAD of it: ``mode`` is empty where there is no lock.

    ``there`` False: there is no such version any more. ``left_s``: for so much longer.
    """

    key: str
    version: str
    there: bool = True
    mode: str = ""
    left_s: float = 0.0


class LocksSeen(Entry, frozen=True, kw_only=True, tag="locks"):
    """The locks of the object versions that restores of this drill need."""

    locks: tuple[Lock, ...]


class BucketCopied(Entry, frozen=True, kw_only=True, tag="bucket_copied"):
    """The object server's data was copied for watermark check ``copy`` (from 0) of the plan.

    (``epoch``, ``lsn``): the watermark that had been reported before. ``at_s``: when the copy was whole.
    """

    copy: int
    epoch: int
    lsn: int


class CopiesRefused(Entry, frozen=True, kw_only=True, tag="copies_refused"):
    """The plan asks for copies of the bucket, and this world can't make any: ``reason`` says why."""

    reason: str


class CopyRestored(Entry, frozen=True, kw_only=True, tag="copy_restored"):
    """A tenant was restored from a copy; the rows that were read are in ``file``, if it is restored."""

    copy: int
    tenant: str
    result: Literal["restored", "refused", "failed"]
    detail: str = ""
    file: str = ""


class WitnessBegan(Entry, frozen=True, kw_only=True, tag="witness_began"):
    """The second witness keeps everything from here on; ``words`` say what it is and where it begins."""

    words: str


class WitnessRefused(Entry, frozen=True, kw_only=True, tag="witness_refused"):
    """The plan asks for a second witness, and this world has none: ``reason`` says why."""

    reason: str


class Witnessed(Entry, frozen=True, kw_only=True, tag="witnessed"):
    """What the second witness had of a tenant at the cut of ``restore``; the rows are in ``file``.

    ``file`` is empty where it was not read, with the reason in ``detail``; ``restore`` 0 where the tenant
    had none that it could be held against.
    """

    tenant: str
    restore: int = 0
    rows: int = 0
    file: str = ""
    detail: str = ""


class WatermarkSeen(Entry, frozen=True, kw_only=True, tag="watermark"):
    """The subject reported its watermark; ``exposure_s`` is its own claim, None when it makes none."""

    epoch: int
    lsn: int
    exposure_s: float | None = None
    state: str = "ok"


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """A restore up to (epoch, lsn) needs these object versions and those of all earlier needs."""

    epoch: int
    lsn: int
    objects: tuple[tuple[str, str], ...]


class NeedsNamed(Entry, frozen=True, kw_only=True, tag="needs"):
    """The subject named what restores need, in order of position."""

    needs: tuple[Need, ...]


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """Where a tenant is restored to: just before transaction ``xid`` of ``epoch``.

    ``xid`` 0: the end of the archive. ``lsn_lower``/``lsn_upper`` bound the damaging commit; 0 when
    there is no such bound. If the archive lacks the xid, the cut is the lower bound.

    ``without``: transactions that gave the tenant rows of others which are not its own, whatever the cut:
    the state is the one without those rows.
    """

    epoch: int = 0
    xid: int = 0
    lsn_lower: int = 0
    lsn_upper: int = 0
    without: tuple[Xid, ...] = ()


class RestoreBegan(Entry, frozen=True, kw_only=True, tag="restore_began"):
    """A restore was asked of the subject. ``restore`` is its ordinal in the drill, from 1.

    ``round`` 1 for the first of a tenant, 2 for one of those that were damaged again.
    """

    restore: int
    round: int
    tenant: str
    cut: Cut
    place: Place
    cluster: int


class SetAside(msgspec.Struct, frozen=True, kw_only=True):
    """A row that the restore moved out of the way, value for value."""

    table: str
    row: Row


class RestoreDone(Entry, frozen=True, kw_only=True, tag="restore_done"):
    """The subject's answer; ``refused`` carries its reason in ``detail``.

    ``bytes_read`` is what the object server sent, counted outside the subject.
    """

    restore: int
    tenant: str
    result: Literal["restored", "refused", "failed"]
    detail: str = ""
    rows: int = 0
    set_aside: tuple[SetAside, ...] = ()
    bytes_read: int = 0


class CatalogueSeen(Entry, frozen=True, kw_only=True, tag="catalogue"):
    """Digest of the catalogue of ``place``; ``when`` says before or after what."""

    place: Place
    cluster: int
    when: str
    digest: str


class ReadBack(Entry, frozen=True, kw_only=True, tag="read_back"):
    """Rows of a tenant were read in one snapshot and stored in ``file`` of the run folder.

    ``restore``: the restore they belong to, 0 for the final reading of live rows. ``size_bytes``: of their
    texts, in full.
    """

    restore: int
    tenant: str
    file: str
    rows: int
    size_bytes: int = 0


class SequencesSeen(Entry, frozen=True, kw_only=True, tag="sequences"):
    """Next values of all sequences behind owned tables: ``table.column`` to next value."""

    place: Place
    when: str
    next_values: dict[str, int]


class Stalled(Entry, frozen=True, kw_only=True, tag="stalled"):
    """The harness's own probe was late by this much: the machine stood still."""

    late_s: float


class Note(Entry, frozen=True, kw_only=True, tag="note"):
    """Something worth reading later that no check depends on."""

    text: str


class Ended(Entry, frozen=True, kw_only=True, tag="ended"):
    """Last line; ``complete`` False when the harness could not go on, with the reason."""

    complete: bool
    reason: str = ""


AnyEntry = (
    Started
    | PhaseBegan
    | ClusterSeen
    | Sent
    | Done
    | Settled
    | NotSent
    | WriterSkipped
    | WriterEnded
    | FaultBegan
    | FaultHealed
    | Destroyed
    | SwitchedOver
    | ObjectSeen
    | Attacked
    | LocksSeen
    | BucketCopied
    | CopiesRefused
    | CopyRestored
    | WitnessBegan
    | WitnessRefused
    | Witnessed
    | WatermarkSeen
    | NeedsNamed
    | RestoreBegan
    | RestoreDone
    | CatalogueSeen
    | ReadBack
    | SequencesSeen
    | Stalled
    | Note
    | Ended
)

_decoder = msgspec.json.Decoder(AnyEntry)
_encoder = msgspec.json.Encoder()


class StoredRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One line of ``restored/<tenant>.jsonl``: a row read after restore ``restore`` (0: final reading)."""

    restore: int
    key: RowKey
    row: Image

    @property
    def table(self) -> str:
        """The name of the row's table."""
        return table_of(self.key)


def encode_line(entry: Entry | StoredRow) -> bytes:
    """Return the entry as one line of JSON, newline included."""
    return _encoder.encode(entry) + b"\n"


def decode_lines(
    lines: Iterable[bytes], *, source: str = "history.jsonl", first: int = 1
) -> Iterator[AnyEntry]:
    """Read entries, skipping blank lines; raises BadInput with the line's number, from ``first`` on."""
    for number, line in enumerate(lines, first):
        if line.strip():
            try:
                yield _decoder.decode(line)
            except msgspec.DecodeError as error:
                raise BadInput(
                    f"{source}, line {number}: {error}",
                    cure="the run folder was damaged, or another version wrote it; run again",
                ) from None
