"""``restoreproof.toml``: what a user sets for the containers host, read from the working directory.

The file may be absent. Every key is checked, so that a typo is one clear error and not a setting that
silently does nothing::

    [images]                            # run these instead of the images that `make images` builds
    postgres = "our-postgres:17.6"      # also: java, minio, toxiproxy

    [containers]                        # what each container may take at most
    memory_mb = 1024
    cpus = 1.5
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import msgspec

from harness.model.errors import BadInput
from harness.stack.host import HostName
from harness.stack.options import Limits, StackOptions

FILE = "restoreproof.toml"
_CURE = "`[images]` takes postgres, java, minio, toxiproxy; `[containers]` takes memory_mb, cpus"
_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<where>.*)`)?$", re.DOTALL)

Reference = Annotated[str, msgspec.Meta(pattern=r"^[^\s]+$")]


class Images(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[images]``: references as ``docker run`` takes them; None for our own."""

    postgres: Reference | None = None
    java: Reference | None = None
    minio: Reference | None = None
    toxiproxy: Reference | None = None


class Containers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[containers]``: what each container may take at most. A Java service needs some 512 MiB."""

    memory_mb: Annotated[int, msgspec.Meta(ge=64)] | None = None
    cpus: Annotated[float, msgspec.Meta(gt=0)] | None = None


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    images: Images = Images()
    containers: Containers = Containers()


def stack_options(host: HostName, folder: Path | None = None) -> StackOptions:
    """Return how to start a stack on ``host``, with the settings of ``folder`` (the working directory).

    Raises BadInput naming file, key and value. Settings of containers are checked on either host.
    """
    settings = read((folder or Path.cwd()) / FILE)
    limits = settings.containers
    return StackOptions(
        host=host,
        images={name: image for name, image in msgspec.structs.asdict(settings.images).items() if image},
        limits=Limits(memory_mb=limits.memory_mb, cpus=limits.cpus),
    )


def read(file: Path) -> Settings:
    """Read the settings, all defaults when there is no such file; raises BadInput."""
    try:
        return msgspec.toml.decode(file.read_bytes(), type=Settings)
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        raise BadInput(f"{file}: {error.strerror}", cure="make it a readable file, or remove it") from None
    except msgspec.DecodeError as error:
        raise BadInput(f"{file}: {_words(error)}", cure=_CURE) from None


def _words(error: msgspec.DecodeError) -> str:
    """Say what is wrong and where, in the words of the file: ``containers.cpus: Expected ...``."""
    found = _PLACE.match(str(error))
    if found is None or not found["where"]:
        return str(error)
    return f"{found['where']}: {found['what']}"
