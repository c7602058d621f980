"""Fencing: one archiver writes to an archive at a time, and an archiver that was overtaken stops by itself.

Every entry carries a fence: a token, the writer's name, and a word for the process. A process takes the
next token when it starts. Entries are written once under consecutive names, so of two archivers only one
can write the next entry, and the other one learns from that entry's fence what to do (FM-84):

    a higher token                it was overtaken: it stops, with the reason
    one that is not higher        a predecessor's last entry came late: it reads on from there
    no entry of this archive      somebody planted an object: its entry becomes a version after that one

Of several versions under one name the oldest that is signed is the entry, so that a planted object neither
stops an archiver nor lets two of them write one entry.

A restart under the same name just goes on; of two that run at once the one that claimed last remains. An
archiver of another name must be told to take over; then it first writes an entry that says so, and nothing
else.
"""

from __future__ import annotations

import msgspec

from harness.model.errors import ArchiveBroken, ArchiverStopped, SubjectFailed
from harness.subject.reference.format import Fence, ManifestEntry, digest
from harness.subject.reference.manifest import Link, Manifest

WRITER = "archiver"
"""The name of an archiver that was given none."""


class Predecessor(SubjectFailed):
    """An entry of a predecessor came between; the archive must be read anew, and then it goes on."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who archives. ``take_over``: whether from a writer of another name."""

    writer: str = WRITER
    take_over: bool = False


def claim(identity: Identity, last: Link | None, run: str) -> Fence:
    """Return the fence under which a process may write after ``last``; raises ArchiverStopped.

    ``run`` tells one process from another.
    """
    before = last.entry.fence if last else None
    if before is not None and before.writer != identity.writer and not identity.take_over:
        raise ArchiverStopped(
            f"this archive is written by archiver {before.writer!r} (token {before.token}), and this one is"
            f" {identity.writer!r}",
            cure="if that one shall stop and this one go on: archive run --take-over",
        )
    step = 2 if identity.take_over else 1  # above what a process has claimed and not written yet
    return Fence(token=(before.token if before else 0) + step, writer=identity.writer, run=run)


def takeover_entry(last: Link, fence: Fence) -> ManifestEntry:
    """Return the entry by which ``fence`` takes over: nothing new is archived by it."""
    return msgspec.structs.replace(
        last.entry,
        seq=last.entry.seq + 1,
        prev=last.sha256,
        start=last.entry.end,
        segment=None,
        globals=(),
        fence=fence,
        signature=None,
    )


def is_takeover(entry: ManifestEntry) -> bool:
    """Whether an entry archives nothing, and only says who writes from here on."""
    return entry.start == entry.end and entry.segment is None and not entry.globals


def explain(
    manifest: Manifest, fence: Fence, seq: int, body: bytes, broken: ArchiveBroken
) -> SubjectFailed:
    """Say why entry ``seq`` could not be written: the object store said ``broken``.

    ``manifest``: read since.
    """
    there = next((link for link in manifest.links if link.entry.seq == seq), None)
    found = there.entry.fence if there else None
    if there is None or there.sha256 == digest(body) or found is None:
        return broken
    who = f"archiver {found.writer!r} (token {found.token}, run {found.run})"
    if found.token <= fence.token:
        return Predecessor(f"{who} has written entry {seq}")
    return ArchiverStopped(
        f"{who} took over: entry {seq} is its own, and this one (token {fence.token}, run {fence.run})"
        " stops",
        cure="let one archiver run for each archive; what this one had not archived, the other one does",
    )
