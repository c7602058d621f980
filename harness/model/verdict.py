"""Verdicts: what a judge says, and how verdicts merge.

*broken* > *unknown* > *proven*: merging takes the worst, so unknown never becomes proven.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from harness.model import coverage
from harness.model.envelope import INSIDE_SHARE_MIN
from harness.model.errors import EXIT_BROKEN, EXIT_PROVEN, EXIT_UNKNOWN
from harness.model.layers import Layer
from harness.model.values import Cell, Key

Verdict = Literal["proven", "unknown", "broken"]

_RANK: dict[Verdict, int] = {"proven": 0, "unknown": 1, "broken": 2}
EXIT_OF: dict[Verdict, int] = {
    "proven": EXIT_PROVEN,
    "unknown": EXIT_UNKNOWN,
    "broken": EXIT_BROKEN,
}


def merge(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst verdict; of none at all, unknown: nothing was seen."""
    return max(verdicts, key=_RANK.__getitem__, default="unknown")


class Blame(msgspec.Struct, frozen=True, kw_only=True):
    """Where a write was lost, or went wrong: the layer, None where that can't be told, and how one knows.

    ``words`` say where it was last seen, and where it was not.
    """

    layer: Layer | None
    words: str


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a check found. ``check`` names it, ``point`` the guarantee's point (0: none).

    ``verdict`` is what it makes of the drill (broken or unknown). The rest says where: the row, the cell
    with what was expected and found, the operation (transaction name) that wrote it, a loss in seconds,
    and what is to be blamed.
    """

    check: str
    point: int
    verdict: Literal["broken", "unknown"]
    message: str
    tenant: str | None = None
    restore: int | None = None
    table: str | None = None
    key: Key | None = None
    column: str | None = None
    expected: Cell = None
    found: Cell = None
    operation: str | None = None
    loss_s: float | None = None
    blame: Blame | None = None


class TenantVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """One tenant of the census; figures are the worst over its restores, None when there were none."""

    tenant: str
    damaged: bool
    rightly_deleted: bool = False
    quiet: bool = False
    verdict: Verdict
    loss_s: float | None = None
    exposure_s: float | None = None
    restore_s: float | None = None
    bytes_read: int | None = None
    rows: int | None = None
    row_bytes: int | None = None
    findings: tuple[Finding, ...] = ()


Said = Literal["agrees", "explained", "differs", "not judged"]


class Testimony(msgspec.Struct, frozen=True, kw_only=True):
    """What the second witness said of one tenant. ``restore``: the one it was held against, 0 for none.

    ``said``: *explained* where it differs by what the guarantee allows, as the judge found too.
    ``digest``: of all rows that it has of the tenant, in hex; empty where nothing was judged. ``words`` say
    what differs, or why nothing was judged.
    """

    tenant: str
    restore: int
    said: Said
    words: str = ""
    digest: str = ""
    rows: int = 0


class DrillVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """``verdict.json``: the verdict of one drill, with its evidence. ``plan`` is a path.

    ``outside``: why the plan lies outside its envelope, in words; empty when it lies inside. ``cells``:
    what the drill marks on the coverage map. ``witness``: what a second witness said, where the plan asks
    for one.
    """

    verdict: Verdict
    budget_s: float
    profile: str
    plan: str
    script: str
    survivors: str
    points_judged: tuple[str, ...]
    points_not_judged: tuple[str, ...]
    tenants: tuple[TenantVerdict, ...]
    outside: tuple[str, ...] = ()
    cells: tuple[coverage.Cell, ...] = ()
    witness: tuple[Testimony, ...] = ()
    findings: tuple[Finding, ...] = ()
    worst_loss_s: float | None = None
    worst_loss_tenant: str | None = None
    worst_exposure_s: float | None = None
    worst_exposure_tenant: str | None = None
    slowest_restore_s: float | None = None

    @property
    def every_finding(self) -> list[Finding]:
        """Those of the drill itself, then those of each tenant."""
        return [*self.findings, *(f for tenant in self.tenants for f in tenant.findings)]


class CampaignVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """``campaign.json``: many drills; ``runs`` are folders relative to the campaign's.

    ``outside``: those of them whose plans lie outside their envelope. ``unavailable``: faults that the host
    can't do, by name with the reason.
    """

    verdict: Verdict
    seed: int
    profile: str
    runs: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    outside: tuple[str, ...] = ()
    unavailable: dict[str, str] = {}
    set_up_s: float | None = None


def merge_drills(drills: Sequence[DrillVerdict]) -> Verdict:
    """Return a campaign's verdict: that of the plans inside their envelope.

    Plans outside can only add *broken*. When too few lie inside, the campaign is at best *unknown*.
    """
    inside = [drill.verdict for drill in drills if not drill.outside]
    outside = [drill.verdict for drill in drills if drill.outside and drill.verdict == "broken"]
    few: list[Verdict] = ["unknown"] if len(inside) < INSIDE_SHARE_MIN * len(drills) else []
    return merge([*inside, *few, *outside])


def encode(value: DrillVerdict | CampaignVerdict) -> bytes:
    """Return the verdict as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(value), indent=1)


def decode(data: bytes) -> DrillVerdict:
    """Read ``verdict.json``; raises msgspec.DecodeError."""
    return msgspec.json.decode(data, type=DrillVerdict)


def decode_campaign(data: bytes) -> CampaignVerdict:
    """Read ``campaign.json``; raises msgspec.DecodeError."""
    return msgspec.json.decode(data, type=CampaignVerdict)
