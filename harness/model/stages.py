"""The stages of a write on its way into the archive, as the harness saw them: ``stages.jsonl`` of a run.

Read at the end of a drill, and of what is about to be destroyed just then. They say where a lost write was
last seen; no verdict depends on them. Offsets, LSNs and xids are those of the stage itself; ``cluster`` is
the history's ordinal of the cluster that ran when it was read, ``at_s`` seconds since the drill's start.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from harness.model.errors import BadInput
from harness.model.values import Key, Row


class Stage(msgspec.Struct, frozen=True, kw_only=True, tag_field="stage", omit_defaults=True):
    """Base of all lines."""


class Mark(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One row's change as a stage holds it: ``row`` is the image after it, None for a delete."""

    table: str
    op: Literal["insert", "update", "delete", "snapshot", "truncate"]
    key: Key = ()
    row: Row | None = None


class WalSeen(Stage, frozen=True, kw_only=True, tag="wal"):
    """How far the WAL was flushed: on the primary, and on its standby (None: there was none).

    ``forks``: by timeline where it ended, since a standby that was promoted went on from there.
    ``why_not``: why none of it could be read.
    """

    cluster: int
    primary_lsn: int = 0
    standby_lsn: int | None = None
    forks: dict[int, int] = {}
    why_not: str = ""


class TopicRead(Stage, frozen=True, kw_only=True, tag="topic"):
    """One reading of a topic, from offset ``first`` up to (not with) ``end``.

    ``oldest``: the first offset that the broker still had. ``followed``: it was read as it came, until it
    was destroyed. ``why_not``: why it was not read, or not to its end.
    """

    feed: str
    cluster: int
    first: int = 0
    oldest: int = 0
    end: int = 0
    followed: bool = False
    why_not: str = ""


class InTopic(Stage, frozen=True, kw_only=True, tag="in topic"):
    """One transaction in a topic; ``xid`` 0: rows of a snapshot.

    ``first``, ``last``: its offsets; ``seen``: how many events came. ``lsn`` and ``count`` are its END's,
    None where no END came. ``at_s``: when the broker got its last record. What came twice is there twice.
    """

    feed: str
    cluster: int
    xid: int
    first: int
    last: int
    at_s: float
    seen: int
    lsn: int | None = None
    count: int | None = None
    marks: tuple[Mark, ...] = ()


class ArchiveRead(Stage, frozen=True, kw_only=True, tag="archive"):
    """One reading of the archive: how many manifest entries it has, and where (``epoch``, ``lsn``) it ends.

    ``why_not``: why it can't be read.
    """

    entries: int = 0
    epoch: int = 0
    lsn: int = 0
    why_not: str = ""


class SegmentUnreadable(Stage, frozen=True, kw_only=True, tag="unreadable"):
    """A segment that entry ``entry`` of the manifest names, and that can't be read."""

    segment: str
    entry: int
    why: str


class InSegment(Stage, frozen=True, kw_only=True, tag="in segment"):
    """One tenant's part of one transaction in a segment; ``xid`` 0: rows of a snapshot.

    ``tenant`` None: of no tenant. ``entry``: the manifest entry that names the segment, None if none does.
    """

    segment: str
    version: str
    entry: int | None
    tenant: str | None
    epoch: int
    lsn: int
    xid: int
    marks: tuple[Mark, ...] = ()


AnyStage = WalSeen | TopicRead | InTopic | ArchiveRead | SegmentUnreadable | InSegment

_decoder = msgspec.json.Decoder(AnyStage)
_encoder = msgspec.json.Encoder()


def encode_stage(stage: AnyStage) -> bytes:
    """Return the stage as one line of JSON, newline included."""
    return _encoder.encode(stage) + b"\n"


def decode_stages(lines: Iterable[bytes], *, source: str = "stages.jsonl") -> Iterator[AnyStage]:
    """Read stages, skipping blank lines; raises BadInput with the line's number."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield _decoder.decode(line)
            except msgspec.DecodeError as error:
                raise BadInput(
                    f"{source}, line {number}: {error}",
                    cure="the run folder was damaged; run again",
                ) from None
