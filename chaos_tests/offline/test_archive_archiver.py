"""The archiver over ports in memory: what is durable when, what a kill costs, and when it stops."""

from __future__ import annotations

import asyncio

import pytest

from fixtures.archive import (
    FLUSH_S,
    Bench,
    insert,
    line_row,
    note_row,
    tenant_row,
    update,
    virtually,
)
from harness.model.errors import ArchiverStopped, RestoreRefused
from harness.model.history import Cut
from harness.simulate.archive_ports import MemoryFeed
from harness.subject.reference.archiver import Archiver
from harness.subject.reference.batch import Batch
from harness.subject.reference.format import MANIFEST_PREFIX, ManifestEntry, Part
from harness.subject.reference.manifest import Manifest
from harness.subject.reference.ports import StoredObject, TenantKey
from harness.subject.reference.verifier import Verified
from harness.subject.reference.where import WAIT_S_MAX

ACME = insert("app.note", note_row(1, "acme"))


async def _entries(bench: Bench) -> list[ManifestEntry]:
    manifest = Manifest(bench.store)
    await manifest.catch_up()
    return [link.entry for link in manifest.links]


async def _verified(bench: Bench) -> Verified:
    return await bench.verifier().verify()


def test_a_quiet_tenants_write_is_durable_within_two_intervals() -> None:
    """Flushes go by time, not by how full a buffer is (FM-94)."""

    async def scene(bench: Bench) -> list[int]:
        bench.tape.snapshot()
        running = asyncio.ensure_future(bench.archiver().run())
        await bench.clock.sleep(5.0)
        bench.tape.commit(ACME)
        await bench.clock.sleep(2 * FLUSH_S)
        running.cancel()
        return [entry.end.lsn for entry in await _entries(bench)]

    assert virtually(scene) == [1010, 1020]


def test_the_offset_moves_only_when_segment_and_entry_are_durable() -> None:
    """Else a kill between the two is a hole (FM-83)."""
    order: list[str] = []

    class Watched(Archiver):
        async def put(self, key: str, body: bytes) -> StoredObject:
            order.append(key.partition("/")[0])
            return await super().put(key, body)

        async def move_offset(self, offset: int) -> None:
            order.append(f"offset {offset}")
            await super().move_offset(offset)

    async def scene(bench: Bench) -> None:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        archiver = bench.archiver(Watched)
        await archiver.resume()
        for event in bench.feed.events:
            archiver.take(event)
        await archiver.flush()

    virtually(scene)
    assert order == ["schema", "seg", "man", "offset 4"]


class Killed(Exception):
    """Stands for a SIGKILL at an instant."""


def _killing(calls: int) -> type[Archiver]:
    """Return an archiver that is killed just after its n-th step towards durability took effect."""

    class Mortal(Archiver):
        left = calls

        async def put(self, key: str, body: bytes) -> StoredObject:
            stored = await super().put(key, body)
            self._age()
            return stored

        async def move_offset(self, offset: int) -> None:
            self._age()
            await super().move_offset(offset)
            self._age()

        def _age(self) -> None:
            type(self).left -= 1
            if type(self).left <= 0:
                raise Killed

    return Mortal


@pytest.mark.parametrize("calls", range(1, 22))
def test_a_kill_at_any_instant_loses_nothing_and_doubles_nothing(calls: int) -> None:
    """Whatever was and was not written, the next archiver ends with the same rows and a sound archive."""

    async def doomed(bench: Bench, archiver: Archiver) -> None:
        await archiver.resume()
        for event in list(bench.feed.events):
            archiver.take(event)
            if archiver.assembler.open_offset is None:
                await archiver.flush()
        raise Killed

    async def scene(bench: Bench) -> tuple[Verified, dict[str, list[dict[str, str | None]]]]:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        for number in range(1, 5):
            note = insert("app.note", note_row(number, "acme"))
            bench.tape.commit(note, insert("app.line", line_row(number, number)))
        with pytest.raises(Killed):
            await doomed(bench, bench.archiver(_killing(calls)))
        bench.index.forget()
        bench.tape.commit(insert("app.line", line_row(5, 1)))
        await bench.archive()
        return await _verified(bench), await bench.rows("acme")

    verified, rows = virtually(scene)
    assert verified.ok, verified.problems
    assert [row["id"] for row in rows["app.note"]] == ["1", "2", "3", "4"]
    assert [row["id"] for row in rows["app.line"]] == ["1", "2", "3", "4", "5"]


def test_an_outage_of_the_store_only_delays() -> None:
    """The archiver asks again until the store answers, and nothing is lost."""

    async def scene(bench: Bench) -> int:
        bench.tape.snapshot()
        running = asyncio.ensure_future(bench.archiver().run())
        await bench.clock.sleep(3.0)
        bench.store.down = True
        bench.tape.commit(ACME)
        await bench.clock.sleep(30.0)
        bench.store.down = False
        await bench.clock.sleep(3.0)
        running.cancel()
        return len((await bench.rows("acme"))["app.note"])

    assert virtually(scene) == 1


def test_an_outage_of_the_feed_only_delays() -> None:
    """Reading and committing are tried again."""

    async def scene(bench: Bench) -> int:
        bench.feed.down = True
        running = asyncio.ensure_future(bench.archiver().run())
        await bench.clock.sleep(3.0)
        bench.feed.down = False
        bench.tape.snapshot()
        bench.tape.commit(ACME)
        await bench.clock.sleep(WAIT_S_MAX + 3.0)
        running.cancel()
        return len((await bench.rows("acme"))["app.note"])

    assert virtually(scene) == 1


def test_a_second_archiver_never_forks_the_chain() -> None:
    """Whoever comes second finds the entry's name taken, reads on from there, and remains."""

    async def scene(bench: Bench) -> list[int]:
        bench.tape.snapshot()
        await bench.archive()
        first, second = bench.archiver(), bench.archiver()
        bench.tape.commit(ACME)
        for archiver in (first, second):
            await archiver.resume()
            for event in bench.feed.events:
                archiver.take(event)
        await first.flush()
        await second.flush()
        assert (await _verified(bench)).ok
        return [entry.end.lsn for entry in await _entries(bench)]

    assert virtually(scene) == [1010, 1020]


def test_a_gap_in_the_feed_stops_the_archiver() -> None:
    """An offset past what the archive holds would be a silent jump (FM-76)."""

    async def scene(bench: Bench) -> None:
        bench.tape.snapshot()
        await bench.archive()
        bench.tape.commit(ACME)
        bench.feed.committed = len(bench.feed.events)
        bench.tape.commit(insert("app.note", note_row(1, "acme")))
        with pytest.raises(ArchiverStopped, match="what lies between is lost") as stopped:
            await bench.archive()
        assert "archive resnapshot" in stopped.value.cure

    virtually(scene)


def test_after_a_gap_the_archiver_goes_on_with_a_snapshot() -> None:
    """It stands for what is lost; cuts in between are refused, and what came before is still there."""

    async def scene(bench: Bench) -> list[str | None]:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        await bench.archive()
        before = bench.tape.lsn
        bench.tape.commit(insert("app.note", note_row(1, "acme", "lost on the way")))
        bench.feed.committed = len(bench.feed.events)
        bench.tape.snapshot(("app.tenant", tenant_row("acme")), ("app.note", note_row(2, "acme")))
        bench.tape.commit(insert("app.note", note_row(3, "acme")))
        bench.tape.heartbeat()
        await bench.archive()
        assert (await bench.verifier().verify()).ok
        with pytest.raises(RestoreRefused, match="capture was interrupted"):
            await bench.rows("acme", Cut(epoch=1, lsn_lower=before + 5, lsn_upper=before + 5))
        early = await bench.rows("acme", Cut(epoch=1, lsn_lower=before, lsn_upper=before))
        assert "app.note" not in early
        return [row["id"] for row in (await bench.rows("acme"))["app.note"]]

    assert virtually(scene) == ["2", "3"]


def test_a_snapshot_that_nobody_asked_for_stops_the_archiver() -> None:
    """A connector that lost its offsets begins anew beside its slot, with the old number (FM-82)."""

    async def scene(bench: Bench) -> str:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        bench.tape.commit(insert("app.note", note_row(1, "acme")))
        before = bench.tape.lsn
        bench.tape.snapshot(("app.tenant", tenant_row("acme")), asked=False)
        bench.tape.commit(insert("app.note", note_row(3, "acme")))
        for _ in range(2):  # a restart finds it again, and nothing of it in the archive
            archiver = bench.archiver()
            await archiver.resume()
            with pytest.raises(ArchiverStopped, match="that nobody asked for") as stopped:
                await archiver.step()
            assert [entry.end.lsn for entry in await _entries(bench)] == [before]
        bench.feed.committed = len(bench.feed.events)
        bench.tape.snapshot(("app.tenant", tenant_row("acme")), ("app.note", note_row(2, "acme")))
        bench.tape.heartbeat()
        await bench.archive()
        assert (await bench.verifier().verify()).ok
        assert [row["id"] for row in (await bench.rows("acme"))["app.note"]] == ["2"]
        return stopped.value.cure

    assert "archive resnapshot" in virtually(scene)


def test_a_snapshot_that_was_asked_for_may_begin_again_and_come_twice() -> None:
    """It was interrupted, or the archiver was killed before it could say how far it had come."""

    async def scene(bench: Bench) -> list[tuple[int, int]]:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        await bench.archive()
        bench.tape.begin_snapshot(("app.tenant", tenant_row("acme")))
        begun = len(bench.feed.events)
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        bench.tape.heartbeat(1)
        await bench.archive()
        bench.feed.committed = begun
        bench.tape.heartbeat(2)
        await bench.archive()
        return [(entry.end.lsn, entry.asked) for entry in await _entries(bench)]

    assert virtually(scene) == [(1010, 0), (1030, 1), (1040, 1)]


@pytest.mark.parametrize("timeline", [1, 2])
def test_a_snapshot_waits_for_a_heartbeat_that_is_newer_than_its_rows(timeline: int) -> None:
    """Begun anew beside its slot it is younger than its position: what it read comes once more (FM-82)."""

    async def scene(bench: Bench) -> list[int]:
        bench.tape.snapshot()
        bench.tape.heartbeat(1)
        await bench.archive()
        bench.tape.snapshot(("app.tenant", tenant_row("acme")), beat=3)
        for beat in (2, 3):
            bench.tape.heartbeat(beat)
            await bench.archive()
            assert len(await _entries(bench)) == 1, beat
        bench.tape.heartbeat(4 if timeline == 1 else 2, timeline=timeline)
        await bench.archive()
        return [entry.end.lsn for entry in await _entries(bench)]

    assert virtually(scene) == [1020, 1060]


def test_without_its_feed_a_cluster_that_is_known_begins_with_a_snapshot_that_was_asked_for() -> None:
    """A broker that was lost had the connector's offsets, too."""

    async def scene(bench: Bench) -> None:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        await bench.archive()
        bench.feed = bench.tape.feed = MemoryFeed(bench.clock, name="feed-2")
        bench.tape.snapshot(("app.tenant", tenant_row("acme")), asked=False)
        with pytest.raises(ArchiverStopped, match="that nobody asked for"):
            await bench.archive()

    virtually(scene)


def test_a_heartbeat_that_never_came_stops_the_archiver() -> None:
    """A slot that was dropped, advanced or made anew passes over commits, heartbeats among them (FM-72)."""

    async def scene(bench: Bench) -> str:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        bench.tape.heartbeat(1)
        bench.tape.heartbeat(2)
        await bench.archive()
        bench.tape.heartbeat(3)
        bench.tape.commit(insert("app.note", note_row(1, "acme")))
        bench.tape.heartbeat(5)
        bench.tape.commit(insert("app.note", note_row(2, "acme")))
        archiver = bench.archiver()
        await archiver.resume()
        with pytest.raises(ArchiverStopped, match="heartbeat 5 follows 3") as stopped:
            await archiver.step()
        assert [row["id"] for row in (await bench.rows("acme"))["app.note"]] == ["1"]
        return stopped.value.cure

    assert "archive resnapshot" in virtually(scene)


def test_the_watermark_stays_at_a_heartbeat_until_the_next_one_shows_that_nothing_is_missing() -> None:
    """What follows a gap may be archived before the next heartbeat gives it away: it is not covered."""

    async def scene(bench: Bench) -> None:
        bench.tape.snapshot()
        bench.tape.heartbeat(1)
        beat_lsn = bench.tape.lsn
        bench.tape.commit(insert("app.tenant", tenant_row("acme")))
        archiver = await bench.archive()
        (entry,) = await _entries(bench)
        assert (entry.end.lsn, entry.watermark.lsn) == (bench.tape.lsn, beat_lsn)
        assert archiver.health().watermark == str(entry.watermark)
        bench.tape.commit(insert("app.note", note_row(1, "acme")))
        await bench.archive()
        assert (await _entries(bench))[-1].watermark == entry.watermark
        bench.tape.heartbeat(3)
        with pytest.raises(ArchiverStopped, match="heartbeat 3 follows 1"):
            await bench.archive()
        assert (await _entries(bench))[-1].watermark == entry.watermark

    virtually(scene)


def test_a_snapshot_and_the_next_heartbeat_move_the_watermark() -> None:
    """A snapshot stands for all before it; a heartbeat counts on from there."""

    async def scene(bench: Bench) -> list[bool]:
        bench.tape.snapshot()
        await bench.archive()
        bench.tape.commit(insert("app.tenant", tenant_row("acme")))
        bench.tape.heartbeat(1)
        await bench.archive()
        return [entry.watermark == entry.end for entry in await _entries(bench)]

    assert virtually(scene) == [True, True]


def test_a_restarted_archiver_counts_on_from_the_archive() -> None:
    """The gap may lie just where it was down."""

    async def scene(bench: Bench) -> None:
        bench.tape.snapshot()
        bench.tape.heartbeat(1)
        await bench.archive()
        bench.tape.heartbeat(3)
        with pytest.raises(ArchiverStopped, match="heartbeat 3 follows 1"):
            await bench.archive()

    virtually(scene)


def test_on_a_new_timeline_heartbeats_may_begin_again() -> None:
    """What was not replicated is counted once more there."""

    async def scene(bench: Bench) -> bool:
        bench.tape.snapshot()
        bench.tape.heartbeat(1)
        bench.tape.heartbeat(2)
        bench.tape.heartbeat(2, timeline=2)
        bench.tape.heartbeat(3, timeline=2)
        await bench.archive()
        return (await bench.verifier().verify()).ok

    assert virtually(scene)


def test_a_new_feed_goes_on_with_a_snapshot() -> None:
    """A fresh broker's offsets begin at 0 again; the snapshot of the fresh cluster is a new epoch."""

    async def scene(bench: Bench) -> tuple[list[int], dict[str, list[dict[str, str | None]]]]:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")), ("app.tenant", tenant_row("gone")))
        await bench.archive()
        bench.feed = MemoryFeed(bench.clock, name="feed-2")
        bench.tape.feed, bench.tape.lsn = bench.feed, 5
        bench.tape.snapshot(("app.tenant", tenant_row("acme")), system_id="fresh")
        await bench.archive()
        with pytest.raises(RestoreRefused, match="nothing of tenant gone"):
            await bench.rows("gone")
        return [entry.end.epoch for entry in await _entries(bench)], await bench.rows("acme")

    assert virtually(scene) == ([1, 2], {"app.tenant": [tenant_row("acme")]})


def test_a_lost_index_is_rebuilt_from_the_archive() -> None:
    """The archiver's own disk is nothing that must survive."""

    async def scene(bench: Bench) -> int:
        bench.tape.snapshot()
        bench.tape.commit(ACME)
        await bench.archive()
        bench.index.lose()
        bench.tape.commit(insert("app.line", line_row(9, 1)))
        await bench.archive()
        return len((await bench.rows("acme"))["app.line"])

    assert virtually(scene) == 1


def test_a_key_is_durable_before_anything_is_sealed_with_it() -> None:
    """What is in the bucket can always be opened (FM-96)."""
    order: list[str] = []

    async def scene(bench: Bench) -> None:
        inner_key, inner_put = bench.keys.current, bench.store.put_once

        async def current(tenant: str) -> TenantKey:
            order.append(f"key {tenant}")
            return await inner_key(tenant)

        async def put(key: str, body: bytes) -> StoredObject:
            order.append(key.partition("/")[0])
            return await inner_put(key, body)

        bench.keys.current, bench.store.put_once = current, put  # type: ignore[method-assign]
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        await bench.archive()

    virtually(scene)
    assert order.index("key acme") < order.index("seg")


def test_a_database_that_is_away_does_not_stop_the_archiver() -> None:
    """No heartbeat is no news; what is in the feed is archived once that can be no failover any more."""

    async def scene(bench: Bench) -> int:
        bench.tape.snapshot()
        await bench.archive()
        bench.source.down = True
        running = asyncio.ensure_future(bench.archiver().run())
        await bench.clock.sleep(2.0)
        bench.tape.commit(ACME)
        await bench.clock.sleep(WAIT_S_MAX + 3.0)
        running.cancel()
        return len((await bench.rows("acme"))["app.note"])

    assert virtually(scene) == 1


def test_what_came_before_the_cause_of_a_stop_is_durable() -> None:
    """A stopped archiver loses nothing that it could carry, and stops at the same place again."""

    async def scene(bench: Bench) -> dict[str, list[dict[str, str | None]]]:
        bench.tape.snapshot()
        bench.tape.commit(ACME)
        bench.tape.commit(insert("app.later", {"id": "1"}))
        bench.tape.commit(insert("app.note", note_row(2, "acme")))
        for _ in range(2):
            with pytest.raises(ArchiverStopped, match=r"table app\.later"):
                await asyncio.wait_for(bench.archiver().run(), 10.0)
        assert (await _verified(bench)).ok
        return await bench.rows("acme")

    assert virtually(scene) == {"app.note": [note_row(1, "acme")]}


def test_stop_flushes_what_was_read() -> None:
    """A planned end leaves nothing in the buffer."""

    async def scene(bench: Bench) -> int:
        archiver = bench.archiver()
        running = asyncio.ensure_future(archiver.run())
        await bench.clock.sleep(0.5)
        bench.tape.snapshot()
        bench.tape.commit(ACME)
        await bench.clock.sleep(0.6)
        archiver.stop()
        await running
        return bench.feed.committed

    assert virtually(scene) == 6


def test_entries_carry_the_highest_values_of_all_tenants_so_far() -> None:
    """Sequences must lie past everything ever archived, deleted rows and rekeyed ones included."""

    async def scene(bench: Bench) -> dict[str, int]:
        bench.tape.snapshot()
        bench.tape.commit(insert("app.note", note_row(900, "acme")))
        await bench.archive()
        bench.tape.commit(update("app.note", note_row(900, "acme"), note_row(3, "acme")))
        bench.tape.commit(insert("app.note", note_row(7, "globex")))
        await bench.archive()
        return (await _entries(bench))[-1].high

    assert virtually(scene) == {"app.note.id": 900}


def test_nothing_but_heartbeats_still_moves_the_watermark() -> None:
    """An idle database is told from a dead pipeline (FM-71), and costs no segment."""

    async def scene(bench: Bench) -> list[tuple[int, bool]]:
        bench.tape.snapshot()
        await bench.archive()
        bench.tape.heartbeat(1)
        await bench.archive()
        return [(e.end.lsn, e.segment is None) for e in await _entries(bench)]

    assert virtually(scene) == [(1010, True), (1020, True)]


def test_verify_names_what_is_wrong() -> None:
    """A changed segment, a lost lock and a missing key each have their own sentence."""

    async def scene(bench: Bench) -> list[str]:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        await bench.archive()
        assert (await _verified(bench)).ok
        key = next(key for key in bench.store.versions if key.startswith("seg/"))
        version, body = bench.store.versions[key][0]
        bench.store.versions[key][0] = (version, body[:-1] + b"\0")
        damaged = await _verified(bench)
        bench.store.versions[key][0] = (version, body)
        bench.keys.keys.clear()
        unreadable = await _verified(bench)
        return [*damaged.problems, *unreadable.problems]

    changed, lost = virtually(scene)
    assert "the manifest says" in changed
    assert "not in the key store" in lost


def test_no_object_holds_a_tenants_data_in_the_clear() -> None:
    """Someone with the bucket, but not the keys, learns no value and no tenant's name."""

    async def scene(bench: Bench) -> list[bytes]:
        bench.tape.snapshot(("app.tenant", tenant_row("acme-incorporated", "secret words " * 9)))
        await bench.archive()
        return [body for found in bench.store.versions.values() for _, body in found]

    assert not [b for b in virtually(scene) if b"acme-incorporated" in b or b"secret words" in b]


def test_a_large_backlog_is_written_in_several_segments() -> None:
    """Memory stays bounded after a long outage."""

    class Small(Archiver):
        def flush_due(self) -> bool:
            return self.batch.rows >= 10

    async def scene(bench: Bench) -> int:
        bench.tape.snapshot()
        for number in range(50):
            bench.tape.commit(insert("app.note", note_row(number, "acme")))
        archiver = bench.archiver(Small)
        await archiver.resume()
        for event in bench.feed.events:
            archiver.take(event)
            if archiver.flush_due():
                await archiver.flush()
        await archiver.flush()
        assert len((await bench.rows("acme"))["app.note"]) == 50
        return len([key for key in bench.store.versions if key.startswith(MANIFEST_PREFIX)])

    assert virtually(scene) >= 5


def test_the_parts_to_write_are_one_decision() -> None:
    """A planted archiver that skips a tenant is made by overriding one method."""

    class Skips(Archiver):
        def parts_to_write(self, batch: Batch) -> dict[str, list[Part]]:
            return {t: p for t, p in super().parts_to_write(batch).items() if t != "acme"}

    async def scene(bench: Bench) -> dict[str, list[dict[str, str | None]]]:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")), ("app.tenant", tenant_row("globex")))
        archiver = bench.archiver(Skips)
        await archiver.resume()
        for event in bench.feed.events:
            archiver.take(event)
        await archiver.flush()
        with pytest.raises(RestoreRefused, match="nothing of tenant acme"):
            await bench.rows("acme")
        return await bench.rows("globex")

    assert virtually(scene) == {"app.tenant": [tenant_row("globex")]}
