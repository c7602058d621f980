"""The envelope: the faults, how long each may last, and the survivors, for which the promise is made.

It is part of each plan. Outside it neither loss nor exposure is demanded, and the verdict is at best
unknown. A plan may ask for an envelope of its own: a wider one, to see a promise fail that nobody made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, get_args

import msgspec

from harness.model.faults import KINDS, Fault, kind_words, name_of, outage_s, touches

Seconds = Annotated[float, msgspec.Meta(ge=0)]

SurvivorKind = Literal["all", "standby", "archive"]

OUTAGE_S_MAX = 240.0
"""How long something may be down at most: the promise of 300 s, less what catching up may take."""

INSIDE_SHARE_MIN = 0.8
"""At least so many of a campaign's plans lie inside."""


class Allowed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Faults under which the promise is made: by their kind (``kill``) or name (``kill archiver``).

    ``longest_s``: for how long. ``survivors``: with which survivors.
    """

    fault: str
    longest_s: Seconds = OUTAGE_S_MAX
    survivors: tuple[SurvivorKind, ...] = get_args(SurvivorKind)

    def covers(self, name: str) -> bool:
        """Whether a fault of that name is meant."""
        return name == self.fault or name.startswith(f"{self.fault} ")


INSIDE: tuple[Allowed, ...] = tuple(
    Allowed(fault=kind_words(kind)) for kind, traits in KINDS.items() if traits.in_envelope
)
"""The kinds under which the promise is made unless a plan says otherwise."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For which ``faults`` and ``survivors`` the promise is made; of several that cover one, the first.

    ``outage_s``: for how long all of them together may keep writes from the archive, one after another.
    """

    faults: tuple[Allowed, ...] = INSIDE
    survivors: tuple[SurvivorKind, ...] = get_args(SurvivorKind)
    outage_s: Seconds = OUTAGE_S_MAX

    def reasons(self, survivors: str, faults: Sequence[Fault]) -> Iterator[str]:
        """Yield each reason why a plan lies outside, in words; none when it lies inside."""
        if survivors not in self.survivors:
            yield f"survivors {survivors}"
        for fault in faults:
            yield from self._reasons(name_of(fault), fault.down_s, survivors)
        blocking = [fault for fault in faults if touches(fault).blocked]
        together_s = outage_s(blocking)
        if len(blocking) > 1 and together_s > self.outage_s:
            yield f"outages of {together_s:g} s one after another, more than {self.outage_s:g} s"

    def _reasons(self, name: str, down_s: float, survivors: str) -> Iterator[str]:
        allowed = next((one for one in self.faults if one.covers(name)), None)
        if allowed is None:
            yield name
        elif survivors not in allowed.survivors:
            yield f"{name} with survivors {survivors}"
        elif down_s > allowed.longest_s:
            yield f"{name} for {down_s:g} s, more than {allowed.longest_s:g} s"


PROMISED = Envelope()
"""What is promised unless a plan says otherwise."""
