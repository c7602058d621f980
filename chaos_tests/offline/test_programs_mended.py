"""Debezium's mended class: the one place is found by its names, refused unless it is one, and put first."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import msgspec
import pytest

from harness.model.errors import MissingProgram
from harness.stack.programs import cache, download, located, mended, parts

NAMES = ("lastEventStoredLsn", "startStreamingLsn")
ANSWER = bytes.fromhex("2a b40000 c60007 04 a70004 03 ac")
"""As a compiler writes it; the index, at 2, is still to be filled in."""


def constants(*names: str) -> bytes:
    """Return a constant pool of four entries a name: the text, name and type, a long, what refers to it.

    A long takes two indices. So name number n is referred to by index 5 n + 5.
    """
    pool = b""
    for number, name in enumerate(names):
        first = 5 * number + 1
        pool += struct.pack(">BH", 1, len(name)) + name.encode()
        pool += struct.pack(">BHH", 12, first, first)
        pool += struct.pack(">Bq", 5, 7)
        pool += struct.pack(">BHH", 9, 1, first + 1)
    return struct.pack(">IHHH", 0xCAFEBABE, 0, 69, 5 * len(names) + 1) + pool


def answer(index: int) -> bytes:
    """Return the instructions with this index."""
    return ANSWER[:2] + struct.pack(">H", index) + ANSWER[4:]


def class_with(*codes: bytes) -> bytes:
    """Return a class file of the two names and these instructions, as far as it is looked at."""
    return constants(*NAMES) + b"\x2a\xb4".join((b"\0", *codes, b"\0"))


RIGHT = answer(5)
OTHER_FIELD = answer(10)


def test_the_answer_becomes_no_and_nothing_else_changes() -> None:
    """One byte differs."""
    published = class_with(OTHER_FIELD, RIGHT)
    result = mended.mend(published)
    place = published.index(RIGHT) + 7
    assert result == published[:place] + b"\x03" + published[place + 1 :]


@pytest.mark.parametrize(
    ("codes", "count"),
    [((), 0), ((OTHER_FIELD,), 0), ((RIGHT,), 1), ((RIGHT, RIGHT), 2)],
    ids=["none", "of another field", "one", "two"],
)
def test_a_class_without_exactly_one_such_place_is_refused(codes: tuple[bytes, ...], count: int) -> None:
    """Another version of Debezium is not mended by guesswork: the error says how many places there are."""
    published = class_with(*codes)
    if count == 1:
        assert mended.mend(published) != published
        return
    with pytest.raises(MissingProgram, match=f"is there {count} times, not once"):
        mended.mend(published)


def test_a_class_file_that_is_none_is_refused() -> None:
    """A constant of a kind that no JVM knows would make every later index mean something else."""
    broken = struct.pack(">IHHH", 0xCAFEBABE, 0, 69, 3) + b"\x63\0\0"
    with pytest.raises(MissingProgram, match="a constant of kind 99"):
        mended.mend(broken)


def test_a_result_other_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    """Another build of the class may be mended in the right place and still be another class."""
    with zipfile.ZipFile(tmp_path / "connector.jar", "w") as archive:
        archive.writestr(mended.CLASS, class_with(RIGHT))
    with pytest.raises(MissingProgram, match="has SHA-256"):
        mended.add_jar(tmp_path)
    assert not (tmp_path / mended.JAR).exists()


def test_a_plugin_without_the_class_is_refused(tmp_path: Path) -> None:
    """Nothing to mend is an error too, and says where it was looked for."""
    zipfile.ZipFile(tmp_path / "other.jar", "w").close()
    with pytest.raises(MissingProgram, match=r"no jar in .* holds io/debezium"):
        mended.add_jar(tmp_path)


def test_the_published_class_becomes_the_pinned_one_and_the_jar_is_the_same_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The jar holds that one class, with a time of its own that no clock gave."""
    published = class_with(RIGHT)
    with zipfile.ZipFile(tmp_path / "connector.jar", "w") as archive:
        archive.writestr(mended.CLASS, published)
    sample = tmp_path / "sample"
    sample.write_bytes(mended.mend(published))
    monkeypatch.setattr(mended, "SHA256", download.sha256(sample))
    mended.add_jar(tmp_path)
    first = (tmp_path / mended.JAR).read_bytes()
    (tmp_path / mended.JAR).unlink()
    mended.add_jar(tmp_path)
    assert (tmp_path / mended.JAR).read_bytes() == first
    with zipfile.ZipFile(tmp_path / mended.JAR) as made:
        assert made.namelist() == [mended.CLASS]
        assert made.read(mended.CLASS) == mended.mend(published)


def test_the_cached_plugin_holds_the_pinned_class_first_on_the_class_path() -> None:
    """What Connect loads on this machine is the mended class, and the versions say so."""
    programs = located.locate()
    first = programs.connect_jars[0]
    with zipfile.ZipFile(first) as made:
        assert mended.checked(made.read(mended.CLASS))
    assert programs.versions["debezium"] == "3.7.0.Final (WalPositionLocator mended)"
    assert mended.SHA256[:12] in programs.aot_dir.name


def test_debezium_as_published_has_its_own_class_path_and_caches() -> None:
    """To plant the defect: the very same programs but for the one jar."""
    programs = located.locate()
    published = located.with_published_debezium(programs)
    assert published.connect_jars == programs.connect_jars[1:]
    assert published.versions["debezium"] == "3.7.0.Final"
    assert published.aot_dir != programs.aot_dir
    same = {name: getattr(programs, name) for name in ("connect_jars", "aot_dir", "versions")}
    assert msgspec.structs.replace(published, **same) == programs


def test_another_mending_is_another_folder_of_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that was filled before is not mistaken for one with the mended class in it."""

    def folder() -> str:
        return next(part.folder.name for part in parts.pinned() if part.name == "debezium")

    before = folder()
    monkeypatch.setattr(mended, "SHA256", "f" * 64)
    assert folder() == before.replace(before.rsplit("-", 1)[1], "f" * 12)


def test_debezium_is_brought_with_the_mended_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The part fetches as ever, then adds the jar, and says in its record what was done."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    calls: list[str] = []

    def fetch_all(*_: object) -> list[Path]:
        calls.append("fetched")
        return []

    monkeypatch.setattr(parts, "_fetch_all", fetch_all)
    monkeypatch.setattr(mended, "add_jar", lambda tree: calls.append(f"mended {tree.name}"))
    part = next(part for part in parts.pinned() if part.name == "debezium")
    part.install(lambda _: None)
    assert calls == ["fetched", "mended tree"]
    assert cache.read_record(part.folder).version == "3.7.0.Final (WalPositionLocator mended)"
