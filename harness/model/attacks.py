"""Attacks on the archive, as values: what somebody does who has the bucket's credentials, but no key.

An attack is no fault: the guarantee says that nothing a restore reads changes by it, and nothing of it is
healed. What the object server answered to each of its acts goes into the history as its proof.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

AttackKind = Literal[
    "overwrite",
    "delete",
    "bypass governance",
    "delete marker",
    "shorten retention",
    "suspend versioning",
    "remove lock",
    "forge entry",
    "plant next key",
    "foreign objects",
    "replay entry",
]
"""What an attacker tries:

    overwrite            put other bytes over objects: each gets a new latest version (FM-85)
    delete               delete versions by their ids
    bypass governance    the same, with the header that lifts GOVERNANCE mode (FM-90)
    delete marker        delete objects without naming a version: they are hidden (FM-86)
    shorten retention    set an earlier date, and the weaker mode (FM-90)
    suspend versioning   suspend the bucket's versioning, so that overwrites would replace (FM-88)
    remove lock          take away the bucket's rule that locks by default (FM-89)
    forge entry          put a well-formed entry under the name that comes next: it would empty tables
    plant next key       put bytes of no meaning under the name that comes next (FM-84)
    foreign objects      put objects among, before and after the archive's own
    replay entry         put a copy of an old entry under the name that comes next
"""

Moment = Literal["write", "incident", "restore"]
"""Into the write phase; after the first damaging COMMIT was sent; or before the first restore."""

Permille = Annotated[int, msgspec.Meta(ge=0, le=999)]


class Attack(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One attack: what, when (``after_s`` into its moment), and at which objects.

    ``aims``: places in the bucket's listing by name, in thousandths of its length. Kinds that are about
    the bucket, or about the next name, take no aim.
    """

    kind: AttackKind
    moment: Moment
    after_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    aims: tuple[Permille, ...] = ()
