"""Programs that are known to lose data, to be planted in a real stack in place of the right ones.

Each is one word of the command line (``drill --planted``) and one line of ``PLANTED``. What they need
beyond the stack's own programs is pinned like those, and fetched only when one of them is asked for. They
run with the very settings that the right ones run with, among them ``provide.transaction.metadata``,
without which nothing of the kind would be lost. Java's ahead-of-time caches fit no other class path: they
run without.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec

from harness.model.errors import BadInput, UnknownName
from harness.stack.host import HostName
from harness.stack.programs import compiled, mended, parts, setup
from harness.stack.programs.located import Programs, with_published_debezium
from harness.stack.programs.progress import Watcher


class Planted(msgspec.Struct, frozen=True, kw_only=True):
    """A set of programs. ``failure_modes``: what is wrong with them, by its numbers in the catalogue."""

    words: str
    failure_modes: tuple[str, ...]
    put: Callable[[Programs, Watcher], Programs]


def debezium_losing(programs: Programs, watcher: Watcher) -> Programs:
    """Return the programs with a Debezium of before its mends, fetched if it is not there."""
    part = parts.losing()
    setup.bring((part,), watcher)
    published = with_published_debezium(programs)
    ours = (jar for jar in published.connect_jars if jar.name == compiled.JAR)
    jars = sorted(part.folder.rglob("*.jar"))
    return msgspec.structs.replace(
        published,
        connect_jars=(*ours, *programs.broker_jars, *jars),
        aot_dir=programs.aot_dir.with_name(f"{programs.aot_dir.name}-{part.version}"),
        versions={**published.versions, "debezium": part.version},
    )


PLANTED: Mapping[str, Planted] = MappingProxyType(
    {
        "debezium-3.6.1": Planted(
            words="the rest of a batch, and rows of an interleaved transaction, are lost in a restart",
            failure_modes=("FM-46", "FM-47"),
            put=debezium_losing,
        ),
        "debezium-published": Planted(
            words=f"without what is mended here: {mended.WORDS}",
            failure_modes=("FM-47",),
            put=lambda programs, _: with_published_debezium(programs),
        ),
    }
)


def planted(name: str, programs: Programs, watcher: Watcher, *, host: HostName) -> Programs:
    """Return the programs with those of ``name`` in place of the right ones.

    Raises UnknownName; BadInput on a host whose programs lie in images; MissingProgram.
    """
    if name not in PLANTED:
        raise UnknownName("planted program", name, list(PLANTED))
    if host != "local":
        raise BadInput(f"{name} can't be planted on host {host}", cure="use --host local")
    return PLANTED[name].put(programs, watcher)
