"""What the feed tells of the catalogue: DDL in messages, a digest in each heartbeat; and if they agree.

A digest that no message announced means that the schema was changed unseen: an event trigger was dropped,
disabled, or failed. A heartbeat that was written while a DDL was being committed may still carry the digest
from before it, once; two in a row can't. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from harness.model.errors import ArchiverStopped
from harness.subject.reference.assembler import Transaction
from harness.subject.reference.format import ManifestEntry
from harness.subject.reference.ports import MessageEvent
from harness.subject.reference.repair import RESNAPSHOT
from harness.subject.reference.shapes import Altered


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One message of DDL. ``order``: its place in the transaction; ``tag``: the command.

    ``dropped``: tables, qualified. ``altered``: tables whose columns changed, or that were created.
    ``catalogue``: the digest at the end of the transaction; ``tables``: all that there are then.
    """

    tag: str = ""
    dropped: tuple[str, ...] = ()
    altered: tuple[Altered, ...] = ()
    catalogue: str | None = None
    tables: tuple[str, ...] = ()
    order: int = 0


_decoder = msgspec.json.Decoder(Told)


def told_in(transaction: Transaction) -> list[Told]:
    """Return what a transaction tells of its DDL, in order; raises ArchiverStopped for gibberish."""
    messages = (e for e in transaction.events if isinstance(e, MessageEvent) and e.content)
    return [_read(message) for message in messages]


def alters_in(entries: Iterable[ManifestEntry]) -> list[Altered]:
    """Return the changes of tables that the archive holds since its last snapshot, in order."""
    altered: list[Altered] = []
    for found in (found for entry in entries for found in entry.globals):
        if found.kind == "snapshot":
            altered.clear()
        if found.altered is not None:
            altered.append(found.altered)
    return altered


def altered_in(content: str) -> tuple[Altered, ...]:
    """Return what a message tells of changed tables; none when it can't be read, which others will say."""
    try:
        return _decoder.decode(content).altered
    except (msgspec.DecodeError, ValueError):
        return ()


def _read(message: MessageEvent) -> Told:
    try:
        told = _decoder.decode(message.content)
    except (msgspec.DecodeError, ValueError) as error:
        raise ArchiverStopped(
            f"a message of DDL in transaction {message.xid} can't be read: {error}",
            cure=f"prepare the capture again (capture_sql), then: {RESNAPSHOT}",
        ) from None
    return msgspec.structs.replace(told, order=message.order)


class CatalogueWatch:
    """Follows the digest of the catalogue; ``known`` is the one in force, None while there is none."""

    def __init__(self, known: str | None = None) -> None:
        self.known = known
        self._doubted: str | None = None

    def follow(self, transaction: Transaction) -> None:
        """Take a transaction into account; raises ArchiverStopped when the catalogue changed unseen."""
        if transaction.snapshot:  # whatever it was before, the snapshot saw it as it is
            self.known = self._doubted = None
        for told in told_in(transaction):
            self.known = told.catalogue or self.known
            self._doubted = None
        seen = transaction.catalogue
        if not seen:
            return
        if self.known in (None, seen):
            self.known, self._doubted = seen, None
        elif self._doubted == seen:
            raise ArchiverStopped(
                f"the catalogue changed and nobody said so: heartbeats carry digest {seen[:12]}, the last"
                f" one told of is {(self.known or '')[:12]}; an event trigger is gone, disabled, or failed"
                " (FM-57)",
                cure=f"look what was changed, prepare the capture again (capture_sql); then: {RESNAPSHOT}",
            )
        else:
            self._doubted = seen
