"""The Debian that every image is built on: ``debian:trixie-slim``, or one of the same packages made here.

Where no registry answers, ``docker/base/make-root`` makes a root file system from a Debian mirror and the
engine imports it under a name of ours, never under Debian's.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from pathlib import Path

from docker.client import DockerClient

from harness.model.errors import MissingProgram
from harness.stack.images import labels, outdated, recipes
from harness.stack.images.pull import pull
from harness.stack.programs import cache, children

DEBIAN = "debian:trixie-slim"
MAKE_S_MAX = 600.0


def reference() -> str:
    """Return the name of the base that is made here."""
    return f"{recipes.repository('base')}:{recipes.digest((recipes.root() / 'base',), [])}"


def present(client: DockerClient) -> str:
    """Return the name of a base that the engine has, or an empty string."""
    return next((name for name in (DEBIAN, reference()) if client.images.list(name=name)), "")


def bring(client: DockerClient, stopping: threading.Event) -> str:
    """Return the name of a base, pulled or made now if there is none; raises MissingProgram or Stopped."""
    found = present(client)
    if found:
        return found
    refusal = pull(client, DEBIAN, stopping)
    return _make(client, refusal) if refusal else DEBIAN


def _make(client: DockerClient, refusal: str) -> str:
    why = f"the base image {DEBIAN} can't be pulled ({refusal})"
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        raise MissingProgram(
            f"{why}, and making one needs root and debootstrap",
            cure=f"`docker pull {DEBIAN}` where a registry answers, or as root `apt install debootstrap`",
        )
    with tempfile.TemporaryDirectory(prefix=cache.SCRATCH, dir=_scratch()) as folder:
        command = ["bash", str(recipes.root() / "base" / "make-root"), folder]
        done = children.run(command, limit_s=MAKE_S_MAX)
        if done.code != 0:
            cure = "let a Debian mirror be reached over plain HTTP; DEBIAN_MIRROR names another one"
            raise MissingProgram(f"{why}, and could not be made: {done.last_words}", cure=cure)
        name, tag = reference().split(":")
        client.api.import_image_from_file(
            f"{folder}/root.tar", name, tag, changes=[f"LABEL {labels.IMAGE}=base", 'CMD ["/bin/sh"]']
        )
    outdated.remove_others(client, reference())
    return reference()


def _scratch() -> Path:
    """A folder on a real disk; what a killed run left there is removed by the next holder of its lock."""
    folder = folder_of_builds()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def folder_of_builds() -> Path:
    """Return the folder whose lock a build of images holds."""
    return cache.root() / "images"
