"""``report.html`` of a campaign: its drills with their pages, and the coverage map of all of them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from harness.model import folder
from harness.model.errors import BadInput
from harness.model.faults import STAGES
from harness.model.verdict import CampaignVerdict, DrillVerdict, decode, decode_campaign
from harness.report import coverage, terminal
from harness.report.html import environment


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign, ready to be told: ``drills`` by the names of their folders."""

    name: str
    campaign: CampaignVerdict
    drills: dict[str, DrillVerdict]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    sentence: str
    unavailable: str


def write(out: Path) -> Path:
    """Write the page of a campaign into its folder and return its path; raises BadInput."""
    path = out / folder.REPORT
    path.write_text(render(read(out)), encoding="utf-8")
    return path


def read(out: Path) -> Told:
    """Read a campaign's folder; raises BadInput when it holds no judged campaign."""
    try:
        campaign = decode_campaign((out / folder.CAMPAIGN).read_bytes())
        drills = {run: decode((out / run / folder.VERDICT).read_bytes()) for run in campaign.runs}
    except (OSError, msgspec.DecodeError) as error:
        raise BadInput(
            f"{out}: {error}", cure="name the folder of a campaign, as `drill` printed it"
        ) from None
    the_map = coverage.of(drills.values())
    return Told(
        name=out.name,
        campaign=campaign,
        drills=drills,
        rows=coverage.rows(the_map),
        sentence=f"{terminal.sentence(tuple(drills.values()))} {coverage.sentence(the_map)}".strip(),
        unavailable=coverage.unavailable_words(campaign.unavailable),
    )


def render(told: Told) -> str:
    """Return the page as text; it refers to nothing but the pages of its own drills."""
    return environment().get_template("campaign.html.j2").render(told=told, stages=STAGES)
