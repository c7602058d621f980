"""The user's cache: a folder for each program, there whole or not at all, with a record of its files.

A program is filled in a scratch folder, made readable for everybody, recorded (size, time and SHA-256
of each file) and renamed to its place. A later use compares sizes and times only, which takes
milliseconds; a file whose time differs is hashed again, and ``deep`` hashes them all.

Every file gets the same time. The JVM compares the times of jars with those in its ahead-of-time caches,
here and inside images: what was fetched again must not differ from what was fetched before.

Where: ``$XDG_CACHE_HOME/restoreproof``, else ``~/.cache/restoreproof``. Postgres refuses to run as
root, so a harness started by root runs it as an unprivileged user, who can't look into a home with
mode 0700. In that case, and only for Postgres, ``public_root`` gives ``/var/cache/restoreproof``.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from harness.model.errors import TimedOut
from harness.stack.programs.download import sha256
from harness.stack.wait import wait_until

RECORD = "restoreproof-record.json"
SCRATCH = "scratch-"
PUBLIC_ROOT = Path("/var/cache/restoreproof")
LOCK_LIMIT_S = 1800.0
FILE_TIME_S = 946_684_800
"""2000-01-01: the time of every file in the cache."""

Fill = Callable[[Path, Path], None]


class File(msgspec.Struct, frozen=True, array_like=True):
    """One file of a program as it was when it was checked; ``path`` is relative to the program's folder."""

    path: str
    size_bytes: int
    mtime_ns: int
    sha256: str


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What lies in a program's folder. ``built_with``: the compiler, for what was built here."""

    program: str
    version: str
    built_with: str = ""
    files: tuple[File, ...] = ()


def root() -> Path:
    """Return the cache of this user; it need not exist."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says that a relative path is to be ignored.
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "restoreproof"


def public_root() -> Path:
    """Return the folder for programs that an unprivileged user runs; it need not exist."""
    private = root()
    return PUBLIC_ROOT if os.geteuid() == 0 and not _open_to_all(private) else private


def fault(folder: Path, *, deep: bool = False) -> str:
    """Say what is wrong with a program's folder, or return an empty string."""
    if not (folder / RECORD).is_file():
        return f"{folder} is not there"
    for file in read_record(folder).files:
        path = folder / file.path
        if not path.is_file() or path.stat().st_size != file.size_bytes:
            return f"{path} is missing or has another size"
        unchanged = not deep and path.stat().st_mtime_ns == file.mtime_ns
        if not unchanged and sha256(path) != file.sha256:
            return f"{path} has changed since it was checked"
    return ""


def read_record(folder: Path) -> Record:
    """Return the record of a program's folder."""
    return msgspec.json.decode((folder / RECORD).read_bytes(), type=Record)


def install(folder: Path, record: Record, fill: Fill) -> None:
    """Make a program's ``folder``: ``fill(scratch, tree)`` puts its files into the empty folder ``tree``.

    What lay in ``folder`` before is replaced; a failure leaves it as it was.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f"{SCRATCH}{record.program}-", dir=folder.parent))
    try:
        tree = scratch / "tree"
        tree.mkdir()
        fill(scratch, tree)
        _open(tree)
        _write_record(tree, record)
        if folder.exists():
            folder.rename(scratch / "replaced")
        tree.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def locked(folder: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold ``folder`` for this process alone; ``waiting`` is called once if another one holds it.

    Raises TimedOut after half an hour. Scratch folders are removed before (a killed set-up left them) and
    after.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as file:
        if not _try_lock(file.fileno()):
            waiting()
            _wait_lock(file.fileno(), folder)
        _remove_scratch(folder)
        try:
            yield
        finally:
            _remove_scratch(folder)


def size_bytes(folder: Path) -> int:
    """Return the bytes of all files below a folder; what vanishes meanwhile counts nothing."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(path, name)).st_size  # noqa: PTH118 - four times a second
            except FileNotFoundError:
                continue
    return total


def _remove_scratch(folder: Path) -> None:
    for left in folder.glob(f"{SCRATCH}*"):
        shutil.rmtree(left, ignore_errors=True)


def _write_record(tree: Path, record: Record) -> None:
    files = tuple(_seen(path, tree) for path in sorted(tree.rglob("*")) if path.is_file())
    whole = msgspec.structs.replace(record, files=files)
    (tree / RECORD).write_bytes(msgspec.json.encode(whole))
    (tree / RECORD).chmod(0o644)


def _seen(path: Path, tree: Path) -> File:
    found = path.stat()
    return File(str(path.relative_to(tree)), found.st_size, found.st_mtime_ns, sha256(path))


def _open(tree: Path) -> None:
    """Let everybody read, and run what its owner may run, whatever the umask is; all files of one time."""
    for path in (tree, *tree.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        path.chmod(0o755 if path.is_dir() or mode & stat.S_IXUSR else 0o644)
        if path.is_file():
            os.utime(path, (FILE_TIME_S, FILE_TIME_S))


def _open_to_all(path: Path) -> bool:
    existing = [folder for folder in (path, *path.parents) if folder.exists()]
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in existing)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait_lock(descriptor: int, folder: Path) -> None:
    try:
        wait_until(
            f"the other set-up in {folder} ends",
            lambda: _try_lock(descriptor),
            limit_s=LOCK_LIMIT_S,
            poll_s=0.2,
        )
    except TimedOut as expired:
        expired.cure = "end the other `make setup`, then run it again"
        raise
