"""Signatures: what the archiver did not write is no part of the archive, whatever it looks like."""

from __future__ import annotations

import base64
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fixtures.archive import Bench, insert, note_row, tenant_row, virtually
from harness.model.errors import ArchiveBroken, ArchiverStopped, BadInput
from harness.subject.reference import format as archive
from harness.subject.reference import process
from harness.subject.reference.adapters.local_files import make_signing_key, read_signing_key
from harness.subject.reference.adapters.wiring import signer_of
from harness.subject.reference.archiver import Archiver
from harness.subject.reference.config import ArchiveConfig, encode_config
from harness.subject.reference.fencing import Identity
from harness.subject.reference.health import Held
from harness.subject.reference.manifest import Manifest
from harness.subject.reference.signing import Signer, Trust, split

THIEF = Signer(Ed25519PrivateKey.from_private_bytes(bytes(32)))
GOLDEN_VERIFY_KEY = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
NEXT = archive.manifest_key(3)


async def _archived(bench: Bench) -> bytes:
    """Archive two entries; return a third one, unsigned, that would take the tenant's note away."""
    bench.tape.snapshot(("app.tenant", tenant_row("acme")))
    await bench.archive()
    bench.tape.commit(insert("app.note", note_row(1, "acme")))
    await bench.archive()
    last = _body(bench, 2)
    entry = archive.decode_entry(last, key="")
    forged = msgspec.structs.replace(
        entry,
        seq=3,
        prev=archive.digest(last),
        start=entry.end,
        end=msgspec.structs.replace(entry.end, lsn=entry.end.lsn + 10),
        segment=None,
        globals=(archive.Global(kind="truncate", epoch=1, lsn=entry.end.lsn + 10, table="app.note"),),
        signature=None,
    )
    return archive.encode_entry(forged)


def _body(bench: Bench, seq: int) -> bytes:
    return bench.store.versions[archive.manifest_key(seq)][0][1]


def _forgeries(unsigned: bytes, second: bytes) -> dict[str, bytes]:
    """What somebody may put under the next entry's name; ``second`` is the true second entry."""
    return {
        "unsigned": unsigned,
        "re-signed": THIEF.sign(unsigned),
        "planted": b"planted",
        "empty": b"",
        "no base64": unsigned[:-1] + b',"signature":"?"}',
        "copied": second,
    }


async def _notes_and_problems(bench: Bench) -> tuple[int, tuple[str, ...]]:
    """Return how many notes a restore finds, and what verify says."""
    rows = await bench.rows("acme")
    return len(rows.get("app.note", [])), (await bench.verifier().verify()).problems


@pytest.mark.parametrize(
    ("forgery", "words"),
    [
        ("unsigned", "it is not signed"),
        ("re-signed", "not signed by this archive's archiver"),
        ("planted", "it is not signed"),
        ("empty", "it is not signed"),
        ("no base64", "it is not signed"),
        ("copied", "it is a copy of entry 2"),
    ],
)
def test_a_forged_next_entry_changes_nothing_that_a_restore_reads(forgery: str, words: str) -> None:
    """It is passed over and named."""

    async def scene(bench: Bench) -> tuple[int, tuple[str, ...]]:
        forgeries = _forgeries(await _archived(bench), _body(bench, 2))
        bench.store.add_version(NEXT, forgeries[forgery])
        return await _notes_and_problems(bench)

    notes, problems = virtually(scene)
    assert notes == 1
    assert len(problems) == 1
    assert NEXT in problems[0]
    assert words in problems[0]


def test_the_forged_entry_would_take_effect_on_a_reader_without_the_key() -> None:
    """So the tests above are no matter of course."""

    async def scene(bench: Bench) -> dict[str, object]:
        bench.store.add_version(NEXT, await _archived(bench))
        bench.trust = Trust()
        return dict(await bench.rows("acme"))

    assert "app.note" not in virtually(scene)


@pytest.mark.parametrize("key", ["man/000000000000", "man/0000000000015", "man/000000000001-x", "man/zzz"])
def test_objects_beside_the_entries_are_nobodys(key: str) -> None:
    """A name that no entry can have, before or between them, stops no reader."""

    async def scene(bench: Bench) -> tuple[int, tuple[str, ...]]:
        bench.store.add_version(key, await _archived(bench))
        return await _notes_and_problems(bench)

    assert virtually(scene) == (1, ())


@pytest.mark.parametrize("forgery", ["unsigned", "re-signed", "planted", "empty", "no base64", "copied"])
def test_a_planted_next_key_is_passed_over_by_the_archiver(forgery: str) -> None:
    """Its entry becomes the next version under that name, and every reader finds it there."""

    async def scene(bench: Bench) -> tuple[int, list[str], list[int]]:
        forgeries = _forgeries(await _archived(bench), _body(bench, 2))
        follower = Manifest(bench.store, bench.trust)
        for key in (NEXT, archive.manifest_key(4)):
            bench.store.add_version(key, forgeries[forgery])
        await follower.catch_up()
        for number in (2, 3, 4):
            bench.tape.commit(insert("app.note", note_row(number, "acme")))
            await bench.archive()
            await follower.catch_up()
        problems = (await bench.verifier().verify()).problems
        assert all("is refused" in problem for problem in problems)
        notes = (await bench.rows("acme"))["app.note"]
        return len(notes), sorted(follower.refused), [link.entry.seq for link in follower.links]

    assert virtually(scene) == (4, [NEXT, archive.manifest_key(4)], [1, 2, 3, 4, 5])


def test_a_planted_key_costs_no_more_in_an_old_archive_than_in_a_young_one() -> None:
    """The archiver reads on from its own last entry: to begin anew would hold up an old archive."""

    async def scene(bench: Bench) -> list[int]:
        forgery = await _archived(bench)
        read: list[int] = []
        for _ in range(2):
            archiver = bench.archiver()
            await archiver.resume()
            seq = archiver.last.entry.seq if archiver.last else 0
            bench.store.add_version(archive.manifest_key(seq + 1), forgery)
            before = bench.store.sent_bytes
            await _flushed(bench, archiver, 100)
            read.append(bench.store.sent_bytes - before)
            assert archiver.last is not None
            assert archiver.last.entry.seq == seq + 1
            assert archiver.health().watermark is not None
            for number in range(20):
                await _flushed(bench, archiver, 200 + number)
        return read

    young, old = virtually(scene)
    assert 0 < old < young + 200


async def _flushed(bench: Bench, archiver: Archiver, number: int) -> None:
    """Have one more transaction archived, by itself."""
    bench.tape.commit(insert("app.note", note_row(number, "acme")))
    for event in await bench.feed.read(limit=1_000, wait_s=0.0):
        archiver.take(event)
    await archiver.flush()


def test_a_name_taken_far_ahead_is_met_again_when_its_turn_comes() -> None:
    """A reader who refused it long ago looks under it for the true entry, also when it has to catch up."""

    async def scene(bench: Bench) -> list[int]:
        await _archived(bench)
        follower = Manifest(bench.store, bench.trust)
        bench.store.add_version(archive.manifest_key(4), b"planted")
        await follower.catch_up()
        for number in (2, 3, 4):
            bench.tape.commit(insert("app.note", note_row(number, "acme")))
            await bench.archive()
        await follower.catch_up()
        return [link.entry.seq for link in follower.links]

    assert virtually(scene) == [1, 2, 3, 4, 5]


def test_of_two_archivers_at_a_planted_key_only_one_writes_the_entry() -> None:
    """The oldest signed version counts, so the chain does not fork there either."""

    async def scene(bench: Bench) -> tuple[int, int]:
        bench.store.add_version(NEXT, await _archived(bench))
        first, second = bench.archiver(), bench.archiver(identity=Identity(writer="spare", take_over=True))
        bench.tape.commit(insert("app.note", note_row(2, "acme")))
        await first.resume()
        await second.resume()
        for event in await bench.feed.read(limit=1_000, wait_s=0.0):
            first.take(event)
        with pytest.raises(ArchiverStopped, match=r"archiver 'spare' .*took over"):
            await first.flush()
        manifest = Manifest(bench.store, bench.trust)
        await manifest.catch_up()
        return len(manifest.links), len(bench.store.versions[NEXT])

    assert virtually(scene) == (3, 2)


def test_two_signed_versions_after_a_planted_one_are_one_entry() -> None:
    """A retry whose first answer was lost writes the same bytes again; the older one is read."""

    async def scene(bench: Bench) -> tuple[int, bool]:
        bench.store.add_version(NEXT, await _archived(bench))
        bench.tape.commit(insert("app.note", note_row(2, "acme")))
        await bench.archive()
        planted, own = bench.store.versions[NEXT]
        bench.store.add_version(NEXT, own[1])
        bench.tape.commit(insert("app.note", note_row(3, "acme")))
        await bench.archive()
        manifest = Manifest(bench.store, bench.trust)
        await manifest.catch_up()
        assert planted[1] != own[1]
        return len(manifest.links), manifest.links[2].stored.version == own[0]

    assert virtually(scene) == (4, True)


def test_a_planted_schema_does_not_stop_the_archiver() -> None:
    """Whoever knows the DDL can guess its name; the version that is pinned is the archiver's own."""

    async def scene(bench: Bench) -> str:
        ddl = bench.source.ddl.encode()
        bench.store.add_version(archive.schema_key(1, archive.digest(ddl)), b"DROP TABLE everything")
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        await bench.archive()
        restorer = bench.restorer()
        await restorer.manifest.catch_up()
        return await restorer.ddl(restorer.manifest.links[-1].entry.db_schema)

    assert virtually(scene) == "CREATE TABLE ..."


def test_a_changed_entry_in_the_middle_is_refused_by_name() -> None:
    """Nothing is restored over it: what follows can't be vouched for."""

    async def scene(bench: Bench) -> tuple[str, int]:
        await _archived(bench)
        version, body = bench.store.versions[archive.manifest_key(1)][0]
        bench.store.versions[archive.manifest_key(1)][0] = (
            version,
            body.replace(b'"lsn":1010', b'"lsn":1009'),
        )
        manifest = Manifest(bench.store, bench.trust)
        with pytest.raises(ArchiveBroken) as broken:
            await manifest.catch_up()
        return broken.value.message, len(manifest.links)

    message, links = virtually(scene)
    assert "man/000000000001 can't be used, it was not signed by this archive's archiver" in message
    assert links == 0


def test_a_refused_object_is_read_once() -> None:
    """Whoever plants objects does not make a follower read them again and again."""

    async def scene(bench: Bench) -> list[int]:
        forged = await _archived(bench)
        bench.store.add_version(NEXT, forged)
        manifest = Manifest(bench.store, bench.trust)
        await manifest.catch_up()
        read = bench.store.sent_bytes
        await manifest.catch_up()
        return [len(manifest.refused), bench.store.sent_bytes - read]

    assert virtually(scene) == [1, 0]


def test_an_archive_from_before_signing_goes_on_signed() -> None:
    """Its old entries stay readable: by number at first, then vouched for by the first signed one."""

    async def scene(bench: Bench) -> list[int]:
        signer, trust = bench.signer, bench.trust
        assert signer is not None
        bench.signer, bench.trust = None, Trust()
        await _archived(bench)
        bench.signer, bench.trust = signer, Trust(signer.verify_key, unsigned_until=2)
        bench.tape.commit(insert("app.note", note_row(2, "acme")))
        await bench.archive()
        bench.trust = trust
        assert (await bench.verifier().verify()).ok
        return [len((await bench.rows("acme"))["app.note"])]

    assert virtually(scene) == [2]


def test_an_archive_without_any_signature_is_not_believed_by_who_knows_the_key() -> None:
    """Else whoever empties a bucket could begin it anew."""

    async def scene(bench: Bench) -> tuple[int, list[str]]:
        trust, bench.signer, bench.trust = bench.trust, None, Trust()
        await _archived(bench)
        manifest = Manifest(bench.store, trust)
        await manifest.catch_up()
        return len(manifest.links), sorted(manifest.refused.values())

    assert virtually(scene) == (0, ["it is not signed"] * 2)


def test_a_signed_entry_of_format_1_is_still_believed() -> None:
    """These bytes were written by the first version that signs; every later one must believe them."""
    key = archive.manifest_key(7)
    assert Trust(GOLDEN_VERIFY_KEY).objection(key, GOLDEN_SIGNED) is None
    unsigned, signature = split(GOLDEN_SIGNED)
    signer = Signer(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
    assert signature is not None
    assert signer.sign(unsigned) == GOLDEN_SIGNED
    assert archive.decode_entry(GOLDEN_SIGNED, key=key).signature == base64.b64encode(signature).decode()


def test_no_byte_of_a_signed_entry_can_be_changed_unseen() -> None:
    """Not even what a reader ignores."""
    trust = Trust(GOLDEN_VERIFY_KEY)
    for place in range(len(GOLDEN_SIGNED)):
        forged = GOLDEN_SIGNED[:place] + bytes([GOLDEN_SIGNED[place] ^ 1]) + GOLDEN_SIGNED[place + 1 :]
        assert trust.objection(archive.manifest_key(7), forged) is not None, place


def test_the_signing_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    """Whoever comes second takes the one that is there."""
    path = tmp_path / "keys" / "signing.pem"
    first = make_signing_key(path)
    assert make_signing_key(path).verify_key == read_signing_key(path).verify_key == first.verify_key
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_the_command_prints_what_readers_are_to_be_told(tmp_path: Path) -> None:
    """An archiver whose readers know another key, or none, is not started: they would not believe it."""
    required = [f.name for f in msgspec.structs.fields(ArchiveConfig) if f.required]
    fields = dict.fromkeys(required, "x") | {"signing_key_path": str(tmp_path / "signing.pem")}
    config = msgspec.convert(fields, ArchiveConfig)
    file = tmp_path / "archiver.json"
    file.write_text(encode_config(config))
    printed = process.key(file)
    for told in ("", THIEF.verify_key):
        with pytest.raises(BadInput, match="readers are told") as bad:
            signer_of(msgspec.structs.replace(config, verify_key=told))
        assert printed in bad.value.cure
    signer = signer_of(msgspec.structs.replace(config, verify_key=printed))
    assert signer is not None
    assert signer.verify_key == printed


def test_a_key_that_is_none_is_one_clear_error(tmp_path: Path) -> None:
    """With the command that makes or prints one."""
    with pytest.raises(BadInput, match="no Ed25519 public key"):
        Trust("bm8=")
    with pytest.raises(BadInput, match="can't be read"):
        read_signing_key(tmp_path / "none.pem")


GOLDEN_SIGNED = (
    b'{"format":1,"seq":7,"prev":"00000000000000000000000000000000000000000000000000000000000000'
    b'00","start":{"epoch":1,"lsn":1000},"end":{"epoch":1,"lsn":2000},"segment":null,"feed":{"fe'
    b'ed":"restoreproof@AA","next_offset":12},"schema":{"number":1,"key":"schema/1.sql","version'
    b'":"vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv","sha256":"000000000000000000000000000000000000000'
    b'0000000000000000000000000"},"epochs":[{"ordinal":1,"system_id":"7711066068629644130","time'
    b'line":1}],"beat":{"beat":5,"at":"2026-11-22T18:34:41.193159Z"},"signature":"Ka+4qxYSYqBlbY'
    b'CLWkZVkR2TUweD34moipbrGvsS1OKZDAwRQwi4aMMuAcnGV1BwBi07uu4QrSXGBFAXgaSpCg=="}'
)


def test_an_archiver_counts_what_it_holds_and_what_it_passed_over() -> None:
    """Its metrics say so, from its start on and with each entry."""

    async def scene(bench: Bench) -> list[Held]:
        bench.store.add_version(NEXT, await _archived(bench))
        archiver = bench.archiver()
        await archiver.resume()
        seen = [archiver.known.held]
        bench.tape.commit(insert("app.note", note_row(2, "acme")))
        seen.append((await bench.archive()).known.held)
        return seen

    assert virtually(scene) == [
        Held(entries=2, segments=2, refused=1),
        Held(entries=3, segments=3, refused=1),
    ]
