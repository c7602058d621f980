"""The choice of a host: what must be there before one is used, and opening it for a stack."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.stack import java_cache, java_training
from harness.stack.host import Host
from harness.stack.java_training import Prepare
from harness.stack.local import LocalHost
from harness.stack.options import StackOptions
from harness.stack.programs import Programs, locate
from harness.stack.together import Progress


def make_ready(options: StackOptions, progress: Progress, prepare: Prepare) -> None:
    """Make what stacks share and what is missing of it; raises MissingProgram.

    ``prepare`` gives the stack on which Java's caches are made.
    """
    programs = options.programs or locate()
    if options.host == "containers":
        from harness.stack import images  # docker-py, which a local stack does without

        images.ensure(options.images, progress, programs, prepare)
    elif options.java_options is None:
        java_training.ensure(programs, options.root, progress, prepare)


def open_host(options: StackOptions, stack_id: str, folder: Path, port_names: Sequence[str]) -> Host:
    """Open the host that the options name, for the stack whose ``folder`` was claimed."""
    programs = options.programs or locate()
    local = LocalHost(
        stack_id=stack_id,
        folder=folder,
        port_names=port_names,
        programs=programs,
        logs=options.logs,
        first_port=options.first_port,
        java_options=options.java_options or java_cache.using(programs),
    )
    if options.host == "local":
        return local
    try:
        return _containers(options, stack_id, programs, local)
    except BaseException:
        local.close()
        raise


def _containers(options: StackOptions, stack_id: str, programs: Programs, beside: LocalHost) -> Host:
    from harness.stack import images  # docker-py, which a local stack does without
    from harness.stack.containers import ContainersHost
    from harness.stack.containers.arguments import Settings

    found = images.locate(options.images, programs)
    jars = {"broker": programs.broker_jars, "connect": programs.connect_jars}
    settings = Settings(
        stack_id=stack_id,
        ports=beside.ports,
        class_paths={
            program: ":".join(images.jar_in_image(jar, programs) for jar in jars[program])
            for program in jars
        },
        java_options=options.java_options or images.java_options(found["java"], programs),
        limits=options.limits,
    )
    return ContainersHost(beside=beside, images=found, settings=settings, templates=beside.templates())
