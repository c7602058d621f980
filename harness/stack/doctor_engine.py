"""What ``restoreproof doctor`` finds about Docker: engine, disk, base, images, leftovers of dead runs.

The local host needs no engine, so a machine without one gets a note, and so does an image that is not built
yet. A fault is what would stop a drill in containers although an engine is there.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from docker.client import DockerClient

from harness.model.errors import BadInput, MissingProgram
from harness.stack import images, settings
from harness.stack.containers import sweep
from harness.stack.findings import GIB, Finding, gib, judged, worth
from harness.stack.images import base, engine

ENGINE_MIN = (20, 10)
IMAGES_BYTES_MIN = 2 * GIB
"""Images take 0.6 GB; while they are built, up to twice that."""


def check_engine(_deep: bool) -> list[Finding]:
    """The engine and all that the containers host needs of it; one note where there is none."""
    try:
        with engine.connected() as client:
            return [
                *_engine(client),
                *_disk(client),
                *_base(client),
                *_images(client),
                *_leftovers(client),
            ]
    except MissingProgram as missing:
        return [Finding(subject="docker", state="note", text=missing.message, cure=missing.cure)]


def _engine(client: DockerClient) -> list[Finding]:
    info = client.info()
    version = str(info["ServerVersion"])
    fits = engine.parse_version(version) >= ENGINE_MIN
    text = f"{version} with {info['Driver']} on {info['OperatingSystem']}"
    oldest = ".".join(map(str, ENGINE_MIN))
    cure = "give the engine's data root a file system that carries overlay2, then restart it"
    return [
        judged("docker", fits, text, f"use Docker {oldest} or newer"),
        worth("storage", info["Driver"] != "vfs", f"driver {info['Driver']}", cure),
    ]


def _disk(client: DockerClient) -> list[Finding]:
    """Known only of an engine on this machine."""
    place = Path(client.info()["DockerRootDir"])
    if not place.is_dir():
        return []
    free_bytes = shutil.disk_usage(place).free
    text = f"{gib(free_bytes)} free at {place}, {gib(IMAGES_BYTES_MIN)} needed"
    return [judged("docker disk", free_bytes >= IMAGES_BYTES_MIN, text, "free some disk there")]


def _base(client: DockerClient) -> list[Finding]:
    found = base.present(client)
    can_be_made = os.geteuid() == 0 and shutil.which("debootstrap") is not None
    how = "made with debootstrap" if can_be_made else "pulled"
    text = found or f"none yet: it is {how} when images are built"
    return [worth("base image", bool(found), text, images.CURE)]


def _images(client: DockerClient) -> list[Finding]:
    """Each image of the containers host: ours, or those that ``restoreproof.toml`` puts in their place."""
    try:
        wanted = settings.stack_options("containers").images
        recipes = images.recipes_for(wanted)
    except MissingProgram:
        return []  # what is missing was said of the programs themselves
    except BadInput as wrong:
        return [Finding(subject="settings", state="fault", text=wrong.message, cure=wrong.cure)]
    ours = [(made.name, images.find(client, made)) for made in recipes]
    return [
        *(_ours(client, name, image) for name, image in ours),
        *(_theirs(client, name, wanted[name]) for name in images.replaced(wanted)),
    ]


def _ours(client: DockerClient, name: images.ImageName, image: images.Image | None) -> Finding:
    if image is not None:
        text = f"{image.versions[name]}, {image.reference}"
        return Finding(subject=f"image {name}", state="ok", text=text)
    older = client.images.list(name=images.repository(name))
    text = "stale: what goes into it has changed" if older else "not built yet"
    return Finding(subject=f"image {name}", state="note", text=text, cure=images.CURE)


def _theirs(client: DockerClient, name: images.ImageName, reference: str) -> Finding:
    try:
        image = images.find_replaced(client, name, reference)
    except MissingProgram as missing:
        return Finding(subject=f"image {name}", state="note", text=missing.message, cure=missing.cure)
    except BadInput as wrong:
        return Finding(subject=f"image {name}", state="fault", text=wrong.message, cure=wrong.cure)
    return Finding(subject=f"image {name}", state="ok", text=f"{image.versions[name]}, {reference}")


def _leftovers(client: DockerClient) -> list[Finding]:
    found = sweep.left_behind(client)
    counts = (
        f"{len(found.containers)} containers, {len(found.networks)} networks, {len(found.volumes)} volumes"
    )
    text = f"of stacks whose owner is gone: {counts if len(found) else 'none'}"
    cure = "nothing to do: the next start in containers sweeps them"
    return [worth("docker left", not len(found), text, cure)]
