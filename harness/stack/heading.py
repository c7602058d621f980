"""One line that says on what drills would run: the host, its versions, and the images of containers.

Shown at the head of every pytest run that has the plugin, so it is cheap, starts nothing and never fails:
what is missing is said with its cure, and is an error only once a test asks for a stack.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.model.errors import RestoreproofError
from harness.stack.options import StackOptions
from harness.stack.programs import locate

DIGEST_LETTERS = 12


def heading(options: StackOptions) -> str:
    """Return the line, without the name of the tool."""
    try:
        on = _containers(options) if options.host == "containers" else _versions(locate().versions)
    except RestoreproofError as error:
        on = f"{error.message}; cure: {error.cure}"
    return f"host {options.host}: {on}"


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version.split(' ')[0]}" for name, version in versions.items())


def _containers(_options: StackOptions) -> str:
    return _versions(locate().versions)
