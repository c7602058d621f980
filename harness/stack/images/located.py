"""Finds images: ours by the digest in their name and label, or those that a user runs instead of them."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from docker.client import DockerClient
from docker.errors import ImageNotFound
from docker.models import images as models

from harness.model.errors import MissingProgram, UnknownName
from harness.stack import java_cache, programs
from harness.stack.images import contents, engine, labels
from harness.stack.images.recipes import IMAGE_NAMES, ImageName, Recipe, jar_in_image, recipe
from harness.stack.options import JavaOptions
from harness.stack.programs import Programs

CURE = "run `make images`, or `python -m harness.stack.make_images` without a checkout"


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """An image that the engine has.

    ``reference`` is what ``docker run`` takes, ``id`` its ``sha256:``. ``versions``: of its program, and of
    ours also of each Debian package. ``own``: False when configuration put it in the place of ours.
    ``java_caches``: the Java programs (``broker``, ``connect``) whose ahead-of-time caches it carries.
    """

    name: ImageName
    reference: str
    id: str
    versions: dict[str, str]
    own: bool
    size_bytes: int
    java_caches: tuple[str, ...] = ()

    @property
    def postgres_major(self) -> int:
        """The major version of the image ``postgres``."""
        return contents.major(self.versions["postgres"])


def locate(wanted: Mapping[str, str], among: Programs | None = None) -> dict[ImageName, Image]:
    """Return all images: those ``wanted`` by configuration, ours for the rest; builds and pulls nothing.

    Raises MissingProgram without an engine or with images that are missing or stale, BadInput for an image
    of configuration that does not fit.
    """
    with engine.connected() as client:
        found = {made.name: find(client, made) for made in recipes_for(wanted, among)}
        missing = [name for name, image in found.items() if image is None]
        if missing:
            raise MissingProgram(f"images are missing or stale: {', '.join(missing)}", cure=CURE)
        ours = {name: image for name, image in found.items() if image is not None}
        theirs = {name: find_replaced(client, name, wanted[name]) for name in replaced(wanted)}
    return ours | theirs


def recipes_for(wanted: Mapping[str, str], among: Programs | None = None) -> list[Recipe]:
    """Return the recipes of those images that configuration leaves to us; raises UnknownName."""
    theirs = replaced(wanted)
    ours: list[ImageName] = [name for name in IMAGE_NAMES if name not in theirs]
    carried = among or programs.locate()
    return [recipe(name, carried) for name in ours]


def replaced(wanted: Mapping[str, str]) -> list[ImageName]:
    """Return the names of the images that configuration replaces; raises UnknownName."""
    for name in wanted:
        if name not in IMAGE_NAMES:
            raise UnknownName("image", name, list(IMAGE_NAMES))
    return [name for name in IMAGE_NAMES if name in wanted]


def find(client: DockerClient, made: Recipe) -> Image | None:
    """Return our image of this very recipe, or None."""
    try:
        image = client.images.get(made.reference)
    except ImageNotFound:
        return None
    if not is_of(image.labels, made):
        return None
    return _image(image, made.name, made.reference, labels.versions(image.labels), own=True)


def is_of(found: Mapping[str, str], made: Recipe) -> bool:
    """Whether an image with the labels ``found`` was built from this recipe."""
    return (found.get(labels.IMAGE), found.get(labels.LOCK)) == (made.name, made.digest)


def find_replaced(client: DockerClient, name: ImageName, reference: str) -> Image:
    """Return the image that is to run instead of ours; raises MissingProgram or BadInput."""
    try:
        image = client.images.get(reference)
    except ImageNotFound:
        cure = f"`docker pull {reference}`, or `make images`, which pulls it"
        raise MissingProgram(f"the image {reference} for {name} is not there", cure=cure) from None
    return _image(image, name, reference, {name: _version(client, name, image.id)}, own=False)


def is_there(client: DockerClient, reference: str) -> bool:
    """Whether the engine has an image of that name or id."""
    try:
        client.images.get(reference)
    except ImageNotFound:
        return False
    return True


def java_options(image: Image, among: Programs) -> JavaOptions:
    """Return the options that make the Java services use the caches that ``image`` carries."""
    places = {program: java_cache.cache(among, program) for program in image.java_caches}
    return {program: java_cache.options(jar_in_image(place, among)) for program, place in places.items()}


_known_versions: dict[tuple[ImageName, str], str] = {}


def _version(client: DockerClient, name: ImageName, image_id: str) -> str:
    """An id names its content, so each image is asked once."""
    key = (name, image_id)
    if key not in _known_versions:
        _known_versions[key] = contents.program_version(client, name, image_id)
    return _known_versions[key]


def _image(
    image: models.Image,
    name: ImageName,
    reference: str,
    versions: dict[str, str],
    *,
    own: bool,
) -> Image:
    return Image(
        name=name,
        reference=reference,
        id=str(image.id),
        versions=versions,
        own=own,
        size_bytes=int(image.attrs["Size"]),
        java_caches=labels.java_caches(image.labels),
    )
