"""Drills one after another on one world, each in a run folder of its own, judged as soon as it ended.

The stack stays warm between drills. A drill in which the harness itself fails ends the campaign, since
nothing is known of the stack's state then; what was done until then is kept, judged and summed up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from harness.drive.journal import Environment, FolderJournal
from harness.drive.observer import Listed
from harness.drive.ports import World
from harness.drive.progress import Progress, Silent
from harness.drive.runner import run_drill
from harness.model import folder
from harness.model.errors import RestoreproofError
from harness.model.plan import Plan
from harness.model.schema import Schema
from harness.model.verdict import CampaignVerdict, DrillVerdict, Verdict, encode, merge, merge_drills

Judge = Callable[[Path], DrillVerdict]
"""Judges a run folder (and may write into it)."""


class Campaign(msgspec.Struct, frozen=True, kw_only=True):
    """Plans to be run in order. ``seed``: what they were drawn from; ``set_up_s``: until services ran.

    ``unavailable``: faults that were not drawn since the host can't do them, by name with the reason.
    """

    plans: tuple[Plan, ...]
    seed: int
    profile: str
    set_up_s: float | None = None
    unavailable: dict[str, str] = {}


class Series:
    """Runs drills on one world; remembers what the bucket held before each of them."""

    def __init__(self, world: World, schema: Schema, environment: Environment) -> None:
        self._world = world
        self._schema = schema
        self._environment = environment
        self._listed = Listed()

    async def drill(self, plan: Plan, run: Path, progress: Progress | None = None) -> None:
        """Run ``plan`` into the folder ``run``.

        Raises BadInput when that folder holds a run already, and what ended a drill that could not go on.
        """
        with FolderJournal(run, self._world.clock, self._environment) as journal:
            await run_drill(
                plan, self._schema, self._world, journal, progress=progress, listed=self._listed
            )

    async def campaign(
        self, campaign: Campaign, out: Path, judge: Judge, progress: Progress | None = None
    ) -> tuple[DrillVerdict, ...]:
        """Run and judge all plans into ``out``/drill-01, -02, ...; write ``campaign.json`` there.

        Raises what ended a drill that could not go on, after that drill too was judged and summed up.
        """
        watcher = progress or Silent()
        verdicts: list[DrillVerdict] = []
        try:
            for number, plan in enumerate(campaign.plans, 1):
                watcher.drill(number, len(campaign.plans), plan)
                run = out / run_name(number)
                try:
                    await self.drill(plan, run, watcher)
                except RestoreproofError as cause:
                    _judge_after(cause, run, judge, verdicts)
                    raise
                verdicts.append(judge(run))
                watcher.judged(number, verdicts[-1])
        finally:
            _sum_up(campaign, out, verdicts)
        return tuple(verdicts)


def run_name(number: int) -> str:
    """Return the name of a campaign's run folder, ``drill-01`` for the first."""
    return f"drill-{number:02}"


def _judge_after(cause: RestoreproofError, run: Path, judge: Judge, verdicts: list[DrillVerdict]) -> None:
    """Judge a drill that ``cause`` ended; that this fails as well must not hide the cause."""
    if not (run / folder.HISTORY).exists():
        return
    try:
        verdicts.append(judge(run))
    except RestoreproofError as late:
        cause.add_note(f"and then, while judging {run}: {late}")


def _sum_up(campaign: Campaign, out: Path, verdicts: Sequence[DrillVerdict]) -> None:
    missing: list[Verdict] = ["unknown"] if len(verdicts) < len(campaign.plans) else []
    summary = CampaignVerdict(
        verdict=merge([merge_drills(verdicts), *missing]),
        seed=campaign.seed,
        profile=campaign.profile,
        runs=tuple(run_name(number) for number in range(1, len(verdicts) + 1)),
        verdicts=tuple(v.verdict for v in verdicts),
        outside=tuple(run_name(number) for number, v in enumerate(verdicts, 1) if v.outside),
        unavailable=campaign.unavailable,
        set_up_s=campaign.set_up_s,
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / folder.CAMPAIGN).write_bytes(encode(summary))
