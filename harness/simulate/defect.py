"""What a planted defect is: a system that is wrong in one decision, and what must be said of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from harness.model.attacks import Attack
from harness.model.layers import Layer
from harness.model.plan import Plan
from harness.model.watermarks import WatermarkCheck
from harness.simulate.world import Parts


class Defect(msgspec.Struct, frozen=True, kw_only=True):
    """A system that is wrong. ``caught_by``: names of checks, each of which must find it on its own plan;
    in a trial, whichever does first. ``says``: as what, *unknown* where nothing seen proves anything.

    ``where`` it sits, which blame has to name. ``parts`` makes it anew for each drill. ``failure_mode`` is
    its number in the catalogue of failure modes. ``near_miss`` looks like it and must be proven, None where
    nothing of the kind exists. ``step``: the kind of script in which it shows itself, in the plan of that
    ``seed``; None: any. ``attacks`` on the archive under which it shows itself, and ``watermark_checks``
    that must see it. ``no_near_miss``: why there is none.

    Of trials: ``kind`` of script to which their plans are bound, and how else they are ``changed``, where
    a campaign that knows nothing does not find it in time; ``hint`` says so in words.
    ``profile``: another one than the trials', where only a drill that could prove something says anything.
    """

    name: str
    failure_mode: str
    where: Layer
    words: str
    caught_by: tuple[str, ...]
    parts: Callable[[], Parts]
    near_miss: Callable[[], Parts] | None = None
    step: str | None = None
    seed: int = 0
    attacks: tuple[Attack, ...] = ()
    watermark_checks: tuple[WatermarkCheck, ...] = ()
    no_near_miss: str = ""
    says: Literal["broken", "unknown"] = "broken"
    kind: str = ""
    changed: Callable[[Plan], Plan] | None = None
    hint: str = ""
    profile: str = ""

    @property
    def switch(self) -> str:
        """How it is switched on: which parts of the system are replaced, and by what."""
        return _replaced(self.parts())

    @property
    def near_words(self) -> str:
        """How its near miss is switched on, or why there is none."""
        return f"`{_replaced(self.near_miss())}`" if self.near_miss else f"none: {self.no_near_miss}"


def _replaced(parts: Parts) -> str:
    return ", ".join(
        f"{field}={_name(getattr(parts, field))}"
        for field in parts.__struct_fields__
        if getattr(parts, field) is not getattr(_REFERENCE, field)
    )


def _name(part: object) -> str:
    return str(getattr(getattr(part, "func", part), "__name__", part))


_REFERENCE = Parts()
