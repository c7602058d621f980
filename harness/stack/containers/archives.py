"""Files with owners and modes, as the engine takes them into a container and gives them out of one."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

import msgspec


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A user inside an image, by numbers: those are what a volume keeps."""

    uid: int = 0
    gid: int = 0


ROOT = User()


def packed(folder: str, files: Mapping[str, bytes], owner: User, *, mode: int = 0o600) -> bytes:
    """Return an archive of ``folder`` and of ``files`` in it (by relative path).

    ``mode``: of the files; who may read a file may enter its folders. By default all is the owner's alone.
    """
    enter = mode | (mode & 0o444) >> 2
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for place in folders_of(folder, files):
            archive.addfile(_member(place, owner, type=tarfile.DIRTYPE, mode=enter))
        for name, content in files.items():
            member = _member(f"{folder}/{name}", owner, size=len(content), mode=mode)
            archive.addfile(member, io.BytesIO(content))
    return written.getvalue()


def folders_of(folder: str, names: Iterable[str]) -> list[str]:
    """Return ``folder`` and those below it that hold one of the named files, each after what holds it."""
    below = {str(up) for name in names for up in PurePosixPath(name).parents if str(up) != "."}
    return [folder, *(f"{folder}/{place}" for place in sorted(below))]


def content_of(archive: bytes) -> bytes:
    """Return the content of the one file in an archive."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        for member in opened:
            file = opened.extractfile(member)
            if file is not None:
                return file.read()
    raise LookupError("the archive holds no file")


def user_in(passwd: str, name: str) -> User | None:
    """Return the user of that name in the text of an ``/etc/passwd``, or None."""
    for fields in (line.split(":") for line in passwd.splitlines()):
        if fields[0] == name and len(fields) > 3:
            return User(uid=int(fields[2]), gid=int(fields[3]))
    return None


def _member(path: str, owner: User, **changes: object) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path.lstrip("/"))
    member.uid, member.gid = owner.uid, owner.gid
    for name, value in changes.items():
        setattr(member, name, value)
    return member
