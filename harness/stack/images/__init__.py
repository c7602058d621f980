"""The images of the containers host: what each is made of, building what is missing, finding them.

``ensure`` builds, ``locate`` only looks. An image is named after a digest of everything that goes into it,
so that a changed pin or Dockerfile is another image and never mistaken for the old one. One file, one duty:

- ``engine``: reaches the Docker engine, or says how to get one;
- ``recipes``: the table of images, and the digest of each;
- ``context``: what is sent to the engine for a build, packed with all times kept;
- ``base``: the Debian that all are built on, pulled (``pull``) or made;
- ``build``: makes one image, and ``outdated`` removes the one before it;
- ``contents``: asks an image what is in it, and ``labels`` keeps the answer;
- ``located``: finds images, ours or those that replace them;
- ``ensure``: puts these together.
"""

from __future__ import annotations

from harness.stack.images.ensure import ensure
from harness.stack.images.located import (
    CURE,
    Image,
    find,
    find_replaced,
    java_options,
    locate,
    recipes_for,
    replaced,
)
from harness.stack.images.recipes import IMAGE_NAMES, ImageName, Recipe, jar_in_image, repository

__all__ = [
    "CURE",
    "IMAGE_NAMES",
    "Image",
    "ImageName",
    "Recipe",
    "ensure",
    "find",
    "find_replaced",
    "jar_in_image",
    "java_options",
    "locate",
    "recipes_for",
    "replaced",
    "repository",
]
