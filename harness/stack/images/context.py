"""What is sent to the engine for one build: a tar archive with the Dockerfile and the files that go in.

Times are kept, since the JVM compares those of jars with what it noted in its ahead-of-time caches. Owner
is root and every file may be read by all, since services in containers run as other users.
"""

from __future__ import annotations

import io
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from harness.stack.images import labels
from harness.stack.images.recipes import Recipe

DOCKERFILE = "Dockerfile"


@contextmanager
def packed(recipe: Recipe) -> Iterator[IO[bytes]]:
    """Hold an archive, opened at its beginning: the recipe's folder, Dockerfile marked, and its files."""
    beside = {path.name: path for path in recipe.folder.iterdir() if path.name != DOCKERFILE}
    with tempfile.TemporaryFile() as spooled:
        with tarfile.open(fileobj=spooled, mode="w") as archive:
            _add_text(archive, marked((recipe.folder / DOCKERFILE).read_text(), recipe.name))
            for name, path in sorted({**beside, **recipe.files}.items()):
                archive.add(path.resolve(), arcname=name, recursive=False, filter=_owned_by_root)
        spooled.seek(0)
        yield spooled


def marked(dockerfile: str, name: str) -> str:
    """Return the text with a label after its FROM, by which what a build leaves unfinished is known."""
    lines = dockerfile.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("FROM "))
    label = f'LABEL {labels.BUILDER}="{labels.builder(name)}"'
    return "\n".join([*lines[: first + 1], label, *lines[first + 1 :]]) + "\n"


@contextmanager
def only(dockerfile: str) -> Iterator[IO[bytes]]:
    """Hold an archive with nothing but a Dockerfile of this text."""
    with io.BytesIO() as spooled:
        with tarfile.open(fileobj=spooled, mode="w") as archive:
            _add_text(archive, dockerfile)
        spooled.seek(0)
        yield spooled


def _add_text(archive: tarfile.TarFile, dockerfile: str) -> None:
    member = tarfile.TarInfo(DOCKERFILE)
    member.size = len(dockerfile.encode())
    archive.addfile(member, io.BytesIO(dockerfile.encode()))


def _owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mode = 0o755 if member.mode & 0o100 else 0o644
    return member
