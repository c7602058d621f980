"""Shapes: the few numbers that strategies draw, from which everything else is expanded.

Hypothesis's choice budget is a few KiB for an example, a plan is megabytes: so only sizes, kinds and
seeds are drawn, and ``expand`` makes the rest with ``random.Random(seed)``.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from harness.model.attacks import Attack
from harness.model.faults import Fault
from harness.model.plan import Survivors, SwitchOver


class WatermarkShape(msgspec.Struct, frozen=True, kw_only=True):
    """A watermark's check: ``at``, in thousandths, into the write phase, or the time after the incident.

    ``tenants``: places in the list of those that no script touches, or of all for the write phase.
    """

    moment: Literal["write", "incident"]
    at: int
    tenants: tuple[int, ...]


Means = Literal["function", "cascade", "tables"]
"""How rows are removed: by the schema's own function, by cascade from the root, or table by table."""

Batching = Literal["one_each", "batches", "one_huge", "slow"]
"""One transaction per id, batches of ids, one huge transaction, or one per id with a pause between."""


class TenantShape(msgspec.Struct, frozen=True, kw_only=True):
    """One tenant: rows to begin with (control plane included), and how many writers it has.

    ``bulk_chars``: characters of long text that it begins with besides, in rows of their own.
    """

    rows: int
    writers: int = 1
    bulk_chars: int = 0


class HowShape(msgspec.Struct, frozen=True, kw_only=True):
    """How a script goes about it, whatever it does.

    ``batch``: ids a transaction, for batches. ``killed_after``: the script is killed in its transaction of
    that number (modulo their count) and run again from the start; None: it is not.
    ``lasts_s``: how long a slow script takes, about; None: as usual.
    """

    means: Means = "tables"
    batching: Batching = "one_huge"
    control_plane: bool = False
    batch: int = 2
    killed_after: int | None = None
    lasts_s: float | None = None


class ScriptShape(msgspec.Struct, frozen=True, kw_only=True):
    """A script: its step ``kind``, how many tenants it hits by mistake, which (by ``seed``), and how.

    ``rightly``: how many tenants it deletes as intended; ``marked``: how many it marks as intended.
    ``mark``: what is done by mistake is a mark.
    """

    kind: str
    seed: int = 0
    hit: int = 1
    rightly: int = 0
    marked: int = 0
    mark: bool = False
    how: HowShape = HowShape()


class SwarmShape(msgspec.Struct, frozen=True, kw_only=True):
    """Faults of a plan beside the one that is drawn alone; ``late``: the last one lasts into the script."""

    faults: tuple[Fault, ...] = ()
    late: bool = False


class PlanShape(msgspec.Struct, frozen=True, kw_only=True):
    """All that is drawn of a plan. ``first_id`` is the first tenant's number.

    ``again``: how many of the damaged tenants are damaged a second time. ``quiet``: which of the first
    ones damaged is quiet.
    """

    seed: int
    first_id: int
    tenants: tuple[TenantShape, ...]
    survivors: Survivors
    initial: Literal["snapshot", "streamed"]
    script: ScriptShape
    destroy_after_s: float = 0.0
    switchovers: tuple[SwitchOver, ...] = ()
    fenced: bool = False
    script_goes_on: bool = False
    again: int = 0
    quiet: int = 0
    fault: Fault | None = None
    swarm: SwarmShape = SwarmShape()
    attacks: tuple[Attack, ...] = ()
    watermarks: tuple[WatermarkShape, ...] = ()
