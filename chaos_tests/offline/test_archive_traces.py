"""What feed and archive tell of themselves, for the blame of losses: whole, in part, and torn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from harness import schemas
from harness.model.errors import ArchiveBroken
from harness.model.position import Position
from harness.model.stages import ArchiveRead, InSegment, InTopic, Mark, SegmentUnreadable
from harness.model.values import RawRow
from harness.simulate.archive_ports import MemoryKeys, MemoryStore
from harness.subject.reference import format as archive
from harness.subject.reference import segment as layout
from harness.subject.reference.format import (
    FeedMark,
    ManifestEntry,
    Part,
    RowChange,
    SchemaRef,
    SegmentRef,
    encode_entry,
    manifest_key,
)
from harness.subject.reference.ports import (
    Begin,
    End,
    FeedEvent,
    MessageEvent,
    RowEvent,
    SnapshotBegin,
    SnapshotEnd,
    TruncateEvent,
)
from harness.subject.reference.sealing import seal
from harness.subject.reference.signing import Signer, Trust
from harness.subject.reference.traces import ReferenceHoldings, in_topic

SHOP = schemas.load("shop").schema
LINE = "shop.line"


def told(*events: FeedEvent) -> list[InTopic]:
    """What a topic tells by these events, a second apart."""
    timed = [(event, float(number)) for number, event in enumerate(events)]
    return list(in_topic(timed, SHOP, feed="topic", cluster=1))


def row(
    offset: int, xid: int, key: str, op: str = "insert", before: dict[str, str | None] | None = None
) -> RowEvent:
    """A line that was written."""
    after: RawRow | None = None if op == "delete" else {"id": key}
    return RowEvent(offset=offset, xid=xid, order=1, table=LINE, op=op, before=before, after=after)  # type: ignore[arg-type]  # ops


def test_a_transaction_is_told_with_its_offsets_its_end_and_its_rows() -> None:
    """Messages count among events, rows of plumbing leave no mark, a truncated table does."""
    beat = RowEvent(
        offset=3, xid=7, order=2, table="restoreproof.heartbeat", op="update", after={"id": "1"}
    )
    (one,) = told(
        Begin(offset=1, xid=7),
        row(2, 7, "a"),
        beat,
        MessageEvent(offset=4, xid=7, order=3),
        TruncateEvent(offset=5, xid=7, order=4, table=LINE),
        End(offset=6, xid=7, lsn=99, count=4),
    )
    assert (one.first, one.last, one.at_s, one.seen, one.lsn, one.count) == (1, 6, 5.0, 4, 99, 4)
    assert one.marks == (
        Mark(table=LINE, op="insert", key=("a",), row={"id": "a"}),
        Mark(table=LINE, op="truncate"),
    )


def test_a_transaction_that_came_in_part_and_again_is_told_twice() -> None:
    """The piece has no END; the next one begins at its own BEGIN, or at another transaction."""
    found = told(
        Begin(offset=1, xid=7),
        row(2, 7, "a"),
        Begin(offset=3, xid=7),
        row(4, 7, "a"),
        row(5, 8, "b"),
        End(offset=6, xid=8, lsn=99, count=1),
        row(7, 9, "c", "delete", {"id": "c"}),
    )
    assert [(one.xid, one.first, one.last, one.lsn) for one in found] == [
        (7, 1, 2, None),
        (7, 3, 4, None),
        (8, 5, 6, 99),
        (9, 7, 7, None),
    ]
    assert found[3].marks == (Mark(table=LINE, op="delete", key=("c",)),)


def test_a_snapshot_is_told_under_no_transaction() -> None:
    """Its rows are found by their keys."""
    (one,) = told(SnapshotBegin(offset=1), row(1, 0, "a", "snapshot"), SnapshotEnd(offset=2, lsn=5))
    assert (one.xid, one.seen, one.lsn) == (0, 1, None)


class Archive:
    """An archive of a few entries, made by hand."""

    def __init__(self) -> None:
        self.store, self.keys = MemoryStore(), MemoryKeys()
        self.last: bytes | None = None

    async def segment(
        self, seq: int, tenant: str = "acme", *, change: RowChange | None = None
    ) -> SegmentRef:
        """Put a segment with one change of one tenant."""
        key = archive.segment_key(1, seq, "ab")
        whole = change or RowChange(order=1, table=LINE, op="insert", after={"id": "a"})
        part = Part(epoch=1, lsn=10 * seq, xid=seq, changes=(whole,))
        block = seal(
            [part],
            tenant=tenant,
            key=await self.keys.current(tenant),
            segment=key,
            entropy=bytes,
        )
        built = layout.build({tenant: block})
        stored = await self.store.put_once(key, built.body)
        return SegmentRef(
            key=key,
            version=stored.version,
            sha256=archive.digest(built.body),
            size_bytes=len(built.body),
            directory=built.directory,
        )

    async def entry(
        self, seq: int, segment: SegmentRef | None, *, sign: Callable[[bytes], bytes] = bytes
    ) -> None:
        """Chain an entry."""
        plain = encode_entry(
            ManifestEntry(
                seq=seq,
                prev=archive.digest(self.last) if self.last else None,
                start=None,
                end=Position(epoch=1, lsn=10 * seq),
                segment=segment,
                feed=FeedMark(feed="f", next_offset=seq),
                db_schema=SchemaRef(number=1, key="s", version="v", sha256="0"),
                epochs=(),
            )
        )
        self.last = body = sign(plain)
        await self.store.put_once(manifest_key(seq), body)

    async def holdings(self, after: Position | None = None) -> list[object]:
        """What it says that it holds."""
        reader = ReferenceHoldings(schema=SHOP, store=self.store, keys=self.keys)
        return list(await reader.holdings(after))


def test_an_archive_tells_each_tenants_part_of_each_transaction() -> None:
    """With the entry that names the segment; what belongs to nobody is nobody's."""

    async def main() -> None:
        made = Archive()
        moved = RowChange(order=1, table=LINE, op="update", before={"id": "a"}, after={"id": "b"})
        await made.entry(1, await made.segment(1))
        await made.entry(2, None)
        await made.entry(3, await made.segment(3, archive.SHARED, change=moved))
        read, first, third = await made.holdings()
        assert read == ArchiveRead(entries=3, epoch=1, lsn=30)
        assert isinstance(first, InSegment)
        assert isinstance(third, InSegment)
        assert (first.entry, first.tenant, first.lsn, first.xid) == (1, "acme", 10, 1)
        assert (third.entry, third.tenant) == (3, None)
        assert [(mark.op, mark.key) for mark in third.marks] == [("delete", ("a",)), ("update", ("b",))]
        assert await made.holdings(Position(epoch=1, lsn=10)) == [read, third]

    asyncio.run(main())


def test_a_segment_that_no_entry_names_is_told_as_such() -> None:
    """Its archiver died between the two; what else lies there is passed over."""

    async def main() -> None:
        made = Archive()
        await made.entry(1, await made.segment(1))
        await made.segment(2)
        found = await made.holdings()
        assert [one.entry for one in found if isinstance(one, InSegment)] == [1, None]
        for body in (b"", b"RPSEG\0\0\1" + bytes(36), b"junk" * 30):
            await made.store.put_again(archive.segment_key(1, 9, f"{len(body)}"), body)
        assert await made.holdings() == found

    asyncio.run(main())


def test_a_segment_that_is_gone_or_changed_is_told() -> None:
    """Its entry is there, and what it names can't be read."""

    async def main() -> None:
        made = Archive()
        segment = await made.segment(1)
        await made.entry(1, segment)
        made.store.unlocked.add((segment.key, segment.version))
        assert made.store.remove_version(segment.key, segment.version)
        _, gone = await made.holdings()
        assert isinstance(gone, SegmentUnreadable)
        assert (gone.segment, gone.entry) == (segment.key, 1)

    asyncio.run(main())


def test_a_chain_that_is_torn_is_told() -> None:
    """What was read before it stays."""

    async def main() -> None:
        made = Archive()
        await made.entry(1, None)
        await made.entry(3, None)
        (read,) = await made.holdings()
        assert isinstance(read, ArchiveRead)
        assert "man/000000000003" in read.why_not

    asyncio.run(main())


class Forgetful(MemoryStore):
    """Gives each manifest entry once, and then no more."""

    async def get(self, key: str, version: str, *, start: int = 0, size: int | None = None) -> bytes:
        """Read it, and forget it."""
        body = await super().get(key, version, start=start, size=size)
        if key.startswith(archive.MANIFEST_PREFIX):
            self.versions[key] = []
        return body


def test_an_entry_that_goes_while_it_is_read_is_told() -> None:
    """Nothing is raised: a drill must not fail for want of words."""

    async def main() -> None:
        made = Archive()
        made.store = Forgetful()
        await made.entry(1, None)
        (read,) = await made.holdings()
        assert isinstance(read, ArchiveRead)
        assert "man/000000000001" in read.why_not

    asyncio.run(main())


def test_an_entry_that_somebody_else_put_is_told_although_the_chain_goes_on() -> None:
    """The newest entry's signature vouches for the chain; not for who wrote what is in it."""

    async def main() -> None:
        made, signer = Archive(), Signer(Ed25519PrivateKey.generate())
        await made.entry(1, None)
        await made.entry(2, None, sign=signer.sign)
        reader = ReferenceHoldings(
            schema=SHOP, store=made.store, keys=made.keys, trust=Trust(signer.verify_key)
        )
        (read,) = await reader.holdings(None)
        assert isinstance(read, ArchiveRead)
        assert read.why_not == "man/000000000001: it is not signed, and the archiver went on after it"

    asyncio.run(main())


def test_blocks_are_found_without_a_directory() -> None:
    """Their index says itself where it ends."""

    async def main() -> None:
        made = Archive()
        segment = await made.segment(1)
        body = await made.store.get(segment.key, segment.version)
        assert layout.all_places_by_size(body) == layout.all_places(segment.directory, body)
        with pytest.raises(ArchiveBroken):
            layout.all_places_by_size(body[:9] + bytes(40))

    asyncio.run(main())
