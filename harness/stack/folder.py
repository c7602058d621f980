"""The folder of a stack on this machine: claimed with an owner record, swept when the owner is dead.

``<root>/<stack id>/`` holds ``owner.json``, ``data/<service>/``, ``files/<service>/`` and ``logs/``. The
owner is a process, named by boot id, pid namespace, pid and start time, so that neither a reboot nor a
recycled pid makes a dead owner look alive. Each start sweeps what dead owners left: first the processes,
then the folder. A folder of another pid namespace is left alone: its pids can't be judged from here.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path

import msgspec

from harness.model.errors import BadInput
from harness.stack import owner as owners
from harness.stack import processes

FREE_BYTES_MIN = 2 * 1024**3
_OWNER = "owner.json"
_HALF_MADE_S_MAX = 60.0


class Owner(owners.Owner, frozen=True, kw_only=True):
    """The process that answers for the stack ``stack_id``."""

    stack_id: str


def default_root() -> Path:
    """Return the folder for stacks: below TMPDIR or /var/tmp, and open to an unprivileged Postgres.

    Raises BadInput when none can be used.
    """
    wanted = [os.environ.get("TMPDIR", ""), "/var/tmp", tempfile.gettempdir()]
    for place in (Path(w).resolve() for w in wanted if w):
        if os.access(place, os.W_OK | os.X_OK) and passable(place):
            return place / f"restoreproof-{os.getuid()}"
    raise BadInput(
        f"none of {[w for w in wanted if w]} is writable and open to other users",
        cure="set TMPDIR to a folder like /var/tmp",
    )


def passable(place: Path) -> bool:
    """Whether any user may pass through ``place`` and all folders above it."""
    return all(p.stat().st_mode & 0o001 for p in (place, *place.parents))


def claim(root: Path, stack_id: str) -> Path:
    """Make and return the folder of a new stack that this process owns.

    Raises BadInput when too little disk is free.
    """
    root.mkdir(mode=0o711, parents=True, exist_ok=True)
    free_bytes = shutil.disk_usage(root).free
    if free_bytes < FREE_BYTES_MIN:
        raise BadInput(
            f"{root} has {free_bytes >> 20} MiB free, a stack needs {FREE_BYTES_MIN >> 20} MiB",
            cure="free some disk, or set TMPDIR to a folder on a larger one",
        )
    half_made = root / f".{stack_id}"
    half_made.mkdir(mode=0o711)
    for name in ("data", "files"):
        (half_made / name).mkdir(mode=0o711)
    (half_made / _OWNER).write_bytes(msgspec.json.encode(_this_process(stack_id)))
    return half_made.rename(root / stack_id)


def remove(folder: Path) -> None:
    """Remove a stack's folder with all data in it; may be called twice.

    It is renamed first, so that a removal which is broken off leaves nothing that looks like a stack.
    """
    doomed = folder.with_name(f".{folder.name.lstrip('.')}")
    with contextlib.suppress(OSError):  # removed already, or by another sweep at the same time
        folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def sweep(root: Path) -> list[str]:
    """End and remove the stacks below ``root`` whose owners are gone; return their ids."""
    if not root.is_dir():
        return []
    swept = []
    for folder in sorted(root.iterdir()):
        owner = owner_of(folder)
        if owner is not None and owner.is_dead:
            processes.end_stack(owner.stack_id, folder)
            remove(folder)
            swept.append(owner.stack_id)
        elif owner is None and _abandoned(folder):
            remove(folder)
    return swept


def dead(root: Path) -> list[Path]:
    """Return the folders of stacks below ``root`` whose owners are gone; touches nothing."""
    owners = {path: owner_of(path) for path in sorted(root.iterdir())} if root.is_dir() else {}
    return [path for path, owner in owners.items() if owner is not None and owner.is_dead]


def _this_process(stack_id: str) -> Owner:
    return Owner(stack_id=stack_id, **msgspec.structs.asdict(owners.this_process()))


def owner_of(folder: Path) -> Owner | None:
    """Return who answers for the stack in that folder, None if it does not say."""
    try:
        return msgspec.json.decode((folder / _OWNER).read_bytes(), type=Owner)
    except (OSError, msgspec.DecodeError):
        return None


def _abandoned(folder: Path) -> bool:
    """Whether a claim was broken off between making the folder and naming its owner."""
    if not folder.name.startswith(".") or (folder / _OWNER).exists():
        return False
    return time.time() - folder.stat().st_mtime > _HALF_MADE_S_MAX
