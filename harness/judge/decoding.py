"""Decodes a whole history, some megabytes at a time, and of these one tenant's entries after another's.

Who goes through all entries of a tenant later finds them close together in memory, which takes a fraction
of the time. What sent COMMIT is decoded as the transaction that it is, and what it wrote is worked out, and
an ack joined to it, while it is at hand.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Union, get_args

import msgspec

from harness.judge.timeline import Begin, Transaction, join, read_changes
from harness.model.history import AnyEntry, Done, Entry, Sent, decode_lines

BLOCK_BYTES = 1 << 25

_others = tuple(kind for kind in get_args(AnyEntry) if kind is not Sent)
_decode = msgspec.json.Decoder(Union[(Transaction, *_others)]).decode
_whose = re.compile(rb'"tenant":"([^"]*)"').search
"""Finds a line's tenant, most of the time: it is about where things lie in memory, and nothing else."""


def decode_all(file: BinaryIO, owned: Begin, *, source: str) -> Iterator[Sequence[Entry | Transaction]]:
    """Read the entries of a file of whole lines, many at a time; raises as ``decode_lines`` does.

    A last line without its end is left out; so is an ack that was joined to its transaction.
    """
    first = 1
    while each := file.readlines(BLOCK_BYTES):
        if not each[-1].endswith(b"\n"):
            del each[-1]
        try:
            yield _tenant_by_tenant(each, owned)
        except (msgspec.DecodeError, ValueError):  # a damaged line, or a blank one
            yield list(decode_lines(each, source=source, first=first))
        first += len(each)


def _tenant_by_tenant(each: list[bytes], owned: Begin) -> list[Entry | Transaction]:
    """Decode lines tenant by tenant, and return the entries in order."""
    mine: dict[bytes | None, list[int]] = defaultdict(list)
    for place, whose in enumerate(map(_whose, each)):
        mine[whose[1] if whose else None].append(place)
    entries: list[Entry | Transaction | None] = [None] * len(each)
    for places in mine.values():
        sent: dict[str, Transaction] = {}
        for place in places:
            line = each[place]
            entry = _decode(line)
            if isinstance(entry, Transaction):
                read_changes(entry, line, owned)
                sent[entry.name] = entry
            elif isinstance(entry, Done) and (tx := sent.get(entry.name)) is not None and join(tx, entry):
                continue
            entries[place] = entry
    return [entry for entry in entries if entry is not None]
