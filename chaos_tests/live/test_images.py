"""Images of the containers host: what is in them, when they are built again, and what replaces them."""

from __future__ import annotations

import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from harness.model.errors import BadInput, MissingProgram
from harness.stack import doctor_engine, images, settings
from harness.stack.images import base, build, context, engine, labels, outdated, recipes
from harness.stack.owner import this_process
from harness.stack.owner_labels import OWNER
from harness.stack.programs import Programs, locate
from harness.stack.programs.children import Stopped
from harness.stack.together import StepSeen, silent
from harness.stack.wait import wait_until

pytestmark = [pytest.mark.live, pytest.mark.containers]

ALL_BYTES_MAX = 700_000_000
POSTGRES_PROGRAMS = ("postgres", "initdb", "pg_basebackup", "pg_ctl", "pg_rewind", "pg_dump", "psql")


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """A connection to the engine."""
    with engine.connected() as connection:
        yield connection


@pytest.fixture(scope="module")
def programs() -> Programs:
    """The programs of the local host."""
    return locate()


@pytest.fixture(scope="module")
def built(programs: Programs) -> dict[images.ImageName, images.Image]:
    """All images of ours."""
    return images.ensure({}, silent, programs)


@pytest.fixture(scope="module")
def debian(client: Any, built: dict[images.ImageName, images.Image]) -> str:
    """The base, which may be gone although images stand on it: another checkout's builds remove ours."""
    assert built
    return base.bring(client, threading.Event())


@pytest.fixture
def made(client: Any) -> Iterator[list[str]]:
    """References of images that a test made; they are removed after it."""
    references: list[str] = []
    yield references
    for reference in references:
        client.images.remove(reference, force=True)


def _make(client: Any, made: list[str], dockerfile: str) -> str:
    """Build an image of a Dockerfile alone, under a name of its own."""
    reference = f"restoreproof-test/{uuid.uuid4().hex[:8]}:1"
    with context.only(dockerfile) as packed:
        client.images.build(fileobj=packed, custom_context=True, tag=reference, rm=True, forcerm=True)
    made.append(reference)
    return reference


def _calling_itself(version: str) -> str:
    return f"RUN printf '#!/bin/sh\\necho \"{version}\"\\n' > /bin/postgres && chmod +x /bin/postgres\n"


def test_what_is_current_is_not_built_again(built: dict[images.ImageName, images.Image]) -> None:
    """A second call finds the same images and tells of no step."""
    told: list[StepSeen] = []
    assert images.ensure({}, told.append) == built
    assert images.locate({}) == built
    assert told == []


def test_the_command_lists_what_is_there_and_builds_nothing(
    built: dict[images.ImageName, images.Image],
) -> None:
    """What ``make images`` runs says nothing of a build when there is none."""
    done = subprocess.run(
        [sys.executable, "-m", "harness.stack.make_images"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert [line for line in lines if "building" in line] == []
    for image in built.values():
        assert [line for line in lines if image.name in line and image.reference in line]
    assert "complete" in lines[-1]


def test_images_carry_labels_and_versions(built: dict[images.ImageName, images.Image]) -> None:
    """The version of each program is there, and of every Debian package that Postgres came with."""
    assert set(built) == set(images.IMAGE_NAMES)
    for name, image in built.items():
        assert image.own
        assert image.id.startswith("sha256:")
        assert {"debian", name} <= set(image.versions)
    assert built["postgres"].postgres_major == 17
    assert built["postgres"].versions["postgresql-17"].startswith(built["postgres"].versions["postgres"])
    assert {"kafka", "debezium", "converters"} <= set(built["java"].versions)


def test_all_images_together_stay_small(
    client: Any, debian: str, built: dict[images.ImageName, images.Image]
) -> None:
    """What they share is counted once."""
    shared = client.images.get(debian).attrs["Size"]
    assert shared + sum(image.size_bytes - shared for image in built.values()) < ALL_BYTES_MAX


@pytest.mark.parametrize("program", POSTGRES_PROGRAMS)
def test_programs_of_postgres_run_by_their_plain_names(
    client: Any, built: dict[images.ImageName, images.Image], program: str
) -> None:
    """No library is missing, and all are of one version."""
    image = built["postgres"]
    assert f" {image.versions['postgres']}" in engine.output_of(
        client, image.reference, [program, "--version"]
    )


def test_every_library_of_postgres_finds_what_it_needs(
    client: Any, built: dict[images.ImageName, images.Image]
) -> None:
    """Packages are unpacked without their dependencies, so a missing one would show only on use."""
    search = "find /usr/lib/postgresql -type f \\( -path '*/bin/*' -o -name '*.so' \\) -exec ldd {} +"
    said = engine.output_of(
        client, built["postgres"].reference, ["sh", "-c", f"{search} 2>/dev/null || true"]
    )
    assert "libpq.so.5" in said
    assert [line for line in said.splitlines() if "not found" in line] == []


def test_postgres_starts_as_its_own_user(client: Any, built: dict[images.ImageName, images.Image]) -> None:
    """The image's user is ``postgres``, uid 999, and can make a cluster that answers."""
    script = (
        "id -u; initdb -D /tmp/data -A trust -E UTF8 --locale=C --no-sync >/dev/null"
        " && postgres --single -D /tmp/data postgres <<< 'SELECT 42 AS answer' | grep -o 'answer = .42.'"
    )
    said = engine.output_of(client, built["postgres"].reference, ["bash", "-c", script])
    assert said.split("\n") == ["999", 'answer = "42"']


def test_jars_keep_place_size_and_time_inside_the_image(
    client: Any, built: dict[images.ImageName, images.Image], programs: Programs
) -> None:
    """The JVM compares all three before it takes an ahead-of-time cache."""
    jars = {images.jar_in_image(jar, programs): jar.stat() for jar in programs.connect_jars}
    said = engine.output_of(client, built["java"].reference, ["stat", "-c", "%n %s %Y", *jars])
    found = {name: (int(size), int(time)) for name, size, time in map(str.split, said.splitlines())}
    assert found == {name: (seen.st_size, int(seen.st_mtime)) for name, seen in jars.items()}


@pytest.mark.parametrize("program", ["broker", "connect"])
def test_java_takes_the_caches_recorded_outside(
    client: Any, built: dict[images.ImageName, images.Image], programs: Programs, program: str
) -> None:
    """With ``AOTMode=on`` the JVM ends rather than go on without its cache."""
    [cache, *_] = images.java_options(built["java"], programs)[program]
    jars = programs.broker_jars if program == "broker" else programs.connect_jars
    class_path = ":".join(images.jar_in_image(jar, programs) for jar in jars)
    options = ("-XX:AOTMode=on", cache, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xlog:disable")
    said = engine.output_of(
        client, built["java"].reference, ["java", *options, "-cp", class_path, "kafka.Kafka", "--version"]
    )
    assert built["java"].versions["kafka"] in said


def test_a_cache_that_does_not_fit_would_be_seen(
    client: Any, built: dict[images.ImageName, images.Image], programs: Programs
) -> None:
    """The check above can fail: with another class path the JVM refuses the cache."""
    [cache, *_] = images.java_options(built["java"], programs)["broker"]
    jar = next(jar for jar in programs.connect_jars if jar not in programs.broker_jars)
    command = ["java", "-XX:AOTMode=on", cache, "-cp", images.jar_in_image(jar, programs), "Nothing"]
    with pytest.raises(BadInput, match="AOT cache"):
        engine.output_of(client, built["java"].reference, command)


def test_another_build_of_postgres_takes_the_place_of_ours(
    client: Any, built: dict[images.ImageName, images.Image], made: list[str]
) -> None:
    """It is found by its name, asked for its version, and marked as not ours."""
    theirs = _make(client, made, f"FROM {built['postgres'].reference}\nENV BUILD=theirs\n")
    found = images.ensure({"postgres": theirs}, silent)
    assert (found["postgres"].reference, found["postgres"].own) == (theirs, False)
    assert found["postgres"].id != built["postgres"].id
    assert found["postgres"].postgres_major == 17
    assert {name: found[name] for name in found if name != "postgres"} == {
        name: built[name] for name in built if name != "postgres"
    }


def test_a_postgres_too_old_is_refused(
    client: Any,
    built: dict[images.ImageName, images.Image],
    made: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its version is read in the image itself, whatever its tag says; the doctor says the same."""
    dockerfile = f"FROM {built['minio'].reference}\n" + _calling_itself("postgres (PostgreSQL) 14.19")
    theirs = _make(client, made, dockerfile)
    with pytest.raises(BadInput, match=r"holds Postgres 14\.19") as refused:
        images.ensure({"postgres": theirs}, silent)
    assert "15 to 18" in refused.value.cure
    (tmp_path / settings.FILE).write_text(f'[images]\npostgres = "{theirs}"\n')
    monkeypatch.chdir(tmp_path)
    findings = {finding.subject: finding for finding in doctor_engine.check_engine(False)}
    assert findings["image postgres"].state == "fault"
    assert "14.19" in findings["image postgres"].text


def test_an_image_without_the_program_is_refused(
    client: Any, built: dict[images.ImageName, images.Image]
) -> None:
    """The error names program and image, and the container that was to run it is gone."""
    ours = {"label": f"{OWNER}={this_process()}", "ancestor": built["minio"].id}
    before = client.containers.list(all=True, filters=ours)  # of stacks that other tests share
    with pytest.raises(BadInput, match="toxiproxy --version"):
        images.locate({"toxiproxy": built["minio"].reference})
    assert client.containers.list(all=True, filters=ours) == before


def test_an_image_that_nobody_has_is_one_error(built: dict[images.ImageName, images.Image]) -> None:
    """It is pulled once, and the engine's refusal is passed on with a cure."""
    assert built
    with pytest.raises(MissingProgram, match="can't be pulled") as refused:
        images.ensure({"minio": "127.0.0.1:1/nobody/minio:1"}, silent)
    assert "[images]" in refused.value.cure


def _toy(folder: Path, name: str, digest: str, dockerfile: str) -> recipes.Recipe:
    """Return a recipe of a name that no other test uses, with a program that says its version."""
    folder.mkdir(exist_ok=True)
    says_its_version = f"RUN printf '#!/bin/sh\\necho 1\\n' > /bin/{name} && chmod +x /bin/{name}\n"
    text = "ARG BASE\nFROM ${BASE}\n" + says_its_version + dockerfile
    (folder / "Dockerfile").write_text(text)
    return recipes.Recipe(
        name=cast("images.ImageName", name), folder=folder, files={}, digest=digest, versions={}
    )


@pytest.fixture
def toy_name(client: Any, debian: str) -> Iterator[str]:
    """The name of an image that is removed after the test, with every version of it."""
    assert debian
    name = f"toy{uuid.uuid4().hex[:8]}"
    yield name
    for image in client.images.list(name=images.repository(name)):
        client.images.remove(image.id, force=True)


def _left_of(client: Any, name: str) -> list[str]:
    """Return the images without a name that builds of the image ``name`` left, finished or not."""
    dangling = client.images.list(filters={"dangling": True})
    return [image.id for image in dangling if image.labels.get(labels.BUILDER, "").endswith(f" {name}")]


def _tags(client: Any, name: str) -> list[str]:
    return sorted(tag for image in client.images.list(name=images.repository(name)) for tag in image.tags)


def test_a_rebuilt_image_removes_the_one_before_it_unless_it_is_used(
    client: Any, toy_name: str, tmp_path: Path
) -> None:
    """Nothing piles up, and no container loses its image."""
    first, second, third = (_toy(tmp_path / digest, toy_name, digest, "") for digest in "abc")
    build.build(first, threading.Event())
    build.build(second, threading.Event())
    assert _tags(client, toy_name) == [second.reference]
    user = client.containers.create(second.reference, labels={OWNER: str(this_process())})
    build.build(third, threading.Event())
    user.remove()
    assert _tags(client, toy_name) == [second.reference, third.reference]


def test_a_build_that_fails_says_where(client: Any, toy_name: str, tmp_path: Path) -> None:
    """The error carries the last words of the build, and its finished steps are not left."""
    broken = _toy(tmp_path / "a", toy_name, "a", "RUN echo the mirror is gone && exit 7\n")
    with pytest.raises(MissingProgram, match="the mirror is gone") as refused:
        build.build(broken, threading.Event())
    assert toy_name in str(refused.value)
    assert refused.value.cure
    assert _left_of(client, toy_name) == []


def test_a_build_ends_when_told_to(client: Any, toy_name: str, tmp_path: Path) -> None:
    """Another image failed, or somebody pressed Ctrl-C."""
    stopping = threading.Event()
    stopping.set()
    with pytest.raises(Stopped):
        build.build(_toy(tmp_path / "a", toy_name, "a", ""), stopping)
    assert _tags(client, toy_name) == []


KILLED = """
import sys, threading
from pathlib import Path
from harness.stack.images import build, recipes
name, folder = sys.argv[1:]
build.build(
    recipes.Recipe(name=name, folder=Path(folder), files={}, digest="a", versions={}), threading.Event()
)
"""


def test_what_a_killed_builder_left_is_swept(client: Any, toy_name: str, tmp_path: Path) -> None:
    """SIGKILL leaves no time to clean up: the next build does it."""
    slow = _toy(tmp_path / "a", toy_name, "a", "RUN sleep 60\n")
    builder = subprocess.Popen([sys.executable, "-c", KILLED, toy_name, str(slow.folder)])
    try:
        wait_until("a step of the build is done", lambda: bool(_left_of(client, toy_name)), limit_s=60)
    finally:
        builder.kill()
        builder.wait(timeout=10)

    def swept() -> bool:
        outdated.sweep(client)
        return not _left_of(client, toy_name)

    wait_until("the engine gave up and all is swept", swept, limit_s=60)
    assert _tags(client, toy_name) == []
