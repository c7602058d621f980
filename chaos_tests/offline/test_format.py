"""The archive's format: what is written once must be readable for ever, and by nobody else."""

from __future__ import annotations

import base64
import hashlib

import msgspec
import pytest

from fixtures.archive import seeded_entropy
from harness.model.errors import ArchiveBroken
from harness.model.position import Position
from harness.simulate.archive_ports import MemoryStore
from harness.simulate.loop import run
from harness.subject.reference import format as archive
from harness.subject.reference import segment as layout
from harness.subject.reference.format import (
    Beat,
    Epoch,
    FeedMark,
    Global,
    ManifestEntry,
    Part,
    RowChange,
    SchemaRef,
    SegmentRef,
)
from harness.subject.reference.manifest import Manifest
from harness.subject.reference.ports import TenantKey
from harness.subject.reference.sealing import header_of, seal, tenant_tag, unseal

KEY = TenantKey(id="0f" * 16, tenant="acme", secret=bytes(range(32)))
OTHER = TenantKey(id="0f" * 16, tenant="acme", secret=bytes(32))
SEGMENT = "seg/00000001/000000000007-0011223344556677"
PARTS = (
    Part(
        epoch=1,
        lsn=4711,
        xid=733,
        committed_ms=1_760_000_000_123,
        changes=(
            RowChange(order=1, table="app.note", op="insert", after={"id": "1", "body": None}),
            RowChange(order=2, table="app.note", op="delete", before={"id": "2", "body": ""}),
        ),
    ),
)
ENTRY_BYTES_MAX = 3_000


def _seal(tenant: str = "acme", key: TenantKey = KEY) -> bytes:
    return seal(PARTS, tenant=tenant, key=key, segment=SEGMENT, entropy=seeded_entropy())


def _entry(seq: int = 1, prev: str | None = None, directory: str = "") -> ManifestEntry:
    segment = SegmentRef(
        key=SEGMENT, version="v" * 36, sha256="0" * 64, size_bytes=123_456, directory=directory
    )
    return ManifestEntry(
        seq=seq,
        prev=prev,
        start=Position(epoch=1, lsn=1 << 40),
        end=Position(epoch=1, lsn=1 << 41),
        segment=segment,
        feed=FeedMark(feed="restoreproof@AAAAAAAAAAAAAAAAAAAAAA", next_offset=1 << 40),
        db_schema=SchemaRef(number=1, key="schema/1.sql", version="v" * 36, sha256="0" * 64),
        epochs=(Epoch(ordinal=1, system_id="7711066068629644130", timeline=1),),
        high={f"helpdesk.a_long_table_name_{n}.id": 1 << 40 for n in range(12)},
        beat=Beat(beat=1 << 20, at="2026-11-22T18:34:41.193159Z"),
    )


def test_names_grow_in_the_order_in_which_objects_are_written() -> None:
    """Listings come in the order of names, so names must come in the order of entries."""
    keys = [archive.manifest_key(n) for n in (1, 9, 10, 99, 100, 10**11)]
    segments = [archive.segment_key(e, n, "ff") for e, n in ((1, 9), (1, 10), (2, 11), (10, 12))]
    assert keys == sorted(keys)
    assert segments == sorted(segments)


def test_a_block_of_format_1_is_still_opened() -> None:
    """These bytes were written by the first version; every later one must read them."""
    golden = base64.b64decode(GOLDEN_BLOCK)
    assert unseal(golden, tag=tenant_tag("acme"), key=KEY, segment=SEGMENT) == PARTS


def test_an_entry_of_format_1_is_still_read() -> None:
    """These bytes were written by the first version; every later one must read them."""
    assert archive.decode_entry(GOLDEN_ENTRY, key="man/1") == _entry()
    assert archive.encode_entry(_entry()) == GOLDEN_ENTRY


def test_an_entry_of_another_format_is_refused_by_name() -> None:
    """A reader must not guess at a format that it does not know."""
    later = GOLDEN_ENTRY.replace(b'"format":1', b'"format":2')
    with pytest.raises(ArchiveBroken, match=r"man/000000000001 .* format 1"):
        archive.decode_entry(later, key="man/000000000001")


def test_the_format_has_its_places_from_the_first_version_on() -> None:
    """Signature, base and subjects' key slots are there, though empty."""
    entry = _entry()
    assert (entry.signature, entry.base) == (None, None)
    assert header_of(_seal()).subjects == ()


def test_a_block_opens_for_its_own_tenant_key_and_place_only() -> None:
    """A block moved to another tenant or segment, or tried with another key, stays shut."""
    block, tag = _seal(), tenant_tag("acme")
    assert unseal(block, tag=tag, key=KEY, segment=SEGMENT) == PARTS
    for changed in ({"tag": tenant_tag("globex")}, {"key": OTHER}, {"segment": SEGMENT + "0"}):
        with pytest.raises(ArchiveBroken):
            unseal(block, **{"tag": tag, "key": KEY, "segment": SEGMENT} | changed)  # type: ignore[arg-type]


def test_no_byte_of_a_block_can_be_changed_unseen() -> None:
    """Header, salt and sealed bytes are all authenticated."""
    block = _seal()
    for place in range(len(block)):
        forged = block[:place] + bytes([block[place] ^ 1]) + block[place + 1 :]
        with pytest.raises(ArchiveBroken):
            unseal(forged, tag=tenant_tag("acme"), key=KEY, segment=SEGMENT)


def test_the_same_changes_never_give_the_same_block_twice() -> None:
    """Each block has a salt, hence a key and nonce, of its own."""
    entropy = seeded_entropy()
    blocks = {
        seal(PARTS, tenant="acme", key=KEY, segment=SEGMENT, entropy=entropy)[-40:] for _ in range(50)
    }
    assert len(blocks) == 50


def test_a_segment_of_format_1_is_laid_out_as_ever() -> None:
    """Magic, indexes, blocks, and the directory beside them, byte by byte."""
    built = layout.build({"acme": b"one", "globex": b"two and more"})
    assert (
        base64.b64encode(built.body).decode(),
        hashlib.sha256(built.directory.encode()).hexdigest(),
    ) == GOLDEN_SEGMENT


@pytest.mark.parametrize("tenants", [1, 12, 240])
def test_each_tenant_finds_its_block_and_no_other(tenants: int) -> None:
    """Directory, bucket index and block lead to exactly the bytes that were put in."""
    blocks = {f"t{n}": f"block of {n}".encode() * (n + 1) for n in range(tenants)}
    built = layout.build(blocks)
    for tenant, block in blocks.items():
        index_at = layout.index_place(built.directory, tenant)
        assert index_at is not None
        block_at = layout.block_place(layout.cut(built.body, index_at), tenant)
        assert block_at is not None
        assert layout.cut(built.body, block_at) == block
    assert len(layout.all_places(built.directory, built.body)) == tenants


def test_a_tenant_without_rows_mostly_costs_no_read() -> None:
    """The directory's filter spares most of the index reads for tenants that are not in a segment."""
    built = layout.build({f"t{n}": b"block" for n in range(64)})
    needless = [n for n in range(1_000) if layout.index_place(built.directory, f"absent{n}")]
    assert len(needless) < 100
    for n in needless:
        at = layout.index_place(built.directory, f"absent{n}")
        assert at is not None
        assert layout.block_place(layout.cut(built.body, at), f"absent{n}") is None


def test_what_is_read_of_a_segment_is_checked_before_it_is_used() -> None:
    """A changed byte in an index or a block is seen by its digest."""
    built = layout.build({"acme": b"block"})
    at = layout.index_place(built.directory, "acme")
    assert at is not None
    forged = bytearray(built.body)
    forged[at.offset] ^= 1
    with pytest.raises(ArchiveBroken, match="not what was written"):
        layout.cut(bytes(forged), at)


def test_an_entry_stays_small_and_of_one_size_whatever_the_number_of_tenants() -> None:
    """Restores read all entries, so nothing in them may grow with the tenants."""
    sizes = {
        len(archive.encode_entry(_entry(directory=layout.build(blocks).directory)))
        for blocks in ({"t0": b"x"}, {f"t{n}": b"x" * n for n in range(2_000)})
    }
    assert len(sizes) == 1
    assert sizes.pop() < ENTRY_BYTES_MAX


def _chain(length: int) -> MemoryStore:
    store, prev = MemoryStore(), None
    for seq in range(1, length + 1):
        body = archive.encode_entry(_entry(seq, prev))
        prev = archive.digest(body)
        store.add_version(archive.manifest_key(seq), body)
    return store


def _read(store: MemoryStore) -> list[int]:
    manifest = Manifest(store)
    run(manifest.catch_up())
    return [link.entry.seq for link in manifest.links]


def test_a_whole_chain_is_read_in_order() -> None:
    """Entry by entry, each naming the one before."""
    assert _read(_chain(5)) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("lost", [1, 3])
def test_an_entry_that_is_gone_is_named(lost: int) -> None:
    """A hole in the chain is never jumped over (FM-93)."""
    store = _chain(5)
    del store.versions[archive.manifest_key(lost)]
    with pytest.raises(ArchiveBroken, match=f"{archive.manifest_key(lost)} is gone"):
        _read(store)


def test_an_entry_that_was_changed_breaks_the_chain() -> None:
    """Each entry holds the hash of the one before."""
    store = _chain(5)
    forged = archive.encode_entry(_entry(3, "0" * 64))
    store.versions[archive.manifest_key(3)] = [("v1", forged)]
    with pytest.raises(ArchiveBroken, match=r"man/000000000003 does not follow"):
        _read(store)


def test_a_later_version_of_an_entry_changes_nothing() -> None:
    """An overwrite only adds a version; the oldest one is read (FM-85)."""
    store = _chain(3)
    store.add_version(archive.manifest_key(2), b"forged")
    assert _read(store) == [1, 2, 3]


def test_global_entries_keep_their_kind_and_place() -> None:
    """A TRUNCATE survives encoding with its transaction and order."""
    found = Global(kind="truncate", epoch=1, lsn=5, xid=7, order=2, table="app.note")
    entry = msgspec.structs.replace(_entry(), globals=(found,))
    assert archive.decode_entry(archive.encode_entry(entry), key="").globals == (found,)


GOLDEN_BLOCK = (
    "AEeUAdkgMGYwZjBmMGYwZjBmMGYwZjBmMGYwZjBmMGYwZjBmMGbEIC8Wn5tOahAkdSIJzVQQ67hJWe7grHPCmgTCO9UkwS+B"
    "kO341J94X3v1jR/k4BQ8OHaMQftLcJnNNL7R4xQ/P7iLACWlbtqdEOCYJFk5Uc+i+i88tP5B0ZvhwKpmrT6TVUPVIknyueTf"
    "kmt3fx/r56tsfi4iznVh7IvrV8sjs9+WhQ8sqPCfjtBN310Te1Rub6Cqz3kS9A6DfZk0JWqBG77o1tR1Y/B04VC9yoKfR8NB"
    "ETIw8s+HBH6Y0JCQp1wILbk="
)
GOLDEN_ENTRY = (
    b'{"format":1,"seq":1,"prev":null,"start":{"epoch":1,"lsn":1099511627776},"end":{"epoch":1,"'
    b'lsn":2199023255552},"segment":{"key":"seg/00000001/000000000007-0011223344556677","version'
    b'":"vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv","sha256":"000000000000000000000000000000000000000'
    b'0000000000000000000000000","size_bytes":123456,"directory":""},"feed":{"feed":"restoreproo'
    b'f@AAAAAAAAAAAAAAAAAAAAAA","next_offset":1099511627776},"schema":{"number":1,"key":"schema/'
    b'1.sql","version":"vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv","sha256":"000000000000000000000000'
    b'0000000000000000000000000000000000000000"},"epochs":[{"ordinal":1,"system_id":"77110660686'
    b'29644130","timeline":1}],"high":{"helpdesk.a_long_table_name_0.id":1099511627776,"helpdesk'
    b'.a_long_table_name_1.id":1099511627776,"helpdesk.a_long_table_name_2.id":1099511627776,"he'
    b'lpdesk.a_long_table_name_3.id":1099511627776,"helpdesk.a_long_table_name_4.id":10995116277'
    b'76,"helpdesk.a_long_table_name_5.id":1099511627776,"helpdesk.a_long_table_name_6.id":10995'
    b'11627776,"helpdesk.a_long_table_name_7.id":1099511627776,"helpdesk.a_long_table_name_8.id"'
    b':1099511627776,"helpdesk.a_long_table_name_9.id":1099511627776,"helpdesk.a_long_table_name'
    b'_10.id":1099511627776,"helpdesk.a_long_table_name_11.id":1099511627776},"beat":{"beat":104'
    b'8576,"at":"2026-11-22T18:34:41.193159Z"}}'
)
GOLDEN_BODY = (
    "UlBTRUcAAAHSvkUroXDgIvpoCQ1Hz48XAAAAUAAAAAz1v0PGn1g3hUxKXEzS55UpuixGsrhJZRFYW17VAAAAXAAAAA"
    "N2ksOtNUC7gDwCCzp0d28gYW5kIG1vcmVvbmU="
)
GOLDEN_SEGMENT = (GOLDEN_BODY, "246e63e0f164553bce09c6749af5b1c1acc7821710c05ef5a3ba3c4265a87380")
