"""What a defect replaces in a running stack, and what must be said of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from harness.model.layers import Layer
from harness.model.plan import Plan, Survivors
from harness.stack.world.misset import AS_THEY_SHOULD_BE, Misset
from harness.subject.port import Subject
from harness.subject.reference.adapters.postgres_target import PostgresTarget
from harness.subject.reference.archiver import Archiver
from harness.subject.reference.config import ArchiveConfig
from harness.subject.reference.restorer import Restorer

ArchiverKind = Callable[[ArchiveConfig], Callable[..., Archiver]]
"""Says, in the archiver's own process, which archiver is to be made."""


class Plant(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a stack and of the backup system on it: the reference ones, or wrong ones.

    ``archiver``: another kind of archiver, None for the reference's. ``programs``: planted ones, as
    ``drill --planted`` knows them.
    """

    restorer: type[Restorer] = Restorer
    target: type[PostgresTarget] = PostgresTarget
    subject: Callable[[Subject, ArchiveConfig], Subject] = lambda subject, _: subject
    archiver: ArchiverKind | None = None
    misset: Misset = AS_THEY_SHOULD_BE
    programs: str = ""

    @property
    def is_guest(self) -> bool:
        """Whether only who restores is wrong: the stack and its archive are as they should be."""
        services = self.archiver is None and self.misset is AS_THEY_SHOULD_BE and not self.programs
        return services and self.target is PostgresTarget


class LiveDefect(msgspec.Struct, frozen=True, kw_only=True):
    """A defect on real services; fields as those of ``simulate.defect.Defect``.

    ``switch``: how it is switched on, in words. ``near_switch``: how its near miss is, or why there is
    none (``near_miss`` None). A trial has a few minutes, in which a campaign shows half of the kinds of
    script: so plans of more defects are bound to a ``kind`` here, to ``survivors`` or ``changed``, than in
    simulations.
    """

    name: str
    failure_mode: str
    where: Layer
    words: str
    caught_by: tuple[str, ...]
    plant: Callable[[], Plant]
    switch: str
    near_miss: Callable[[], Plant] | None = None
    near_switch: str
    says: Literal["broken", "unknown"] = "broken"
    kind: str = ""
    survivors: Survivors | None = None
    changed: Callable[[Plan], Plan] | None = None
    hint: str = ""
    profile: str = ""
