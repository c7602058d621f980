"""Draws the watermarks that a plan has checked: when, and by which tenants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hypothesis import strategies as st

from harness.generate.shapes import WatermarkShape
from harness.model.plan import Script
from harness.model.watermarks import WatermarkCheck

EARLIEST: Final = 300
"""Not before so many thousandths of its moment: too little would lie before the watermark."""

TENANTS_MAX: Final = 2
INCIDENT_S_MAX: Final = 1.0
"""How long after the first damaging COMMIT a watermark may be checked."""


def watermarks(least: int, most: int) -> st.SearchStrategy[tuple[WatermarkShape, ...]]:
    """Return a strategy of a plan's watermark checks, from ``least`` to ``most`` of them."""
    return st.lists(_watermark(), min_size=least, max_size=most).map(tuple)


@st.composite
def _watermark(draw: st.DrawFn) -> WatermarkShape:
    some = st.lists(st.integers(0, 63), min_size=1, max_size=TENANTS_MAX, unique=True)
    return WatermarkShape(
        moment=draw(st.sampled_from(("write", "write", "incident"))),
        at=draw(st.integers(EARLIEST, 1000)),
        tenants=tuple(draw(some)),
    )


def checks(
    shapes: Sequence[WatermarkShape], tenants: Sequence[str], scripts: Sequence[Script], write_s: float
) -> tuple[WatermarkCheck, ...]:
    """Return the checks that ``shapes`` ask for."""
    touched = {e.tenant for script in scripts for tx in script.transactions for e in tx.actual}
    untouched = [tenant for tenant in tenants if tenant not in touched]
    return tuple(_check(shape, tenants, untouched, write_s) for shape in shapes)


def _check(
    shape: WatermarkShape, tenants: Sequence[str], untouched: Sequence[str], write_s: float
) -> WatermarkCheck:
    after = shape.moment == "incident" and bool(untouched)
    of = untouched if after else tenants
    return WatermarkCheck(
        moment="incident" if after else "write",
        after_s=round(shape.at / 1000 * (INCIDENT_S_MAX if after else write_s), 3),
        tenants=tuple(dict.fromkeys(of[number % len(of)] for number in shape.tenants)),
    )
