"""The choice of a host: what must be there before one is used, and opening it for a stack."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.stack import java_cache
from harness.stack.host import Host
from harness.stack.local import LocalHost
from harness.stack.options import StackOptions
from harness.stack.programs import locate
from harness.stack.together import Progress


def make_ready(options: StackOptions, progress: Progress) -> None:
    """Make what stacks share and what is missing of it; raises MissingProgram."""
    from harness.stack import java_training  # it runs a stack itself

    if options.java_options is None:
        java_training.ensure(options.programs or locate(), options.root, progress)


def open_host(options: StackOptions, stack_id: str, folder: Path, port_names: Sequence[str]) -> Host:
    """Open the host that the options name, for the stack whose ``folder`` was claimed."""
    programs = options.programs or locate()
    return LocalHost(
        stack_id=stack_id,
        folder=folder,
        port_names=port_names,
        programs=programs,
        logs=options.logs,
        first_port=options.first_port,
        java_options=options.java_options or java_cache.using(programs),
    )
