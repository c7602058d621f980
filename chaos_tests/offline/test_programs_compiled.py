"""Classes of ours for Debezium are compiled at set-up, once Java and the jars that they name are there."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from harness.model.errors import MissingProgram
from harness.stack.programs import cache, children, compiled, located, parts, progress, setup

CLASS = "restoreproof/GoneTypes.class"
COMPILES = """#!/bin/sh
echo "$@" > said
while [ "$1" != -d ]; do shift; done
mkdir -p "$2/restoreproof" && echo compiled > "$2/restoreproof/GoneTypes.class"
"""
FAILS = "#!/bin/sh\necho 1 problem: GoneTypes is not abstract; exit 255\n"


@pytest.fixture(autouse=True)
def a_set_up_is_under_way() -> None:
    """One that was stopped in another test starts no compiler any more."""
    children.begin()


def bench(folder: Path, java: str) -> compiled.Bench:
    """A Java that is a script, and a folder of jars."""
    jars = folder / "jars"
    jars.mkdir()
    for name in ("connect-api-4.jar", "debezium-api-3.jar", "kafka-clients-4.jar", "other.jar"):
        (jars / name).touch()
    script = folder / "java"
    script.write_text(java.replace("> said", f"> {folder}/said"))
    script.chmod(0o755)
    return compiled.Bench(java=script, jars=(jars,))


def test_all_sources_go_into_one_jar_that_is_the_same_each_time(tmp_path: Path) -> None:
    """Compiled against what they name and nothing else; no clock gives its time."""
    made = bench(tmp_path, COMPILES)
    first, second = tmp_path / "first", tmp_path / "second"
    for tree in (first, second):
        tree.mkdir()
        compiled.compile_jar(tmp_path / "ecj.jar", made, tmp_path / f"scratch-{tree.name}", tree)
    assert (first / compiled.JAR).read_bytes() == (second / compiled.JAR).read_bytes()
    with zipfile.ZipFile(first / compiled.JAR) as archive:
        assert archive.namelist() == [CLASS]
        assert archive.getinfo(CLASS).date_time == (1980, 1, 1, 0, 0, 0)
    said = (tmp_path / "said").read_text().split()
    classpath = said[said.index("-classpath") + 1].split(":")
    assert [Path(jar).name for jar in classpath] == [
        *("connect-api-4.jar", "debezium-api-3.jar", "kafka-clients-4.jar")
    ]
    assert said[-1].endswith("java/restoreproof/GoneTypes.java")


def test_what_does_not_compile_is_refused_in_the_compilers_words(tmp_path: Path) -> None:
    """With other versions of the jars a class may lack a method; nothing is left of it."""
    with pytest.raises(MissingProgram, match="GoneTypes is not abstract") as caught:
        compiled.compile_jar(tmp_path / "ecj.jar", bench(tmp_path, FAILS), tmp_path / "scratch", tmp_path)
    assert "harness/stack/programs/java" in caught.value.cure
    assert not (tmp_path / compiled.JAR).exists()


def test_another_source_is_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what was compiled before is never taken for it."""
    before = compiled.version()
    source = tmp_path / "GoneTypes.java"
    source.write_bytes(compiled.sources()[0].read_bytes())
    monkeypatch.setattr(compiled, "SOURCES", tmp_path)
    assert compiled.version() == before
    source.write_bytes(source.read_bytes() + b"//")
    assert compiled.version() != before


def test_the_part_is_compiled_by_the_pinned_compiler_with_the_stacks_java(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the very Kafka and Debezium that are pinned; the record says by which compiler."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found: list[compiled.Bench] = []
    monkeypatch.setattr(parts, "_fetch_all", lambda *_: [tmp_path / "ecj.jar"])
    monkeypatch.setattr(compiled, "compile_jar", lambda _jar, bench, _scratch, _tree: found.append(bench))
    by_name = {part.name: part for part in parts.pinned()}
    part = by_name[compiled.NAME]
    part.install(lambda _: None)
    assert part.needs == ("java", "kafka", "debezium")
    assert found[0].java.is_relative_to(by_name["java"].folder)
    assert found[0].jars == (by_name["kafka"].folder, by_name["debezium"].folder)
    assert cache.read_record(part.folder).built_with == "ecj 3.43.0"


def test_what_needs_others_is_installed_after_them(tmp_path: Path) -> None:
    """Whatever the order in which they are named."""
    order: list[str] = []

    def part(name: str, *needs: str) -> parts.Part:
        return parts.Part(
            name=name,
            title=name,
            version="1",
            folder=tmp_path / name,
            needs=needs,
            fill=lambda _scratch, _tree, _note: order.append(name),
        )

    setup.bring((part("last", "first"), part("first")), progress.Silent())
    assert order == ["first", "last"]


def test_the_cached_jar_is_on_the_class_path_and_says_what_made_it() -> None:
    """What Connect loads on this machine; Java's ahead-of-time caches are those for it."""
    programs = located.locate()
    with zipfile.ZipFile(programs.connect_jars[1]) as archive:
        assert CLASS in archive.namelist()
    assert programs.versions[compiled.NAME] == f"{compiled.version()} (ecj 3.43.0)"
    assert compiled.version() in programs.aot_dir.name
