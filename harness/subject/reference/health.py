"""How the archiver is doing, by its own heartbeats: what would be lost now, and where they got stuck. Pure.

A heartbeat is a row that the archiver writes to the database and awaits in the archive. When one is durable
in the bucket, so is every transaction that was committed before it was written. So the exposure is the age
of the newest durable heartbeat, on the archiver's own monotonic clock. Three things look alike from outside
and differ here (FM-71): nobody writes and all is well; heartbeats can't be written; they don't arrive.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import msgspec

from harness.model.position import parse_position

PROMISE_S = 300.0
BEHIND_INTERVALS = 5
"""Behind is who is more flush intervals late than this."""

State = Literal["ok", "behind", "breached", "stopped"]
Pipeline = Literal["working", "idle", "heartbeat not written", "heartbeat not arrived"]


class Beaten(msgspec.Struct, frozen=True, kw_only=True):
    """A heartbeat that was written: its number, when by the database's clock, and what was seen with it.

    ``slot_lag_bytes``: WAL that the capture has not yet confirmed, of the slot that is furthest behind;
    None without a slot.
    """

    beat: int
    at: str = ""
    slot_lag_bytes: int | None = None


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """One look at an archiver. ``exposure_s`` is None before its first heartbeat could be written."""

    state: State
    pipeline: Pipeline
    exposure_s: float | None
    slot_lag_bytes: int | None = None
    watermark: str | None = None


class Pulse:
    """Follows heartbeats from their writing to the archive. Times are monotonic seconds."""

    def __init__(self, *, interval_s: float, promise_s: float = PROMISE_S) -> None:
        self._interval_s, self._promise_s = interval_s, promise_s
        self._written: dict[int, float] = {}
        self._archived_at: str | None = None
        self._wrote_s: float | None = None
        self._durable_s: float | None = None
        self._idle = False
        self.slot_lag_bytes: int | None = None

    def start(self, now_s: float, archived_at: str | None) -> None:
        """Begin; ``archived_at`` is the newest archived heartbeat's time on the database's clock."""
        self._archived_at, self._wrote_s = archived_at, now_s

    def wrote(self, beaten: Beaten, began_s: float) -> None:
        """Note a heartbeat, whose writing began at ``began_s``."""
        self._wrote_s, self.slot_lag_bytes = began_s, beaten.slot_lag_bytes
        self._written.setdefault(beaten.beat, began_s)
        if self._durable_s is None:
            self._durable_s = began_s - (_seconds_between(self._archived_at, beaten.at) or 0.0)

    def durable(self, beat: int, *, idle: bool) -> None:
        """Note the newest heartbeat in the archive; ``idle``: it came with nothing else."""
        known = [number for number in self._written if number <= beat]
        if known:
            self._durable_s = max(self._durable_s or 0.0, self._written[max(known)])
            self._idle = idle
        for number in known:
            del self._written[number]

    def health(self, now_s: float, *, watermark: str | None = None) -> Health:
        """Say how it is now."""
        exposure_s = None if self._durable_s is None else max(now_s - self._durable_s, 0.0)
        return Health(
            state=state_of(exposure_s, interval_s=self._interval_s, promise_s=self._promise_s),
            pipeline=self._pipeline(exposure_s, now_s),
            exposure_s=exposure_s,
            slot_lag_bytes=self.slot_lag_bytes,
            watermark=watermark,
        )

    def _pipeline(self, exposure_s: float | None, now_s: float) -> Pipeline:
        late_s = BEHIND_INTERVALS * self._interval_s
        if self._wrote_s is None or now_s - self._wrote_s > late_s:
            return "heartbeat not written"
        if exposure_s is None or exposure_s > late_s:
            return "heartbeat not arrived"
        return "idle" if self._idle else "working"


class Trail:
    """Follows an archive from outside, by the newest heartbeat that each of its entries holds.

    An archiver that works off what an outage left moves on and is late all the same: so each entry brings
    the archive no further than its heartbeat is younger than the one before. Times are monotonic seconds
    of the reader; only differences of the database's clock count, and one that went back counts nothing.
    """

    def __init__(self) -> None:
        self._late_s = 0.0
        self._at: str | None = None
        self.moved_s: float | None = None

    def moved(self, now_s: float, at: str | None) -> None:
        """Note that an entry was added whose newest heartbeat was written ``at``."""
        if self.moved_s is not None:
            passed_s = now_s - self.moved_s
            self._late_s = max(0.0, self._late_s + passed_s - self._gained_s(at, passed_s))
        self._at = at or self._at
        self.moved_s = now_s

    def exposure_s(self, now_s: float, *, interval_s: float) -> float | None:
        """Return an upper bound of what would be lost now; None before the archive was seen to move."""
        if self.moved_s is None:
            return None
        return self._late_s + now_s - self.moved_s + 2 * interval_s

    def _gained_s(self, at: str | None, passed_s: float) -> float:
        """Return by how much the archive came closer: all that passed, where no clock can tell."""
        try:
            gained_s = (_time(at or "") - _time(self._at or "")).total_seconds()
        except (ValueError, TypeError):
            return passed_s
        return gained_s if gained_s >= 0 else passed_s


def state_of(exposure_s: float | None, *, interval_s: float, promise_s: float) -> State:
    """Return what an exposure amounts to; one that is unknown is behind."""
    if exposure_s is not None and exposure_s > promise_s:
        return "breached"
    late = exposure_s is None or exposure_s > BEHIND_INTERVALS * interval_s
    return "behind" if late else "ok"


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What an archiver knows to be in the bucket; ``refused``: objects there that are nobody's entry."""

    entries: int = 0
    segments: int = 0
    refused: int = 0


def open_metrics(health: Health, held: Held) -> str:
    """Write a look at an archiver as OpenMetrics text; what is unknown is left out."""
    watermark = parse_position(health.watermark) if health.watermark else None
    gauges: list[tuple[str, float | None]] = [
        ("exposure_seconds", health.exposure_s),
        ("slot_lag_bytes", health.slot_lag_bytes),
        ("watermark_epoch", watermark.epoch if watermark else None),
        ("watermark_lsn_bytes", watermark.lsn if watermark else None),
        ("manifest_entries", held.entries),
        ("segments", held.segments),
        ("refused_objects", held.refused),
        *((f'state{{state="{state}"}}', health.state == state) for state in _STATES),
        *((f'pipeline{{pipeline="{name}"}}', health.pipeline == name) for name in _PIPELINES),
    ]
    lines: list[str] = []
    for name, value in gauges:
        family = f"restoreproof_archive_{name.partition('{')[0]}"
        if value is not None:
            head = f"# TYPE {family} gauge"
            lines += [head] if head not in lines else []
            lines.append(f"restoreproof_archive_{name} {float(value):.15g}")
    return "\n".join([*lines, "# EOF", ""])


_STATES: tuple[State, ...] = ("ok", "behind", "breached", "stopped")
_PIPELINES: tuple[Pipeline, ...] = ("working", "idle", "heartbeat not written", "heartbeat not arrived")


def exposed_s(by_beat_s: float | None, said_s: float, *, at_work: bool) -> float:
    """Return the exposure, of the age of the newest archived heartbeat and what the archiver last said.

    The first is by the database's clock, which may have been set back, the second by a monotonic one; yet
    one that is not ``at_work`` any more may have been followed by another, which it knows nothing of.
    """
    if by_beat_s is None:
        return said_s
    return max(by_beat_s, said_s) if at_work else by_beat_s


def age_s(at: str, now: str | None) -> float | None:
    """Return how old a printed time is by the same clock's ``now``, or by this machine's."""
    return _seconds_between(at, now or datetime.now(UTC).isoformat())


def _seconds_between(earlier: str | None, later: str) -> float | None:
    """Return how far two printed times lie apart; None when either can't be read."""
    try:
        return max((_time(later) - _time(earlier or "")).total_seconds(), 0.0)
    except (ValueError, TypeError):  # TypeError: one of them has no offset
        return None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
