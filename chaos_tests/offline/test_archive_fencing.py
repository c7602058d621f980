"""Two archivers on one archive: the later one goes on, the earlier one stops, nothing is ever mixed."""

from __future__ import annotations

import pytest

from fixtures.archive import Bench, insert, note_row, tenant_row, virtually
from harness.model.errors import ArchiveBroken, ArchiverStopped
from harness.simulate.archive_ports import MemoryFeed, MemoryIndex
from harness.subject.reference import format as archive
from harness.subject.reference.archiver import Archiver
from harness.subject.reference.fencing import Identity, explain
from harness.subject.reference.format import Fence
from harness.subject.reference.manifest import Manifest
from harness.subject.reference.ports import StoredObject

SPARE = Identity(writer="spare")
TAKING_OVER = Identity(writer="spare", take_over=True)


class Station:
    """One archiver with a cursor in the feed and an index of its own, beside others of the same archive."""

    def __init__(self, bench: Bench, identity: Identity = Identity()) -> None:  # noqa: B008 - a value
        self.feed = MemoryFeed(bench.clock, name=bench.feed.name)
        self.feed.events = bench.feed.events
        self.feed.committed = bench.feed.committed
        bench.feed, bench.index = self.feed, MemoryIndex()
        bench.tape.feed = self.feed
        self.archiver: Archiver = bench.archiver(identity=identity)

    async def start(self) -> None:
        """Read the archive and claim it."""
        await self.archiver.resume()

    async def go_on(self) -> None:
        """Take what is new in the feed, and write it; again, when a predecessor came between."""
        for _ in range(2):
            for event in await self.feed.read(limit=1_000, wait_s=0.0):
                self.archiver.take(event)
            await self.archiver.flush()


async def _started(bench: Bench, identity: Identity = Identity()) -> Station:  # noqa: B008 - a value
    station = Station(bench, identity)
    await station.start()
    return station


async def _tokens(bench: Bench) -> list[int]:
    manifest = Manifest(bench.store, bench.trust)
    await manifest.catch_up()
    return [link.entry.fence.token for link in manifest.links if link.entry.fence]


def _note(bench: Bench, number: int) -> None:
    bench.tape.commit(insert("app.note", note_row(number, "acme")))


async def _notes(bench: Bench) -> list[str | None]:
    assert (await bench.verifier().verify()).problems == ()
    return [row["id"] for row in (await bench.rows("acme"))["app.note"]]


def test_a_restart_under_the_same_name_goes_on_with_the_next_token() -> None:
    """Nothing must be said or done for it, and no entry is spent on it."""

    async def scene(bench: Bench) -> list[int]:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        for number in (1, 2, 3):
            await bench.archive()
            _note(bench, number)
        await bench.archive()
        assert await _notes(bench) == ["1", "2", "3"]
        return await _tokens(bench)

    assert virtually(scene) == [1, 2, 3, 4]


def test_an_archiver_of_another_name_is_refused_unless_it_takes_over() -> None:
    """A second deployment by mistake stops before it reads the feed."""

    async def scene(bench: Bench) -> None:
        bench.tape.snapshot()
        await bench.archive()
        with pytest.raises(ArchiverStopped, match="is written by archiver 'archiver'") as stopped:
            await _started(bench, SPARE)
        assert "--take-over" in stopped.value.cure

    virtually(scene)


def test_who_was_overtaken_stops_at_its_next_write_and_says_by_whom() -> None:
    """What it had read and not written is written by the other one, once."""

    async def scene(bench: Bench) -> list[int]:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        first = await _started(bench)
        await first.go_on()
        _note(bench, 1)
        second = await _started(bench, TAKING_OVER)
        _note(bench, 2)
        with pytest.raises(ArchiverStopped, match=r"archiver 'spare' \(token 3, run .*took over"):
            await first.go_on()
        await second.go_on()
        _note(bench, 3)
        await second.go_on()
        assert await _notes(bench) == ["1", "2", "3"]
        return await _tokens(bench)

    assert virtually(scene) == [1, 3, 3, 3]


def test_a_takeover_while_the_first_one_writes_is_tried_until_it_is_in() -> None:
    """Its entry waits for a free number; the first one learns of it at the next."""

    async def scene(bench: Bench) -> list[int]:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        first = await _started(bench)
        await first.go_on()
        second = Station(bench, TAKING_OVER)
        put, writes = bench.store.put_once, iter([1, 2])

        async def put_second(key: str, body: bytes) -> StoredObject:
            number = next(writes, None)
            if number is not None and key.startswith(archive.MANIFEST_PREFIX):
                bench.store.put_once = put  # type: ignore[method-assign]
                _note(bench, number)
                await first.go_on()
                bench.store.put_once = put_second  # type: ignore[method-assign]
            return await put(key, body)

        bench.store.put_once = put_second  # type: ignore[method-assign]
        await second.start()
        await second.go_on()
        assert await _notes(bench) == ["1", "2"]
        return await _tokens(bench)

    assert virtually(scene) == [1, 1, 1, 3]


def test_a_predecessors_late_entry_is_taken_into_account() -> None:
    """A killed process's last request may arrive after its successor has read the manifest."""

    async def scene(bench: Bench) -> list[int]:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        first = await _started(bench)
        await first.go_on()
        second = await _started(bench)
        _note(bench, 1)
        await first.go_on()
        _note(bench, 2)
        await second.go_on()
        _note(bench, 3)
        with pytest.raises(ArchiverStopped, match="took over"):
            await first.go_on()
        await second.go_on()
        assert await _notes(bench) == ["1", "2", "3"]
        return await _tokens(bench)

    assert virtually(scene) == [1, 1, 2, 2]


def test_two_that_begin_an_empty_archive_at_once_do_not_both_begin_it() -> None:
    """The one whose first entry came second reads on after the other's, which stops at its next write."""

    async def scene(bench: Bench) -> list[int]:
        first, second = Station(bench), Station(bench)
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        await first.start()
        await second.start()
        await first.go_on()
        await second.go_on()
        _note(bench, 1)
        await second.go_on()
        with pytest.raises(ArchiverStopped, match="took over"):
            await first.go_on()
        assert await _notes(bench) == ["1"]
        return await _tokens(bench)

    assert virtually(scene) == [1, 2]


def test_a_takeover_is_no_progress() -> None:
    """Its entry ends where the one before ended, and verify finds nothing wrong with that."""

    async def scene(bench: Bench) -> tuple[bool, tuple[str, ...]]:
        bench.tape.snapshot()
        await bench.archive()
        await _started(bench, TAKING_OVER)
        manifest = Manifest(bench.store, bench.trust)
        await manifest.catch_up()
        before, last = (link.entry for link in manifest.links)
        return before.end == last.start == last.end, (await bench.verifier().verify()).problems

    assert virtually(scene) == (True, ())


def test_a_name_that_is_taken_by_nothing_to_be_read_is_told_as_the_store_told_it() -> None:
    """Without signatures nobody can tell whose an object is: the archiver stops with the store's words."""

    async def scene(bench: Bench) -> bool:
        broken = ArchiveBroken("man/000000000001 exists with other bytes")
        fence = Fence(token=1, writer="archiver", run="r")
        return explain(Manifest(bench.store), fence, 1, b"{}", broken) is broken

    assert virtually(scene)
