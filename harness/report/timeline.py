"""Draws a story's timeline as SVG paths: one lane a tenant, seconds from left to right.

Each acked write is a tick at its ack and a thin line to the moment at which the bucket held it; a lost
one is drawn apart. All marks of one kind in a lane are one path, so that hundreds of tenants stay small.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from harness.report.story import Lane, Span, Story, Write

LANE_PX = 22
LEFT_PX = 96
WIDTH_PX = 1180
HEAD_PX = 96
EXPOSURE_PX = 44


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """A labelled rectangle, in pixels."""

    label: str
    x: float
    width: float


class DrawnLane(msgspec.Struct, frozen=True, kw_only=True):
    """One tenant's lane: its top in pixels, paths of saved and lost writes, bars of hits and restores."""

    lane: Lane
    y: float
    saved: str
    lost: str
    archived: str
    hits: tuple[Bar, ...]
    restores: tuple[Bar, ...]


class Drawing(msgspec.Struct, frozen=True, kw_only=True):
    """The whole timeline, in pixels."""

    width: float
    height: float
    left: float
    lane_px: float
    head: float
    lanes: tuple[DrawnLane, ...]
    phases: tuple[Bar, ...]
    faults: tuple[Bar, ...]
    ticks: tuple[Bar, ...]
    exposure: str
    exposure_top_s: float
    budget_y: float | None
    destroyed_x: float | None


class Scale:
    """Seconds to pixels."""

    def __init__(self, end_s: float) -> None:
        self._px_per_s = (WIDTH_PX - LEFT_PX - 8) / max(end_s, 0.001)

    def x(self, at_s: float) -> float:
        """Return the pixel at which ``at_s`` lies."""
        return round(LEFT_PX + at_s * self._px_per_s, 2)

    def bar(self, span: Span) -> Bar:
        """Return a span as a bar of at least two pixels."""
        x = self.x(span.begin_s)
        return Bar(label=span.label, x=x, width=max(2.0, round(self.x(span.end_s) - x, 2)))


def draw(story: Story) -> Drawing:
    """Lay out the timeline of a story."""
    scale = Scale(story.end_s)
    top_s = max([s for _, s in story.exposure] + [story.plan.budget_s]) * 1.1
    lanes = tuple(_lane(lane, HEAD_PX + number * LANE_PX, scale) for number, lane in enumerate(story.lanes))
    return Drawing(
        width=WIDTH_PX,
        height=HEAD_PX + len(lanes) * LANE_PX + 8,
        left=LEFT_PX,
        lane_px=LANE_PX,
        head=HEAD_PX,
        lanes=lanes,
        phases=tuple(scale.bar(phase) for phase in story.phases),
        faults=tuple(scale.bar(span) for span in _fault_spans(story)),
        ticks=_ticks(story.end_s, scale),
        exposure=_exposure(story.exposure, top_s, scale),
        exposure_top_s=top_s,
        budget_y=round(_exposure_y(story.plan.budget_s, top_s), 2),
        destroyed_x=None if story.destroyed_s is None else scale.x(story.destroyed_s),
    )


def _fault_spans(story: Story) -> Iterator[Span]:
    """Yield the time of each fault that bit: until it was healed, or until the end."""
    for fault in story.faults:
        if fault.begin_s is not None and fault.bit:
            end_s = story.end_s if fault.healed_s is None else fault.healed_s
            yield Span(label=fault.words, begin_s=fault.begin_s, end_s=end_s)


def _lane(lane: Lane, y: float, scale: Scale) -> DrawnLane:
    middle = y + LANE_PX / 2
    return DrawnLane(
        lane=lane,
        y=y,
        saved=_path((w for w in lane.writes if not w.lost), middle, 5, scale),
        lost=_path((w for w in lane.writes if w.lost), middle, 9, scale),
        archived=_archived(lane.writes, middle, scale),
        hits=tuple(scale.bar(hit) for hit in lane.hits),
        restores=tuple(scale.bar(restore) for restore in lane.restores),
    )


def _path(writes: Iterable[Write], middle: float, half: float, scale: Scale) -> str:
    return "".join(f"M{scale.x(w.acked_s)} {middle - half}v{2 * half}" for w in writes)


def _archived(writes: Iterable[Write], middle: float, scale: Scale) -> str:
    return "".join(
        f"M{scale.x(w.acked_s)} {middle}H{scale.x(w.archived_s)}"
        for w in writes
        if w.archived_s is not None
    )


def _exposure_y(seconds: float, top_s: float) -> float:
    return HEAD_PX - 8 - EXPOSURE_PX * min(seconds / top_s, 1.0)


def _exposure(steps: Iterable[tuple[float, float]], top_s: float, scale: Scale) -> str:
    base = HEAD_PX - 8
    return "".join(
        f"M{scale.x(max(at_s - s, 0))} {base}L{scale.x(at_s)} {_exposure_y(s, top_s):.2f}V{base}Z"
        for at_s, s in steps
    )


def _ticks(end_s: float, scale: Scale) -> tuple[Bar, ...]:
    step = next(s for s in (1, 2, 5, 10, 20, 60, 120, 300, 600, 3600, 10**9) if end_s / s <= 14)
    seconds = range(0, int(end_s) + 1, step)
    return tuple(Bar(label=f"{s} s", x=scale.x(s), width=0) for s in seconds)
