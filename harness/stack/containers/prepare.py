"""Fills the volume of a service before its first start, in containers that run one command, or none.

A volume is born root's; the engine's archives give it to the user that the service runs as, by the numbers
that its image has for that user.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.model.errors import BadInput, HarnessFailed
from harness.stack.containers import archives, arguments
from harness.stack.containers.archives import ROOT, User
from harness.stack.containers.context import StackContext
from harness.stack.containers.engine import UnlessGone, asked
from harness.stack.service import Command, ServiceSpec, Template
from harness.stack.wait import wait_until

PREPARE_S_MAX = 120.0
_users: dict[str, User] = {}
"""Of each image by id, the user for services that refuse to run as root; an id names its content."""


def prepare(context: StackContext, spec: ServiceSpec) -> None:
    """Make the service's volume and do what its description says fills it."""
    with asked(f"make a volume for {spec.name}"):
        context.client.volumes.create(context.name_of(spec.name), labels=context.labels())
    for step in spec.prepare:
        if isinstance(step, Template):
            _from_template(context, spec, step)
        else:
            run_once(context, spec, step)


def run_once(context: StackContext, spec: ServiceSpec, command: Command) -> None:
    """Run a command on the service's volume, in a container of its own; raises HarnessFailed."""
    with _container(context, spec, command) as container:
        _run(context, spec, command, container)


def _from_template(context: StackContext, spec: ServiceSpec, template: Template) -> None:
    """Copy the template's files in; its command makes them once for each image."""
    image = context.images[arguments.image_of(template.command.program)]
    kept = context.templates / image.id.removeprefix("sha256:")[:12] / template.key
    with _container(context, spec, template.command) as container:
        if not all((kept / name).is_file() for name in template.files):
            _run(context, spec, template.command, container)
            _keep(container, arguments.data(spec.name), template.files, kept)
        files = {name: _substituted((kept / name).read_bytes(), template) for name in template.files}
        container.put_archive(
            "/", archives.packed(arguments.data(spec.name), files, _owner(spec, container))
        )


def _substituted(content: bytes, template: Template) -> bytes:
    for old, new in template.substitute.items():
        content = content.replace(old.encode(), new.encode())
    return content


@contextmanager
def _container(context: StackContext, spec: ServiceSpec, command: Command) -> Iterator[Any]:
    """Make a container for a command on the service's volume, with its files in place; remove it then."""
    launch = arguments.one_shot(spec, command, context.settings)
    data = arguments.data(spec.name)
    with asked(f"prepare {spec.name}"):
        container = context.connection.create(
            context.images[launch.image].reference,
            command=list(launch.arguments),
            environment=launch.environment,
            volumes={context.name_of(spec.name): {"bind": data, "mode": "rw"}},
            network=context.network.name,
            **context.keywords(launch),
        )
        try:
            _furnish(container, spec)
            yield container
        finally:
            with UnlessGone():
                container.remove(force=True, v=True)


def _furnish(container: Any, spec: ServiceSpec) -> None:
    """Give data folder and configuration files to the user that the command runs as."""
    owner = _owner(spec, container)
    files = {name: text.encode() for name, text in spec.files.items()}
    container.put_archive("/", archives.packed(arguments.data(spec.name), {}, owner))
    container.put_archive("/", archives.packed(arguments.file(spec.name, "").rstrip("/"), files, owner))


def _owner(spec: ServiceSpec, container: Any) -> User:
    if not spec.unprivileged:
        return ROOT
    image = str(container.attrs["Image"])
    if image not in _users:
        _users[image] = _user_of(container)
    return _users[image]


def _user_of(container: Any) -> User:
    packed, _ = container.get_archive("/etc/passwd")
    found = archives.user_in(archives.content_of(b"".join(packed)).decode(), arguments.UNPRIVILEGED_USER)
    if found is None:
        raise BadInput(
            f"the image {container.attrs['Config']['Image']} has no user {arguments.UNPRIVILEGED_USER}",
            cure="use an image whose /etc/passwd names that user, as the official ones of Postgres do",
        )
    return found


def _run(context: StackContext, spec: ServiceSpec, command: Command, container: Any) -> None:
    container.start()
    wait_until(
        f"{command.program} prepared {spec.name}",
        lambda: not context.client.api.inspect_container(container.id)["State"]["Running"],
        limit_s=PREPARE_S_MAX,
        poll_s=0.02,
    )
    said = container.logs()
    with (context.logs / f"{spec.name}.prepare.log").open("ab") as log:
        log.write(said)
    state = context.client.api.inspect_container(container.id)["State"]
    if state["ExitCode"] != 0:
        words = said.decode(errors="replace").strip()[-2000:]
        raise HarnessFailed(f"{command.program} for {spec.name} ended {how_ended(state)}:\n{words}")


def how_ended(state: Mapping[str, Any]) -> str:
    """Say how a container ended, from the engine's record of its state."""
    code = f"with {state['ExitCode']}" if "ExitCode" in state else "and is gone"
    return f"{code}, for lack of memory" if state.get("OOMKilled") else code


def _keep(container: Any, data: str, files: tuple[str, ...], kept: Path) -> None:
    """Keep copies of ``files`` for later stacks, complete or not at all."""
    half_made = kept.with_name(f".{kept.name}-{os.getpid()}-{threading.get_ident()}")
    for name in files:
        packed, _ = container.get_archive(f"{data}/{name}")
        (half_made / name).parent.mkdir(parents=True, exist_ok=True)
        (half_made / name).write_bytes(archives.content_of(b"".join(packed)))
    try:
        half_made.rename(kept)
    except OSError:  # another stack was first
        shutil.rmtree(half_made)
