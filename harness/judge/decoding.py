"""Decodes a whole history, some megabytes at a time, and of these one tenant's entries after another's.

Who goes through all entries of a tenant later finds them close together in memory, which takes a fraction
of the time. What sent COMMIT is decoded as the transaction that it is, and what it wrote is worked out, and
an ack joined to it, while it is at hand.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO, Union, get_args

import msgspec

from harness.judge.timeline import Begin, Transaction, begun, join, read_changes
from harness.model.history import AnyEntry, Done, Entry, Sent, decode_lines

BLOCK_BYTES = 1 << 25

_others = tuple(kind for kind in get_args(AnyEntry) if kind is not Sent)
_decode = msgspec.json.Decoder(Union[(Transaction, *_others)]).decode


def decode_all(file: BinaryIO, owned: Begin, *, source: str) -> Iterator[Sequence[Entry | Transaction]]:
    """Read the entries of a file of whole lines, many at a time; raises as ``decode_lines`` does.

    A last line without its end is left out; so is an ack that was joined to its transaction. These come
    first, one tenant's after another's, then all others in order.
    """
    first = 1
    while each := file.readlines(BLOCK_BYTES):
        if not each[-1].endswith(b"\n"):
            del each[-1]
        try:
            yield _tenant_by_tenant(each, owned, first)
        except (msgspec.DecodeError, ValueError):  # a damaged line, or a blank one
            yield list(_one_by_one(decode_lines(each, source=source, first=first), owned, first))
        first += len(each)


def _tenant_by_tenant(each: list[bytes], owned: Begin, first: int) -> list[Entry | Transaction]:
    """Decode lines tenant by tenant; a transaction's order is the number of its line."""
    acked: list[Entry | Transaction] = []
    others: list[Entry | Transaction | None] = [None] * len(each)
    for places in _by_tenant(each):
        sent: dict[str, Transaction] = {}
        for place in places:
            line = each[place]
            entry = others[place] = _decode(line)
            if isinstance(entry, Transaction):
                entry.order = first + place
                read_changes(entry, line, owned)
                sent[entry.name] = entry
            elif isinstance(entry, Done) and (tx := sent.get(entry.name)) is not None and join(tx, entry):
                acked.append(tx)
                others[place] = others[tx.order - first] = None
    return acked + [entry for entry in others if entry is not None]


def _by_tenant(each: list[bytes]) -> Iterable[list[int]]:
    """Return the places of each tenant's lines, most of the time.

    It is about where things lie in memory, and which acks are kept, and nothing else.
    """
    mine: dict[bytes, list[int]] = defaultdict(list)
    for place, line in enumerate(each):
        mine[line.partition(b'"tenant":"')[2].partition(b'"')[0]].append(place)
    return mine.values()


def _one_by_one(entries: Iterable[Entry], owned: Begin, first: int) -> Iterator[Entry | Transaction]:
    """Yield the same entries, transactions for what was sent, with orders as ``_tenant_by_tenant`` does."""
    for order, entry in enumerate(entries, first):
        yield begun(entry, owned, order=order) if isinstance(entry, Sent) else entry
