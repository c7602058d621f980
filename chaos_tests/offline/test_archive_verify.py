"""``archive verify``: each thing that can be wrong with an archive has a sentence of its own."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from fixtures.archive import Bench, insert, note_row, tenant_row, virtually
from harness.model.position import Position
from harness.subject.reference import format as archive
from harness.subject.reference.format import FeedMark, ManifestEntry
from harness.subject.reference.verifier import Verified

Harm = Callable[[Bench], None]


def _verified(harm: Harm) -> Verified:
    """Archive two entries with a segment each, do harm to the bucket, and verify."""

    async def scene(bench: Bench) -> Verified:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        await bench.archive()
        bench.tape.commit(insert("app.note", note_row(1, "acme")))
        await bench.archive()
        harm(bench)
        return await bench.verifier().verify()

    return virtually(scene)


def _rewrite(bench: Bench, **changes: object) -> None:
    """Put a changed second entry in the place of the archived one, its hash chain intact."""
    key = archive.manifest_key(2)
    version, body = bench.store.versions[key][0]
    entry: ManifestEntry = msgspec.structs.replace(archive.decode_entry(body, key=key), **changes)
    unsigned = archive.encode_entry(msgspec.structs.replace(entry, signature=None))
    assert bench.signer is not None
    bench.store.versions[key][0] = (version, bench.signer.sign(unsigned))


def _change_last_byte(bench: Bench, prefix: str) -> None:
    key = next(key for key in bench.store.versions if key.startswith(prefix))
    version, body = bench.store.versions[key][0]
    bench.store.versions[key][0] = (version, body[:-1] + bytes([body[-1] ^ 1]))


def _lose(bench: Bench, key: str) -> None:
    del bench.store.versions[key]


def _unlock(bench: Bench) -> None:
    bench.store.locked_s = None


def _break_entry(bench: Bench) -> None:
    version, _ = bench.store.versions[archive.manifest_key(2)][0]
    bench.store.versions[archive.manifest_key(2)][0] = (version, b"\xff")


def test_a_sound_archive_has_no_problems() -> None:
    """And the figures say how much was looked at."""
    verified = _verified(lambda _: None)
    assert verified.ok
    assert (verified.entries, verified.segments, verified.blocks) == (2, 2, 2)
    assert verified.size_bytes > 0
    assert verified.shortest_retention_s == 3600.0


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda b: _change_last_byte(b, "seg/"), "the manifest says"),
        (lambda b: _change_last_byte(b, "schema/"), "has SHA-256"),
        (lambda b: _lose(b, archive.manifest_key(1)), "man/000000000001 is gone"),
        (_break_entry, "man/000000000002 is refused: it is not signed"),
        (_unlock, "not locked any more"),
        (lambda b: b.keys.keys.clear(), "not in the key store"),
        (lambda b: _rewrite(b, start=Position(epoch=1, lsn=1)), "the one before ended elsewhere"),
        (lambda b: _rewrite(b, end=Position(epoch=1, lsn=1)), "before it begins"),
        (lambda b: _rewrite(b, feed=FeedMark(feed="feed-1", next_offset=0)), "an earlier feed offset"),
        (lambda b: _rewrite(b, feed=FeedMark(feed="other", next_offset=0)), "another feed without"),
    ],
)
def test_what_is_wrong_is_named(harm: Harm, words: str) -> None:
    """One sentence for each, and the archive is not sound."""
    verified = _verified(harm)
    assert not verified.ok
    assert any(words in problem for problem in verified.problems), verified.problems
