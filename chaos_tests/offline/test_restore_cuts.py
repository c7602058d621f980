"""What a restore puts in place, and what it reads for that: cuts, folds, and one tenant's bytes only."""

from __future__ import annotations

import random

import pytest

from fixtures.archive import (
    Bench,
    Change,
    delete,
    insert,
    line_row,
    note_row,
    tenant_row,
    truncate,
    update,
    virtually,
)
from harness.model.errors import ArchiveBroken, RestoreRefused
from harness.model.history import Cut
from harness.model.position import Position
from harness.model.values import RawRow
from harness.simulate.archive_ports import MemoryStore, MemoryTarget
from harness.subject.reference.ports import StoredObject

Rows = dict[str, list[RawRow]]
TENANTS = ("acme", "globex", "hooli")


def test_the_cut_is_just_before_the_transaction() -> None:
    """What that transaction and later ones did is not in the restored state."""

    async def scene(bench: Bench) -> Rows:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        bench.tape.commit(insert("app.note", note_row(1, "acme")))
        damage = bench.tape.commit(delete("app.note", note_row(1, "acme")))
        bench.tape.commit(insert("app.note", note_row(2, "acme")))
        await bench.archive()
        return await bench.rows("acme", Cut(epoch=1, xid=damage))

    assert virtually(scene) == {"app.tenant": [tenant_row("acme")], "app.note": [note_row(1, "acme")]}


def test_the_caller_may_know_64_bits_of_the_transaction_id() -> None:
    """The feed gives 32; the bounds tell two namesakes apart."""

    async def scene(bench: Bench) -> Rows:
        bench.tape.snapshot()
        damage = bench.tape.commit(insert("app.note", note_row(1, "acme")))
        lower = bench.tape.lsn
        bench.tape.xid = damage - 1
        bench.tape.commit(insert("app.note", note_row(2, "acme")))
        await bench.archive()
        return await bench.rows("acme", Cut(epoch=1, xid=(7 << 32) + damage, lsn_lower=lower))

    assert virtually(scene) == {"app.note": [note_row(1, "acme")]}


def test_without_the_transaction_the_cut_is_the_lower_bound() -> None:
    """A damaging transaction that was never archived leaves the bound before it, itself included."""

    async def scene(bench: Bench) -> Rows:
        bench.tape.snapshot()
        bench.tape.commit(insert("app.note", note_row(1, "acme")))
        lower = bench.tape.lsn
        bench.tape.commit(insert("app.note", note_row(2, "acme")))
        await bench.archive()
        return await bench.rows("acme", Cut(epoch=1, xid=999, lsn_lower=lower))

    assert virtually(scene) == {"app.note": [note_row(1, "acme")]}


def test_without_a_cut_everything_archived_comes_back() -> None:
    """An undamaged tenant is restored to the archive's end."""

    async def scene(bench: Bench) -> Rows:
        bench.tape.snapshot()
        for number in (1, 2):
            bench.tape.commit(insert("app.note", note_row(number, "acme")))
        await bench.archive()
        return await bench.rows("acme")

    assert virtually(scene) == {"app.note": [note_row(1, "acme"), note_row(2, "acme")]}


def test_a_cut_in_the_first_epoch_knows_nothing_of_the_second() -> None:
    """Positions are compared by epoch first, whatever the LSNs (FM-25)."""

    async def scene(bench: Bench) -> list[Rows]:
        bench.tape.snapshot()
        bench.tape.commit(insert("app.note", note_row(1, "acme")))
        lower = bench.tape.lsn
        bench.tape.lsn = 0
        bench.tape.snapshot(("app.note", note_row(2, "acme")), system_id="fresh")
        await bench.archive()
        return [await bench.rows("acme", Cut(epoch=1, lsn_lower=lower)), await bench.rows("acme")]

    old, new = virtually(scene)
    assert old == {"app.note": [note_row(1, "acme")]}
    assert new == {"app.note": [note_row(2, "acme")]}


def test_a_changed_key_is_the_same_row() -> None:
    """The row under its old key is gone (FM-45)."""

    async def scene(bench: Bench) -> Rows:
        bench.tape.snapshot()
        bench.tape.commit(insert("app.note", note_row(1, "acme")))
        bench.tape.commit(update("app.note", note_row(1, "acme"), note_row(5, "acme")))
        await bench.archive()
        return await bench.rows("acme")

    assert virtually(scene) == {"app.note": [note_row(5, "acme")]}


def test_two_rows_can_exchange_their_keys_in_one_transaction() -> None:
    """Changes are applied in their order."""

    async def scene(bench: Bench) -> Rows:
        one, two = note_row(1, "acme", "one"), note_row(2, "acme", "two")
        bench.tape.snapshot()
        bench.tape.commit(insert("app.note", one), insert("app.note", two))
        bench.tape.commit(
            update("app.note", one, {**one, "id": "3"}),
            update("app.note", two, {**two, "id": "1"}),
            update("app.note", {**one, "id": "3"}, {**one, "id": "2"}),
        )
        await bench.archive()
        return await bench.rows("acme")

    assert {(r["id"], r["body"]) for r in virtually(scene)["app.note"]} == {("2", "one"), ("1", "two")}


def test_a_truncate_empties_a_table_for_every_tenant() -> None:
    """It is in no tenant's block, and still in every restore (FM-44)."""

    async def scene(bench: Bench) -> list[Rows]:
        bench.tape.snapshot()
        bench.tape.commit(
            insert("app.note", note_row(1, "acme")), insert("app.note", note_row(2, "globex"))
        )
        gone = bench.tape.commit(truncate("app.line"), truncate("app.note"))
        bench.tape.commit(insert("app.note", note_row(3, "acme")))
        await bench.archive()
        return [
            await bench.rows("acme"),
            await bench.rows("globex"),
            await bench.rows("globex", Cut(epoch=1, xid=gone)),
        ]

    acme, globex, before = virtually(scene)
    assert acme == {"app.note": [note_row(3, "acme")]}
    assert globex == {}
    assert before == {"app.note": [note_row(2, "globex")]}


def test_a_later_snapshot_stands_for_all_there_is() -> None:
    """Rows that went unseen before it do not come back (FM-53)."""

    async def scene(bench: Bench) -> Rows:
        bench.tape.snapshot(("app.note", note_row(1, "acme")), ("app.note", note_row(2, "acme")))
        await bench.archive()
        bench.tape.snapshot(("app.note", note_row(2, "acme")))
        bench.tape.heartbeat()
        await bench.archive()
        return await bench.rows("acme")

    assert virtually(scene) == {"app.note": [note_row(2, "acme")]}


def test_a_cut_where_capture_was_away_is_refused() -> None:
    """Between the last position before it and the new snapshot nothing is known, and nothing is sure until
    a heartbeat has come that is newer than its rows (FM-82).
    """

    async def scene(bench: Bench) -> None:
        bench.tape.snapshot()
        await bench.archive()
        hole = bench.tape.lsn + 5
        taken = bench.tape.snapshot()
        bench.tape.commit(insert("app.note", note_row(1, "acme")))
        unsure = bench.tape.lsn
        bench.tape.heartbeat()
        await bench.archive()
        for lsn in (hole, taken, unsure):
            with pytest.raises(RestoreRefused, match="capture was interrupted"):
                await bench.rows("acme", Cut(epoch=1, lsn_lower=lsn))
        assert await bench.rows("acme", Cut(epoch=1, lsn_lower=bench.tape.lsn))

    virtually(scene)


def test_a_cut_behind_a_gap_that_was_noticed_late_is_refused() -> None:
    """What followed the gap was archived before its heartbeat came: only the watermark was sure (FM-50)."""

    async def scene(bench: Bench) -> None:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        bench.tape.heartbeat()
        sure = bench.tape.lsn
        bench.tape.commit(insert("app.note", note_row(2, "acme", "behind the gap")))
        behind = bench.tape.lsn
        await bench.archive()
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        bench.tape.heartbeat()
        await bench.archive()
        with pytest.raises(RestoreRefused, match=f"interrupted from {Position(epoch=1, lsn=sure)} to"):
            await bench.rows("acme", Cut(epoch=1, lsn_lower=behind, lsn_upper=behind))
        assert await bench.rows("acme", Cut(epoch=1, lsn_lower=sure, lsn_upper=sure))

    virtually(scene)


def test_an_unknown_epoch_and_an_empty_archive_are_refused() -> None:
    """With what is known instead."""

    async def scene(bench: Bench) -> None:
        with pytest.raises(RestoreRefused, match="empty"):
            await bench.rows("acme")
        bench.tape.snapshot()
        await bench.archive()
        with pytest.raises(RestoreRefused, match="no epoch 7"):
            await bench.rows("acme", Cut(epoch=7, lsn_lower=1))

    virtually(scene)


def test_a_tenant_of_which_nothing_is_archived_is_refused() -> None:
    """A mistyped id must not empty anybody's tables."""

    async def scene(bench: Bench) -> MemoryTarget:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        await bench.archive()
        target = MemoryTarget()
        with pytest.raises(RestoreRefused, match="nothing of tenant amce"):
            await bench.restorer().restore("amce", Cut(), target, in_place=True)
        return target

    assert virtually(scene).swaps == []


@pytest.mark.parametrize("seed", range(30))
def test_any_history_cut_anywhere_folds_to_what_was_there(seed: int) -> None:
    """Random transactions over three tenants, flushed at random: each restore equals a plain replay."""

    async def scene(bench: Bench) -> None:
        rng = random.Random(seed)
        bench.tape.snapshot(*(("app.note", note_row(n, t)) for n, t in enumerate(TENANTS)))
        state: dict[str, RawRow] = {}
        before: dict[int, list[RawRow]] = {}
        for _ in range(40):
            was = list(state.values())
            changes = [_random_change(rng, state) for _ in range(rng.randint(1, 4))]
            before[bench.tape.commit(*changes)] = was
            if rng.random() < 0.3:
                await bench.archive()
        await bench.archive()
        for xid, rows in before.items():
            tenant = rng.choice(TENANTS)
            if await _has(bench, tenant, xid):
                got = (await bench.rows(tenant, Cut(epoch=1, xid=xid))).get("app.line", [])
                assert _ids(got) == _ids([row for row in rows if row["note"] == str(TENANTS.index(tenant))])

    virtually(scene)


def _random_change(rng: random.Random, state: dict[str, RawRow]) -> Change:
    """Change a random line, which may go to another tenant's note; keep ``state`` in step."""
    number = rng.randint(1, 12)
    old = state.pop(str(number), None)
    if old is not None and rng.random() < 0.3:
        return delete("app.line", old)
    new = line_row(number, rng.randrange(len(TENANTS)), rng.choice(["", "a", "bb"]))
    state[str(number)] = new
    return insert("app.line", new) if old is None else update("app.line", old, new)


async def _has(bench: Bench, tenant: str, xid: int) -> bool:
    """Whether the archive holds something of the tenant in that transaction."""
    restorer = bench.restorer()
    await restorer.manifest.catch_up()
    return any(p.xid == xid for p in await restorer.reader.parts(tenant, restorer.manifest.links))


def _ids(rows: list[RawRow]) -> list[tuple[str | None, ...]]:
    return sorted((tuple(row.values()) for row in rows), key=str)


async def _fill(bench: Bench, tenants: int, *, segments: int = 20, size: int = 10_000) -> None:
    """Archive about segments * size incompressible bytes of each tenant."""
    rng = random.Random(5)
    bench.tape.snapshot(*(("app.tenant", tenant_row(f"t{n}")) for n in range(tenants)))
    number = 0
    for _ in range(segments):
        for n in range(tenants):
            number += 1
            bench.tape.commit(insert("app.note", note_row(number, f"t{n}", rng.randbytes(size // 2).hex())))
        await bench.archive()


async def _cost(tenants: int) -> int:
    bench = Bench()
    await _fill(bench, tenants)
    bench.store.sent_bytes = 0
    await bench.rows("t3")
    return bench.store.sent_bytes


def test_what_a_restore_reads_does_not_grow_with_the_neighbours() -> None:
    """One of 240 tenants costs at most 1.3 times the bytes of one of 12 (FM-106)."""

    async def scene(bench: Bench) -> tuple[int, int]:  # noqa: ARG001 - two benches of its own
        return await _cost(12), await _cost(240)

    few, many = virtually(scene)
    assert many <= 1.3 * few, (few, many)


class Listening(MemoryStore):
    """A store that notes what is read of segments."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[tuple[str, int, int | None]] = []

    async def get(self, key: str, version: str, *, start: int = 0, size: int | None = None) -> bytes:
        """Note the range."""
        if key.startswith("seg/"):
            self.read.append((key, start, size))
        return await super().get(key, version, start=start, size=size)


def test_no_neighbours_block_is_read() -> None:
    """Restoring one tenant reads an index and a block a segment, and nothing else of it (FM-95)."""

    async def scene(bench: Bench) -> list[tuple[str, int, int | None]]:
        bench.store = Listening()
        await _fill(bench, 30, segments=3)
        bench.store.read.clear()
        await bench.rows("t3")
        return bench.store.read

    read = virtually(scene)
    assert len(read) == 2 * 3
    assert all(size is not None and size < 12_000 for _, _, size in read)


def test_a_changed_block_fails_the_restore_of_its_tenant_only() -> None:
    """What is not what was written is never restored, and neighbours do not suffer (FM-92)."""

    async def scene(bench: Bench) -> Rows:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")), ("app.tenant", tenant_row("globex")))
        await bench.archive()
        restorer = bench.restorer()
        await restorer.manifest.catch_up()
        (key,) = (key for key in bench.store.versions if key.startswith("seg/"))
        version, body = bench.store.versions[key][0]
        block = await restorer.reader.block("acme", restorer.manifest.links[0].entry.segment)  # type: ignore[arg-type]
        assert block
        forged = bytearray(body)
        forged[-1] ^= 1
        bench.store.versions[key][0] = (version, bytes(forged))
        intact = [t for t in ("acme", "globex") if await _opens(bench, t)]
        assert len(intact) == 1
        return await bench.rows(intact[0])

    assert len(virtually(scene)) == 1


async def _opens(bench: Bench, tenant: str) -> bool:
    try:
        await bench.rows(tenant)
    except ArchiveBroken:
        return False
    return True


def test_a_deleted_version_is_named() -> None:
    """A segment that can't be read any more is an error, never an empty tenant (FM-93)."""

    async def scene(bench: Bench) -> None:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        await bench.archive()
        for key in [key for key in bench.store.versions if key.startswith("seg/")]:
            del bench.store.versions[key]
        with pytest.raises(ArchiveBroken, match=r"seg/.* has no version"):
            await bench.rows("acme")

    virtually(scene)


def test_a_restore_builds_the_archived_schema_where_there_is_none() -> None:
    """Shared rows that are absent come with it, and counters stand past everything archived."""

    async def scene(bench: Bench) -> MemoryTarget:
        word: RawRow = {"word": "tea", "means": None}
        bench.tape.snapshot(("app.word", word), ("app.note", note_row(41, "globex")))
        bench.tape.commit(insert("app.tenant", tenant_row("acme")))
        await bench.archive()
        target = MemoryTarget()
        await bench.restorer().restore("acme", Cut(), target, in_place=False)
        return target

    target = virtually(scene)
    assert (target.ddl, target.high) == ("CREATE TABLE ...", {"app.note.id": 41})
    (swap,) = target.swaps
    assert swap.rows["app.tenant"] == [tenant_row("acme")]
    assert swap.shared == {"app.word": [{"word": "tea", "means": None}]}
    assert swap.high == {"app.note.id": 41}


def test_a_changed_schema_object_is_not_run() -> None:
    """Its hash stands in the chain."""

    async def scene(bench: Bench) -> None:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        await bench.archive()
        (key,) = (key for key in bench.store.versions if key.startswith("schema/"))
        version, _ = bench.store.versions[key][0]
        bench.store.versions[key][0] = (version, b"DROP TABLE everything")
        with pytest.raises(ArchiveBroken, match="not what the manifest says"):
            await bench.restorer().restore("acme", Cut(), MemoryTarget(), in_place=False)

    virtually(scene)


def test_listings_give_the_oldest_version() -> None:
    """Whatever was added to the bucket later is not read (FM-85)."""

    async def scene(bench: Bench) -> list[StoredObject]:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        await bench.archive()
        for key in list(bench.store.versions):
            bench.store.add_version(key, b"forged")
        assert await bench.rows("acme") == {"app.tenant": [tenant_row("acme")]}
        return list(await bench.store.list(""))

    assert all(stored.version != "forged" for stored in virtually(scene))
