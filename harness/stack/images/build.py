"""Makes one image: builds it, runs its program to read the versions, labels it, removes the one before it.

Built without the engine's cache, since a rebuild shall bring the packages of today. The versions are known
only once the image exists, so labels are put on by a second build, which adds no layer.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import closing
from typing import IO

from docker.client import DockerClient

from harness.model.errors import MissingProgram
from harness.stack.images import base, contents, context, engine, labels, outdated
from harness.stack.images.recipes import Recipe
from harness.stack.programs.children import Stopped

_LAST_LINES = 8


def build(recipe: Recipe, stopping: threading.Event) -> None:
    """Build ``recipe`` on the base; raises MissingProgram, or Stopped once ``stopping`` is set."""
    scratch = f"{recipe.repository}:building"
    with engine.connected() as client:
        on = base.present(client)
        if not on:
            raise MissingProgram("the base image is gone again", cure="run `make images` once more")
        with context.packed(recipe) as packed:
            _run(client, recipe, packed, stopping, tag=scratch, buildargs={"BASE": on}, nocache=True)
        found = {"base": on, **_versions(client, recipe, scratch)}
        marks = labels.labels(
            name=recipe.name, digest=recipe.digest, versions=found, java_caches=recipe.java_caches
        )
        with context.only(f"FROM {scratch}\n") as packed:
            _run(client, recipe, packed, stopping, tag=recipe.reference, labels=marks)
        outdated.remove_others(client, recipe.reference)


def _versions(client: DockerClient, recipe: Recipe, image: str) -> dict[str, str]:
    """What the image says; the version of a pinned program is called as its pin calls it."""
    said = contents.program_version(client, recipe.name, image)
    return {**contents.distribution_versions(client, image), recipe.name: said, **recipe.versions}


def _run(
    client: DockerClient,
    recipe: Recipe,
    packed: IO[bytes],
    stopping: threading.Event,
    **options: object,
) -> None:
    """Run a build to its end; when told to stop, an answer left half-read makes the engine give it up."""
    answer = client.api.build(
        fileobj=packed, custom_context=True, decode=True, rm=True, forcerm=True, **options
    )
    try:
        with closing(answer):
            _listen(recipe, answer, stopping)
    except BaseException:
        outdated.remove_unfinished(client, labels.builder(recipe.name))
        raise


def _listen(recipe: Recipe, answer: Iterable[dict[str, str]], stopping: threading.Event) -> None:
    said: list[str] = []
    for news in answer:
        if stopping.is_set():
            raise Stopped
        said += news.get("stream", "").splitlines()
        if "error" in news:
            raise _failed(recipe, news["error"], said)


def _failed(recipe: Recipe, error: str, said: list[str]) -> MissingProgram:
    last_lines = " | ".join(line.strip() for line in said[-_LAST_LINES:] if line.strip())
    return MissingProgram(
        f"the image {recipe.name} can't be built: {error}; last lines: {last_lines}",
        cure="let containers reach a Debian mirror over plain HTTP, then `make images`",
    )
