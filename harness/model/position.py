"""Positions in commit order, and transaction ids, both qualified by an epoch.

LSNs and xids repeat on a new timeline or cluster (FM-25), so neither means anything alone. An *epoch*
is the archive's own ordinal for one (system identifier, timeline); commit order is by epoch first.
"""

from __future__ import annotations

import msgspec

from harness.model.errors import BadInput


class Position(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A point in commit order: ``epoch`` (ordinal from 1), then ``lsn`` (bytes of WAL, 64 bits)."""

    epoch: int
    lsn: int

    def __str__(self) -> str:
        return f"{self.epoch}:{format_lsn(self.lsn)}"


class Xid(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A transaction id and the epoch in which it was given, written ``EPOCH:XID``."""

    epoch: int
    xid: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.xid}"


def format_lsn(lsn: int) -> str:
    """Write a 64-bit LSN the way Postgres does, ``16/B374D848``."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def parse_lsn(text: str) -> int:
    """Read an LSN written by Postgres; raises BadInput on any other text."""
    high, slash, low = text.partition("/")
    try:
        if not slash:
            raise ValueError(text)
        return (int(high, 16) << 32) | int(low, 16)
    except ValueError:
        raise BadInput(f"{text!r} is not an LSN", cure="write it like 16/B374D848") from None


def parse_position(text: str) -> Position:
    """Read ``EPOCH:LSN``; raises BadInput."""
    epoch, _, lsn = text.partition(":")
    if not epoch.isdigit():
        raise BadInput(f"{text!r} is not EPOCH:LSN", cure="write it like 1:16/B374D848")
    return Position(epoch=int(epoch), lsn=parse_lsn(lsn))


def parse_xid(text: str) -> Xid:
    """Read ``EPOCH:XID``; raises BadInput."""
    epoch, _, xid = text.partition(":")
    if not (epoch.isdigit() and xid.isdigit()):
        raise BadInput(f"{text!r} is not EPOCH:XID", cure="write it like 1:7431")
    return Xid(epoch=int(epoch), xid=int(xid))
