"""A start begins at the checkpoint, however old the archive is; one that is denied is worth nothing."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fixtures.archive import Bench, insert, line_row, note_row, tenant_row, virtually
from harness.model.errors import ArchiveBroken, ArchiverStopped
from harness.simulate.archive_ports import MemoryStore
from harness.subject.reference import format as archive
from harness.subject.reference.health import Held
from harness.subject.reference.known import Known
from harness.subject.reference.manifest import Manifest
from harness.subject.reference.ports import Checkpoint
from harness.subject.reference.signing import Signer, Trust


class Watched(MemoryStore):
    """A bucket that remembers which objects were read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []

    async def get(self, key: str, version: str, *, start: int = 0, size: int | None = None) -> bytes:
        """Read part of one version."""
        self.read.append(key)
        return await super().get(key, version, start=start, size=size)


async def _old(bench: Bench, *, notes: int = 4) -> Watched:
    """Archive a snapshot and that many notes, each in an entry of its own; return the bucket."""
    bench.store = store = Watched()
    bench.tape.snapshot(("app.tenant", tenant_row("acme")))
    await bench.archive()
    for number in range(1, notes + 1):
        bench.tape.commit(insert("app.note", note_row(number, "acme")))
        await bench.archive()
    store.read.clear()
    return store


def _entries(*numbers: int) -> list[str]:
    return [archive.manifest_key(number) for number in numbers]


def test_a_start_reads_the_last_entry_and_the_snapshot_however_many_lie_between() -> None:
    """And none of the segments: the owner index is complete up to there."""

    async def scene(bench: Bench) -> tuple[list[str], Held]:
        store = await _old(bench)
        archiver = bench.archiver()
        await archiver.resume()
        return store.read, archiver.known.held

    assert virtually(scene) == (_entries(1, 5), Held(entries=5, segments=5))


def test_an_entry_whose_flush_was_never_ended_is_read_after_the_checkpoint() -> None:
    """The archiver was killed between the entry and the owner index: the next one catches up."""

    async def scene(bench: Bench) -> list[str]:
        store = await _old(bench, notes=1)
        bench.tape.commit(insert("app.note", note_row(2, "acme")))
        before = bench.index.checkpoint
        await bench.archive()
        bench.index.lose()
        bench.index.checkpoint = before
        store.read.clear()
        await bench.archiver().resume()
        read = [key for key in store.read if archive.is_manifest_key(key)]
        bench.tape.commit(insert("app.line", line_row(9, 2)))
        await bench.archive()
        assert [row["id"] for row in (await bench.rows("acme"))["app.line"]] == ["9"]
        return read

    assert virtually(scene) == _entries(1, 2, 3)


def test_without_an_index_everything_is_read() -> None:
    """Its disk is nothing that must survive."""

    async def scene(bench: Bench) -> tuple[list[str], Held]:
        store = await _old(bench, notes=2)
        bench.index.lose()
        archiver = bench.archiver()
        await archiver.resume()
        return [key for key in store.read if archive.is_manifest_key(key)], archiver.known.held

    assert virtually(scene) == (_entries(1, 2, 3), Held(entries=3, segments=3))


def test_the_index_of_another_archive_is_worth_nothing() -> None:
    """Its checkpoint names entries that this bucket does not hold."""

    async def scene(bench: Bench) -> tuple[list[str], Held]:
        store = await _old(bench, notes=2)
        other = Bench()
        await _old(other, notes=3)
        bench.index = other.index
        archiver = bench.archiver()
        await archiver.resume()
        return [key for key in store.read if archive.is_manifest_key(key)], archiver.known.held

    read, held = virtually(scene)
    assert (read[-3:], held) == (_entries(1, 2, 3), Held(entries=3, segments=3))


def _change(store: Watched, seq: int) -> None:
    """Let an entry be another one, under the very same version."""
    (version, body), *_ = store.versions[archive.manifest_key(seq)]
    store.versions[archive.manifest_key(seq)][0] = (version, body.replace(b'"seq"', b'"sea"'))


def test_an_entry_of_the_checkpoint_that_was_changed_is_named() -> None:
    """By reading everything, as without a checkpoint: the error says which entry and what to do."""

    async def scene(bench: Bench) -> None:
        _change(await _old(bench, notes=2), 1)
        with pytest.raises(ArchiveBroken, match=archive.manifest_key(1)):
            await bench.archiver().resume()

    virtually(scene)


def test_a_last_entry_that_was_changed_is_none() -> None:
    """As without a checkpoint: nobody can tell it from one that was planted, and the feed goes on later."""

    async def scene(bench: Bench) -> tuple[Held, str]:
        _change(await _old(bench, notes=2), 3)
        archiver = bench.archiver()
        await archiver.resume()
        bench.tape.commit(insert("app.note", note_row(3, "acme")))
        with pytest.raises(ArchiverStopped) as stopped:
            await bench.archive()
        return archiver.known.held, str(stopped.value)

    held, words = virtually(scene)
    assert held == Held(entries=2, segments=2, refused=1)
    assert "the archive ends before offset 7" in words


def test_a_checkpoint_is_not_believed_when_another_key_is_trusted() -> None:
    """Its entries are what was written, but not by whom the configuration names."""

    async def scene(bench: Bench) -> list[str]:
        store = await _old(bench, notes=1)
        bench.trust = Trust(Signer(Ed25519PrivateKey.from_private_bytes(bytes(32))).verify_key)
        archiver = bench.archiver()
        await archiver.resume()
        assert archiver.last is None
        return store.read

    assert virtually(scene)[-2:] == _entries(1, 2)


def test_what_was_passed_over_is_counted_once() -> None:
    """What lies before the last entry is counted by the checkpoint, what lies after it by the listing."""

    async def scene(bench: Bench) -> list[int]:
        store = await _old(bench, notes=1)
        store.add_version(archive.manifest_key(3), b"planted")
        store.add_version(archive.manifest_key(7), b"planted")
        bench.tape.commit(insert("app.note", note_row(2, "acme")))
        counts = [(await bench.archive()).known.held.refused]
        for _ in range(2):
            archiver = bench.archiver()
            await archiver.resume()
            counts.append(archiver.known.held.refused)
        assert bench.index.checkpoint is not None
        return [*counts, bench.index.checkpoint.refused]

    assert virtually(scene) == [2, 2, 2, 1]


def test_only_entries_since_the_last_snapshot_tell_how_tables_are() -> None:
    """A new snapshot shows the tables as they are declared."""

    async def scene(bench: Bench) -> tuple[list[int], Checkpoint | None]:
        await _old(bench, notes=1)
        manifest = Manifest(bench.store, bench.trust)
        first, second = await manifest.catch_up()
        known = Known()
        for link in (first, second, first):
            known.add(link)
        return [link.entry.seq for link in known.shaping], bench.index.checkpoint

    shaping, checkpoint = virtually(scene)
    assert shaping == [1]
    assert checkpoint is not None
    assert [pin.stored.key for pin in checkpoint.shaping] == _entries(1)
