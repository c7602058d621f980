"""What is really in an image: asked of the image itself, by running programs in it."""

from __future__ import annotations

import re

from docker.client import DockerClient

from harness.model.errors import BadInput
from harness.stack.images import engine
from harness.stack.images.recipes import ImageName

POSTGRES_MAJORS = range(15, 19)
PACKAGES = "/opt/restoreproof/packages"
_POSTGRES = re.compile(r"\(PostgreSQL\) (?P<version>(?P<major>\d+)\S*)")


def program_version(client: DockerClient, name: ImageName, image: str) -> str:
    """Return what the image's program says about its version; raises BadInput when it does not run.

    Of Postgres it is the version alone, which must be one that this harness understands.
    """
    said = engine.output_of(client, image, [name, "--version"])
    if name == "postgres":
        return postgres_version(said, image)
    return said.splitlines()[0].strip() if said else "unknown"


def postgres_version(said: str, image: str) -> str:
    """Return the version in ``postgres --version``; raises BadInput for one that is not understood."""
    found = _POSTGRES.search(said)
    known = f"{POSTGRES_MAJORS[0]} to {POSTGRES_MAJORS[-1]}"
    if found is None:
        raise BadInput(
            f"`postgres --version` says {said!r} in the image {image}",
            cure=f"use an image of Postgres {known}",
        )
    if int(found["major"]) not in POSTGRES_MAJORS:
        raise BadInput(
            f"the image {image} holds Postgres {found['version']}", cure=f"use an image of Postgres {known}"
        )
    return found["version"]


def major(version: str) -> int:
    """Return the major version in ``17.11`` or ``18beta1``."""
    return int(re.split(r"\D", version, maxsplit=1)[0])


def distribution_versions(client: DockerClient, image: str) -> dict[str, str]:
    """Return the Debian release of one of our images, and each package that was unpacked into it."""
    read = f"cat /etc/debian_version; cat {PACKAGES} 2>/dev/null || true"
    release, *packages = engine.output_of(client, image, ["sh", "-c", read]).splitlines()
    return {"debian": release, **dict(line.split(" ", 1) for line in packages)}
