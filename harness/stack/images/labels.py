"""The labels of our images: what each one is, from what it was built, and which versions are in it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from harness.stack.owner import this_process

IMAGE = "restoreproof.image"
LOCK = "restoreproof.lock"
VERSIONS = "restoreproof.versions"
JAVA_CACHES = "restoreproof.java-caches"
BUILDER = "restoreproof.builder"
"""On what a build has not finished yet: the process that builds, and the name of the image. Else empty."""


def labels(
    *, name: str, digest: str, versions: Mapping[str, str], java_caches: tuple[str, ...]
) -> dict[str, str]:
    """Return the labels of an image; ``java_caches``: the Java programs whose caches it carries."""
    return {
        IMAGE: name,
        LOCK: digest,
        VERSIONS: msgspec.json.encode(dict(versions), order="sorted").decode(),
        JAVA_CACHES: " ".join(java_caches),
        BUILDER: "",
    }


def builder(name: str) -> str:
    """Return what marks the unfinished image ``name`` of this process."""
    return f"{this_process()} {name}"


def versions(of: Mapping[str, str]) -> dict[str, str]:
    """Return the versions in an image's labels; none when it has no such label."""
    return msgspec.json.decode(of.get(VERSIONS, "{}"), type=dict[str, str])


def java_caches(of: Mapping[str, str]) -> tuple[str, ...]:
    """Return the Java programs whose ahead-of-time caches an image carries."""
    return tuple(of.get(JAVA_CACHES, "").split())
