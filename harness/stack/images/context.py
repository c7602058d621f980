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
from pathlib import Path
from typing import IO

from harness.stack.images.recipes import Files


@contextmanager
def packed(folder: Path, files: Files) -> Iterator[IO[bytes]]:
    """Hold an archive, opened at its beginning, of the files in ``folder`` and of ``files``."""
    own = {path.name: path for path in folder.iterdir() if path.is_file()}
    with tempfile.TemporaryFile() as spooled:
        with tarfile.open(fileobj=spooled, mode="w") as archive:
            for name, path in sorted({**own, **files}.items()):
                archive.add(path.resolve(), arcname=name, recursive=False, filter=_owned_by_root)
        spooled.seek(0)
        yield spooled


@contextmanager
def only(dockerfile: str) -> Iterator[IO[bytes]]:
    """Hold an archive with nothing but a Dockerfile of this text."""
    member = tarfile.TarInfo("Dockerfile")
    member.size = len(dockerfile.encode())
    with io.BytesIO() as spooled:
        with tarfile.open(fileobj=spooled, mode="w") as archive:
            archive.addfile(member, io.BytesIO(dockerfile.encode()))
        spooled.seek(0)
        yield spooled


def _owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mode = 0o755 if member.mode & 0o100 else 0o644
    return member
