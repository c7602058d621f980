"""One line that says on what drills would run: the host, its versions, and the images of containers.

Shown at the head of every pytest run that has the plugin, so it is cheap, starts no stack and never fails:
what is missing is said with its cure, and is an error only once a test asks for a stack.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from harness.model.errors import RestoreproofError
from harness.stack.options import StackOptions
from harness.stack.programs import locate

if TYPE_CHECKING:
    from harness.stack.images import Image

DIGEST_LETTERS = 12
_PROGRAMS = ("postgres", "java", "kafka", "debezium", "minio", "toxiproxy")


def heading(options: StackOptions) -> str:
    """Return the line, without the name of the tool."""
    try:
        on = _containers(options) if options.host == "containers" else _versions(locate().versions)
    except RestoreproofError as error:
        on = f"{error.message}; cure: {error.cure}"
    return f"host {options.host}: {on}"


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version.split(' ')[0]}" for name, version in versions.items())


def _containers(options: StackOptions) -> str:
    from harness.stack import images  # the engine's client takes its time, and is for this host only

    found = images.locate(options.images)
    return ", ".join(f"{_programs(image)} ({_digest(image)})" for image in found.values())


def _programs(image: Image) -> str:
    """Return what we care about in an image, not each package of its distribution."""
    ours = {name: version for name, version in image.versions.items() if name in _PROGRAMS}
    return _versions(ours).replace(",", " +")


def _digest(image: Image) -> str:
    return image.id.removeprefix("sha256:")[:DIGEST_LETTERS] + ("" if image.own else ", not ours")
