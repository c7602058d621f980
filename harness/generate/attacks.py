"""Draws attacks on the archive. How often each kind comes up is data: the weights below."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

from harness.model.attacks import Attack, AttackKind, Moment

WEIGHTS: Final[dict[AttackKind, int]] = {
    "overwrite": 6,
    "delete": 2,
    "bypass governance": 1,
    "delete marker": 2,
    "shorten retention": 1,
    "suspend versioning": 1,
    "remove lock": 1,
    "forge entry": 6,
    "plant next key": 3,
    "foreign objects": 2,
    "replay entry": 2,
}
"""How many times each kind lies in the hat."""

LATEST_S: Final[dict[Moment, float]] = {"write": 5.0, "incident": 2.0, "restore": 0.0}
"""How far into its moment an attack may come: what is later might come after the moment's end."""

ATTACKS_MAX = 3
AIMS = (4, 24)
"""At how many objects an attack aims."""

_HAT = tuple(kind for kind, weight in WEIGHTS.items() for _ in range(weight))


def attacks() -> st.SearchStrategy[tuple[Attack, ...]]:
    """Return a strategy of a plan's attacks: none, or some."""
    return st.integers(0, ATTACKS_MAX).flatmap(_some)


def _some(count: int) -> st.SearchStrategy[tuple[Attack, ...]]:
    return st.lists(attack(), min_size=count, max_size=count).map(tuple)


@st.composite
def attack(draw: st.DrawFn) -> Attack:
    """Draw one attack."""
    moment = draw(st.sampled_from(tuple(LATEST_S)))
    low, high = AIMS
    return Attack(
        kind=draw(st.sampled_from(_HAT)),
        moment=moment,
        after_s=draw(st.integers(0, int(LATEST_S[moment] * 10))) / 10,
        aims=tuple(draw(st.lists(st.integers(0, 999), min_size=low, max_size=high, unique=True))),
    )
