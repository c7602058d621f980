"""The set-up: a wrong file is refused by name, nothing is there by halves, a second run fetches nothing.

Fakes stand where pip, the Maven resolver and Go would be; no test here reaches the network.
"""

from __future__ import annotations

import io
import os
import re
import tarfile
import threading
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from harness.model.errors import MissingProgram
from harness.stack.processes import start_ticks
from harness.stack.programs import cache, children, download, golang, located, parts, pins, progress, setup
from harness.stack.wait import wait_until

REPOSITORY = Path(__file__).parents[2]
WHOLE = b"the file that was pinned"
PIN = pins.Wheel(
    program="thing",
    name="a-thing",
    version="1.0",
    file="a_thing-1.0.whl",
    size_bytes=len(WHOLE),
    sha256="09e19d49f0871cf3d2a2a2cca3bcfa1bd9be6e9a9ad8d5cbcd0ac27c0d3ee9b1",
)


def served(*bodies: bytes) -> download.Fetch:
    """Return a registry that serves these bodies one after the other."""
    left = list(bodies)

    def fetch_one(pin: pins.Pin, into: Path, _fresh: bool) -> Path:
        into.mkdir(parents=True)
        path = into / pin.file
        path.write_bytes(left.pop(0))
        return path

    return fetch_one


def pin_of(body: bytes, into: Path) -> pins.Wheel:
    """Return the pin of a file with this body."""
    sample = into / "sample"
    sample.write_bytes(body)
    return msgspec.structs.replace(PIN, size_bytes=len(body), sha256=download.sha256(sample))


def unheard(_text: str) -> None:
    """Listen to no note."""


def part_in(folder: Path, fill: Callable[[Path, Path, parts.Note], None]) -> parts.Part:
    """Return a part of this folder that ``fill`` brings."""
    return parts.Part(name="thing", title="a thing", version="1.0", folder=folder / "thing", fill=fill)


def one_file(_scratch: Path, tree: Path, _note: parts.Note) -> None:
    """Bring one program."""
    (tree / "program").write_bytes(WHOLE)


@pytest.mark.parametrize(
    ("broken", "seen"),
    [(WHOLE[:-1], "23 bytes, the pinned one has 24"), (WHOLE.upper(), "has SHA-256")],
    ids=["truncated", "other content"],
)
def test_a_broken_download_is_refused_by_name_and_fetched_again(
    tmp_path: Path, broken: bytes, seen: str
) -> None:
    """The first body is wrong: it is named, deleted, and the second one is taken."""
    notes: list[str] = []
    pin = pin_of(WHOLE, tmp_path)
    path = download.fetch(pin, tmp_path / "d", notes.append, served(broken, WHOLE))
    assert path.read_bytes() == WHOLE
    assert len(notes) == 1
    assert "refused: a_thing-1.0.whl" in notes[0]
    assert seen in notes[0]
    assert [file.name for file in (tmp_path / "d").rglob("*.whl")] == ["a_thing-1.0.whl"]


def test_a_download_that_is_broken_twice_ends_with_its_name_and_a_cure(tmp_path: Path) -> None:
    """Two wrong bodies end the set-up, and neither stays on disk."""
    with pytest.raises(MissingProgram, match=r"a-thing 1\.0 could not be fetched: a_thing-1\.0") as caught:
        download.fetch(pin_of(WHOLE, tmp_path), tmp_path / "d", unheard, served(b"x", b"y"))
    assert "make setup" in caught.value.cure
    assert list((tmp_path / "d").rglob("*.whl")) == []


def test_the_second_attempt_goes_past_every_cache(tmp_path: Path) -> None:
    """A cache that holds the broken file must not serve it again."""
    asked: list[bool] = []
    serve = served(b"broken", WHOLE)

    def fetch_one(pin: pins.Pin, into: Path, fresh: bool) -> Path:
        asked.append(fresh)
        return serve(pin, into, fresh)

    download.fetch(pin_of(WHOLE, tmp_path), tmp_path / "d", unheard, fetch_one)
    assert asked == [False, True]


def test_a_second_setup_fetches_nothing(tmp_path: Path) -> None:
    """What is there and unchanged is not brought again."""
    brought: list[Path] = []

    def fill(scratch: Path, tree: Path, note: parts.Note) -> None:
        brought.append(tree)
        one_file(scratch, tree, note)

    part = part_in(tmp_path, fill)
    for _ in range(2):
        setup.bring([part], progress.Silent())
    assert len(brought) == 1
    assert (part.folder / "program").read_bytes() == WHOLE


def test_two_setups_at_once_fetch_once(tmp_path: Path) -> None:
    """The second one waits, says so, and finds everything there."""
    started, told = threading.Event(), threading.Event()
    brought: list[Path] = []

    class Told(progress.Silent):
        def note(self, name: str, text: str) -> None:
            del name, text
            told.set()

    def fill(scratch: Path, tree: Path, note: parts.Note) -> None:
        brought.append(tree)
        started.set()
        assert told.wait(10), "the other set-up never said that it waits"
        one_file(scratch, tree, note)

    part = part_in(tmp_path, fill)
    first = threading.Thread(target=setup.bring, args=([part], progress.Silent()))
    first.start()
    assert started.wait(10)
    setup.bring([part], Told())
    first.join(10)
    assert len(brought) == 1
    assert cache.fault(part.folder) == ""


def test_a_failed_install_leaves_what_was_there(tmp_path: Path) -> None:
    """A program appears whole or not at all, and scratch folders go with the failure."""
    part_in(tmp_path, one_file).install(unheard)

    def fail(_scratch: Path, tree: Path, _note: parts.Note) -> None:
        (tree / "half").touch()
        raise MissingProgram("no network")

    with pytest.raises(MissingProgram):
        part_in(tmp_path, fail).install(unheard)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["thing"]
    assert cache.fault(tmp_path / "thing") == ""


def test_what_a_killed_setup_left_is_removed_by_the_next(tmp_path: Path) -> None:
    """Scratch folders never pile up."""
    (tmp_path / f"{cache.SCRATCH}thing-x" / "tree").mkdir(parents=True)
    setup.bring([part_in(tmp_path, one_file)], progress.Silent())
    assert list(tmp_path.glob(f"{cache.SCRATCH}*")) == []


def test_a_changed_file_is_found_and_brought_again(tmp_path: Path) -> None:
    """A file with another content, or gone, makes its program missing."""
    part = part_in(tmp_path, one_file)
    part.install(unheard)
    program = part.folder / "program"
    program.write_bytes(WHOLE.upper())
    assert str(program) in cache.fault(part.folder)
    setup.bring([part], progress.Silent())
    assert program.read_bytes() == WHOLE
    program.unlink()
    assert str(program) in cache.fault(part.folder)


def test_only_a_deep_look_sees_a_change_that_kept_size_and_time(tmp_path: Path) -> None:
    """The cheap look compares size and time; the deep one hashes; a new time alone is no fault."""
    part = part_in(tmp_path, one_file)
    part.install(unheard)
    program = part.folder / "program"
    before = program.stat()
    os.utime(program, (1, 1))
    assert cache.fault(part.folder) == ""
    program.write_bytes(WHOLE.upper())
    os.utime(program, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert cache.fault(part.folder) == ""
    assert str(program) in cache.fault(part.folder, deep=True)


def test_what_is_fetched_again_has_the_time_that_it_had_before(tmp_path: Path) -> None:
    """The JVM takes an ahead-of-time cache, of this machine or an image, only for jars of the same time."""

    def fill(_scratch: Path, tree: Path, _note: parts.Note) -> None:
        (tree / "jar").touch()
        os.utime(tree / "jar", (len(times), len(times)))

    times: list[float] = []
    for _ in range(2):
        part_in(tmp_path, fill).install(unheard)
        times.append((tmp_path / "thing" / "jar").stat().st_mtime)
    assert times == [cache.FILE_TIME_S, cache.FILE_TIME_S]


def test_programs_are_readable_for_everybody_whatever_the_umask(tmp_path: Path) -> None:
    """An unprivileged Postgres must be able to read and run them."""

    def fill(_scratch: Path, tree: Path, _note: parts.Note) -> None:
        (tree / "bin").mkdir(mode=0o700)
        (tree / "bin" / "run").touch(mode=0o700)
        (tree / "data").touch(mode=0o600)

    part_in(tmp_path, fill).install(unheard)
    modes = {
        name: (tmp_path / "thing" / name).stat().st_mode & 0o777 for name in (".", "bin", "bin/run", "data")
    }
    assert modes == {".": 0o755, "bin": 0o755, "bin/run": 0o755, "data": 0o644}


def test_root_keeps_postgres_where_others_can_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache below a closed home is not good enough for a user other than root."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    assert cache.public_root() == cache.PUBLIC_ROOT
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert cache.public_root() == home / "restoreproof"


def test_missing_programs_are_all_named_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an empty cache one error names each program and says what to do."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(cache, "PUBLIC_ROOT", tmp_path)
    with pytest.raises(MissingProgram) as caught:
        located.locate()
    for name in ("postgres", "java", "kafka", "debezium", "minio", "toxiproxy"):
        assert name in caught.value.message
    assert "make setup" in caught.value.cure
    assert caught.value.exit_code == 64


def test_each_pinned_file_has_name_size_and_hash() -> None:
    """The list is complete: nothing could be downloaded that is not checked."""
    listed = pins.load()
    assert {pin.program for pin in listed} == {
        *("postgres", "java", "faketime", "go", "kafka"),
        *("debezium", "losing-debezium", "ecj"),
    }
    for pin in listed:
        assert re.fullmatch(r"[0-9a-f]{64}", pin.sha256), pin.name
        assert pin.size_bytes > 0, pin.name
        assert pin.version in pin.file, pin.name
    assert len({pin.file for pin in listed}) == len(listed)


def test_kafka_is_pinned_in_one_version() -> None:
    """Broker, Connect and tools must come from one release."""
    versions = {
        pin.version
        for pin in pins.of("kafka")
        if isinstance(pin, pins.Maven) and pin.group == "org.apache.kafka"
    }
    assert versions == {"4.3.1"}


@pytest.mark.parametrize("program", [golang.MINIO, golang.TOXIPROXY], ids=lambda program: program.name)
def test_go_programs_are_pinned_to_the_source(program: golang.GoProgram) -> None:
    """go.mod demands a version, and go.sum holds the hash of exactly that module."""
    sums = (program.folder / "go.sum").read_text(encoding="utf-8")
    assert f"{program.module} {program.version} h1:" in sums
    assert program.go_min >= (1, 24)


@pytest.mark.parametrize(
    ("machine", "version", "ours"),
    [(None, "1.27.3", True), ("1.19.8", "1.27.3", True), ("1.30.1", "1.30.1", False)],
    ids=["no Go", "too old", "new enough"],
)
def test_the_machines_go_builds_when_it_is_new_enough(
    monkeypatch: pytest.MonkeyPatch, machine: str | None, version: str, ours: bool
) -> None:
    """Otherwise the pinned one does; the choice alone fetches nothing."""
    found = None if machine is None else (Path("/usr/bin/go"), machine)
    monkeypatch.setattr(golang, "on_machine", lambda: found)

    def never(part: parts.Part) -> None:
        pytest.fail(f"{part.name} was fetched")

    compiler = parts.compiler(never)
    assert (compiler.version, compiler.ours) == (version, ours)
    assert all(compiler.version in part.folder.name for part in parts.built(compiler))


def test_the_pinned_go_is_fetched_once_for_both_builds() -> None:
    """Whoever asks first fetches; the other one waits for it."""
    fetched: list[int] = []

    def provide() -> Path:
        fetched.append(1)
        return Path("/go")

    compiler = golang.Compiler("1.27.3", provide, ours=True)
    threads = [threading.Thread(target=compiler.path) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert fetched == [1]


def test_a_pipe_is_told_sizes_times_and_failures_in_plain_lines() -> None:
    """Without a terminal there is a line for each start and end, and no control character."""
    written = io.StringIO()
    job = progress.Job(name="thing", title="a thing 1.0", expected_bytes=13_600_000, measure=lambda: 0)
    with progress.Lines(written) as watcher:
        with progress.watched(watcher, job, lambda: 38_000_000):
            pass
        with pytest.raises(MissingProgram), progress.watched(watcher, job, lambda: 0):
            raise MissingProgram("no network")
    lines = written.getvalue().splitlines()
    assert lines[0].split() == ["thing", "a", "thing", "1.0", "(13.6", "MB)"]
    assert re.fullmatch(r"  thing +ready, 38\.0 MB, 0\.\d s", lines[1])
    assert re.fullmatch(r"  thing +failed after 0\.\d s: no network", lines[3])
    assert all(line.isprintable() for line in lines)


def test_every_requirement_in_the_lock_has_a_hash_and_no_address() -> None:
    """pip refuses a requirement without a hash; an address would bind us to one registry."""
    text = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    requirements = re.split(r"\n(?=\S)", text.strip())
    assert len(requirements) > 40
    for requirement in requirements:
        assert re.match(r"[a-z0-9.-]+==\S+", requirement), requirement.splitlines()[0]
        assert "--hash=sha256:" in requirement, requirement.splitlines()[0]
    assert "://" not in text


def test_the_lock_holds_every_direct_dependency() -> None:
    """What pyproject.toml asks for, at run time and for development, is locked."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    asked = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    names = {re.split(r"[\[<>=!~ ]", requirement)[0].lower() for requirement in asked}
    text = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    locked = set(re.findall(r"^([a-z0-9.-]+)==", text, re.MULTILINE))
    assert names <= locked


def test_a_child_past_its_limit_is_killed_with_its_own_children(tmp_path: Path) -> None:
    """A compiler that hangs can't hold the set-up, nor stay behind."""
    mark = tmp_path / "pid"
    done = children.run(["sh", "-c", f"sleep 60 & echo $! > {mark}; wait"], limit_s=0.5)
    assert done.code < 0
    assert "killed after" in done.last_words
    wait_until("the grandchild is gone", lambda: start_ticks(int(mark.read_text())) is None, limit_s=10)


def test_a_stopped_setup_ends_its_children_and_starts_no_more(tmp_path: Path) -> None:
    """One failure, or a signal, ends what runs beside it at once."""

    def hang(_scratch: Path, _tree: Path, _note: parts.Note) -> None:
        children.run(["sleep", "60"], limit_s=60)

    def fail(_scratch: Path, _tree: Path, _note: parts.Note) -> None:
        raise MissingProgram("no network")

    hanging = part_in(tmp_path / "a", hang)
    with pytest.raises(MissingProgram):
        setup.bring([hanging, part_in(tmp_path / "b", fail)], progress.Silent())
    with pytest.raises(children.Stopped):
        children.run(["true"], limit_s=10)
    setup.bring([part_in(tmp_path / "c", one_file)], progress.Silent())
    assert cache.fault(hanging.folder) != ""


def test_a_wheel_is_unpacked_with_its_modes(tmp_path: Path) -> None:
    """What its maker could run can be run; everything else can only be read."""
    tree = tmp_path / "tree"
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as archive:
        for name, mode in (("bin/run", 0o100755), ("data", 0o100644)):
            member = zipfile.ZipInfo(name)
            member.external_attr = mode << 16
            archive.writestr(member, WHOLE)
    parts.unzip(tmp_path / "a.whl", tree)
    assert (tree / "bin/run").stat().st_mode & 0o777 == 0o755
    assert (tree / "data").stat().st_mode & 0o777 == 0o644
    assert not (tmp_path / "a.whl").exists()


@pytest.mark.parametrize("filters", [True, False], ids=["with filters", "Python 3.11.2"])
def test_a_plugin_is_unpacked_by_every_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filters: bool
) -> None:
    """Python before 3.11.4 knows no filters, 3.12 warns without one, 3.14 has another default."""
    (tmp_path / "a.jar").write_bytes(WHOLE)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "a.jar", "plugin/a.jar")
    if not filters:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    parts.untar(tmp_path / "a.tar.gz", tmp_path / "tree")
    assert (tmp_path / "tree/plugin/a.jar").read_bytes() == WHOLE
