"""Classes of ours that Debezium loads by its own interface for converters, compiled at set-up.

The stack's Java is a runtime, without a compiler: Eclipse's, one pinned jar, compiles ``java/`` here
against the pinned jars of Kafka and Debezium. Which source and compiler, says the name of the folder.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from harness.model.errors import MissingProgram
from harness.stack.programs import children, pins
from harness.stack.programs.jars import write_jar

NAME = "converters"
JAR = "restoreproof-converters.jar"
SOURCES = Path(__file__).parent / "java"
RELEASE = "21"
"""The Java for which is compiled: no newer than the stack's own."""

AGAINST = ("connect-api-", "kafka-clients-", "debezium-api-")
"""How the jars begin whose classes ours name."""

LIMIT_S = 60.0
CURE = "mend harness/stack/programs/java for the pinned versions of Kafka and Debezium"


class Bench(msgspec.Struct, frozen=True, kw_only=True):
    """What a compilation needs to be there: Java's executable, and folders of jars to compile against."""

    java: Path
    jars: tuple[Path, ...]


def sources() -> list[Path]:
    """Return the source files, in order."""
    return sorted(SOURCES.rglob("*.java"))


def version() -> str:
    """Return 12 hex digits that change whenever a source or the compiler does."""
    found = hashlib.sha256(pins.digest(pins.of("ecj")).encode())
    for source in sources():
        found.update(f"\0{source.name}\0".encode() + source.read_bytes())
    return found.hexdigest()[:12]


def compile_jar(compiler: Path, bench: Bench, scratch: Path, tree: Path) -> None:
    """Compile all sources with the jar ``compiler`` into one jar in ``tree``; raises MissingProgram."""
    classes = scratch / "classes"
    command = [str(bench.java), "-jar", str(compiler), f"-{RELEASE}", "-proc:none", "-failOnWarning"]
    command += ["-classpath", ":".join(map(str, _against(bench))), "-d", str(classes)]
    done = children.run([*command, *map(str, sources())], limit_s=LIMIT_S)
    if done.code != 0:
        raise MissingProgram(f"{SOURCES.name} was not compiled: {done.last_words}", cure=CURE)
    made = {path.relative_to(classes).as_posix(): path.read_bytes() for path in classes.rglob("*.class")}
    write_jar(tree / JAR, made)


def _against(bench: Bench) -> list[Path]:
    found = [path for folder in bench.jars for path in sorted(folder.rglob("*.jar"))]
    return [path for path in found if path.name.startswith(AGAINST)]
