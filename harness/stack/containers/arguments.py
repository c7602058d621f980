"""What one container is started with: a pure mapping from the description of a service.

Inside a container a service has the very ports that it has outside, its data in a volume of its own, and in
the stack's network a name for itself and one for each of its ports: an address never says who serves it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from docker.types import LogConfig

from harness.model.errors import BadInput
from harness.stack.images import ImageName
from harness.stack.options import JavaOptions, Limits
from harness.stack.portblock import LOOPBACK
from harness.stack.service import Command, Program, ServiceSpec

EVERYWHERE = "0.0.0.0"
UNPRIVILEGED_USER = "postgres"
"""Who services run as that refuse to run as root: a user that every image of Postgres has."""

_DATA, _FILES = "/var/lib/restoreproof", "/etc/restoreproof"
_SHARED_MEMORY = "256m"

_IMAGE_OF: Mapping[Program, ImageName] = {
    "postgres": "postgres",
    "initdb": "postgres",
    "pg_basebackup": "postgres",
    "pg_rewind": "postgres",
    "broker": "java",
    "connect": "java",
    "minio": "minio",
    "toxiproxy": "toxiproxy",
}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What all containers of a stack share: ``ports`` by name, and of Java the class paths and options."""

    stack_id: str
    ports: Mapping[str, int]
    class_paths: Mapping[str, str]
    java_options: JavaOptions
    limits: Limits = Limits()


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """One container, as far as it can be said without an engine.

    ``ports``: what is published, by the port inside; ``aliases``: the names in the stack's network;
    ``keywords``: docker-py's of ``create``.
    """

    image: ImageName
    arguments: tuple[str, ...]
    environment: dict[str, str]
    ports: dict[str, tuple[str, int]]
    aliases: tuple[str, ...]
    keywords: dict[str, Any]


def data(service: str) -> str:
    """Return the data folder of a service, inside."""
    return f"{_DATA}/{service}"


def file(service: str, name: str) -> str:
    """Return the path of a configuration file of a service, inside."""
    return f"{_FILES}/{service}/{name}"


def container_name(stack_id: str, service: str) -> str:
    """Return the name of a service's container and of its volume."""
    return f"restoreproof-{stack_id}-{service}"


def image_of(program: Program) -> ImageName:
    """Return the image that holds a program; raises BadInput for one that runs beside the harness."""
    if program not in _IMAGE_OF:
        raise BadInput(f"{program} runs in no container", cure="run it beside the harness")
    return _IMAGE_OF[program]


def launch(spec: ServiceSpec, settings: Settings) -> Launch:
    """Return the container of a service."""
    ports = {f"{settings.ports[name]}/tcp": (LOOPBACK, settings.ports[name]) for name in spec.ports}
    aliases = tuple(dict.fromkeys((spec.name, *spec.ports)))
    return _launch(spec, spec.run, settings, ports, aliases)


def one_shot(spec: ServiceSpec, command: Command, settings: Settings) -> Launch:
    """Return the container in which a command prepares the data of a service: without ports or name."""
    return _launch(spec, command, settings, {}, ())


def _launch(
    spec: ServiceSpec,
    command: Command,
    settings: Settings,
    ports: dict[str, tuple[str, int]],
    aliases: tuple[str, ...],
) -> Launch:
    program, *arguments = argv(command, settings)
    return Launch(
        image=image_of(command.program),
        arguments=tuple(arguments),
        environment=_environment(spec),
        ports=ports,
        aliases=aliases,
        keywords={
            "entrypoint": [program],
            "user": UNPRIVILEGED_USER if spec.unprivileged else "0:0",
            "working_dir": data(spec.name),
            "log_config": LogConfig(type="json-file"),  # the engine's default may keep nothing
            "shm_size": _SHARED_MEMORY,
            "dns": [LOOPBACK],  # unknown names end here, and not at the machine's resolver
            "dns_opt": ["timeout:1", "attempts:1"],
            **_limits(settings.limits),
        },
    )


def argv(command: Command, settings: Settings) -> tuple[str, ...]:
    """Return the command line inside; programs are found by their plain names."""
    if command.program not in settings.class_paths:
        return (command.program, *command.arguments)
    options = settings.java_options.get(command.program, ())
    class_path = ("-cp", settings.class_paths[command.program])
    return ("java", *options, *class_path, *command.arguments)


def _environment(spec: ServiceSpec) -> dict[str, str]:
    return {
        "HOME": data(spec.name),
        "TMPDIR": data(spec.name),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        **spec.environment,
    }


def _limits(limits: Limits) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if limits.memory_mb is not None:
        found |= {"mem_limit": f"{limits.memory_mb}m", "memswap_limit": f"{limits.memory_mb}m"}
    if limits.cpus is not None:
        found |= {"nano_cpus": round(limits.cpus * 1e9)}
    return found
