"""The table of images: what goes into each, and the digest that changes with it.

The Dockerfiles lie in ``docker/`` of a checkout and beside this module in an installed wheel. Programs and
jars are those of the local host, from the same checked cache; they are copied in, and builds download
nothing but distribution packages. Folders of the cache are named after what was checked, so their names are
enough for the digest. To add an image: a folder with a Dockerfile, a line in ``_FILES`` and ``_CARRIES``,
and a name in ``ImageName``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, get_args

import msgspec

from harness.model.errors import MissingProgram
from harness.stack import java_cache
from harness.stack.programs import Programs

ImageName = Literal["postgres", "java", "minio", "toxiproxy"]
IMAGE_NAMES: tuple[ImageName, ...] = get_args(ImageName)

INSIDE = "/opt/restoreproof"
"""Where the java image carries its part of the program cache."""

FORMAT = "3"
"""Changes when this package builds or labels in another way, so that every image is built anew."""

_AOT = ".aot"

Files = dict[str, Path]
"""Path inside the build context -> file of this machine."""


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """One image: its Dockerfile's ``folder``, the ``files`` to send along, the ``digest`` of all of it.

    ``versions``: of the programs that are copied in; ``java_caches``: the Java programs whose ahead-of-time
    caches are.
    """

    name: ImageName
    folder: Path
    files: Files
    digest: str
    versions: dict[str, str]
    java_caches: tuple[str, ...] = ()

    @property
    def repository(self) -> str:
        """The image's name for the engine, without a tag."""
        return repository(self.name)

    @property
    def reference(self) -> str:
        """The image's name for the engine, with the digest as its tag."""
        return f"{self.repository}:{self.digest}"


def repository(name: str) -> str:
    """Return the repository of our image ``name``; nothing of anybody else's is in there."""
    return f"restoreproof/{name}"


def recipe(name: ImageName, programs: Programs) -> Recipe:
    """Return how the image ``name`` is made from ``programs``."""
    files = _FILES[name](programs)
    carried = sorted({_origin(path, programs) for path in files.values()})
    return Recipe(
        name=name,
        folder=root() / name,
        files=files,
        digest=digest((root() / "base", root() / name), carried),
        versions={part: programs.versions[part] for part in _CARRIES[name]},
        java_caches=tuple(path.stem for path in files.values() if path.suffix == _AOT),
    )


def root() -> Path:
    """Return the folder of Dockerfiles; raises MissingProgram when it did not come along."""
    candidates = (Path(__file__).parents[3] / "docker", Path(__file__).parent / "docker")
    for folder in candidates:
        if (folder / "base" / "make-root").is_file():
            return folder
    raise MissingProgram(
        f"the Dockerfiles are neither in {candidates[0]} nor in {candidates[1]}",
        cure="reinstall restoreproof, or use a checkout",
    )


def digest(folders: tuple[Path, ...], carried: list[str]) -> str:
    """Return 12 hex digits over every file in ``folders``, by name and bytes, and the texts ``carried``."""
    found = hashlib.sha256(FORMAT.encode())
    for folder in folders:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            found.update(f"\0{folder.name}/{path.relative_to(folder)}\0".encode())
            found.update(path.read_bytes())
    found.update("\0".join(carried).encode())
    return found.hexdigest()[:12]


def jar_in_image(jar: Path, programs: Programs) -> str:
    """Return the path inside the java image of a jar, or any other carried file, of the program cache."""
    return f"{INSIDE}/{jar.relative_to(_cache(programs))}"


def _cache(programs: Programs) -> Path:
    return programs.aot_dir.parent


def _origin(path: Path, programs: Programs) -> str:
    """The cache's folder that ``path`` lies in, by name; of ahead-of-time caches, the file too.

    Those are made here and may be missing; a java image without them is stale once they exist.
    """
    inside = path.relative_to(_cache(programs))
    return str(inside) if path.suffix == _AOT else inside.parts[0]


def _no_files(_programs: Programs) -> Files:
    return {}


def _java_files(programs: Programs) -> Files:
    home = programs.java.parents[1]
    caches = (java_cache.cache(programs, program) for program in java_cache.JAVA_SERVICES)
    carried = [
        *_files_below(home),
        *programs.connect_jars,  # the broker's are among them
        *(cache for cache in caches if cache.is_file()),
    ]
    return {jar_in_image(path, programs).lstrip("/"): path for path in carried}


def _files_below(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


_FILES: dict[ImageName, Callable[[Programs], Files]] = {
    "postgres": _no_files,
    "java": _java_files,
    "minio": lambda programs: {"minio": programs.minio},
    "toxiproxy": lambda programs: {"toxiproxy": programs.toxiproxy},
}

_CARRIES: dict[ImageName, tuple[str, ...]] = {
    "postgres": (),
    "java": ("java", "kafka", "debezium", "converters"),
    "minio": ("minio",),
    "toxiproxy": ("toxiproxy",),
}
