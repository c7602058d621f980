"""Ahead-of-time caches for both Java services: where they are, and the options that use them.

With its cache a service starts in about half the time. A cache fits one Java, one class path and one set of
options; the JVM checks that itself, and goes on without a cache that is missing or stale.
``java_training`` makes them.
"""

from __future__ import annotations

from pathlib import Path

from harness.stack.options import JavaOptions
from harness.stack.programs import Programs

JAVA_SERVICES = {"connect": "connect", "broker": "kafka"}
"""Java programs and the services that run them, in the order in which they are to end."""

_QUIET = ("-Xlog:disable", "-Xlog:all=error:stderr")
"""A cache that does not fit in some detail is no news: the JVM goes on without that detail."""


def cache(programs: Programs, program: str) -> Path:
    """Return where the cache of a Java program lies; it need not exist."""
    return programs.aot_dir / f"{program}.aot"


def are_complete(programs: Programs) -> bool:
    """Whether every Java program has its cache."""
    return all(cache(programs, program).is_file() for program in JAVA_SERVICES)


def using(programs: Programs) -> JavaOptions:
    """Return the options that make the Java services use the caches that exist."""
    caches = {program: cache(programs, program) for program in JAVA_SERVICES}
    return {program: options(str(path)) for program, path in caches.items() if path.is_file()}


def options(cache_path: str) -> tuple[str, ...]:
    """Return the options that make a JVM use the cache at ``cache_path``, as the JVM sees it."""
    return (f"-XX:AOTCache={cache_path}", *_QUIET)
