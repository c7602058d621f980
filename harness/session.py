"""Puts the rooms together for drills on real services: stack, subject, world, runner, judge, report.

Used by the command line and by the pytest plugin; what is in here is only handing over.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from harness.model import folder, plan
from harness.model.errors import BadInput
from harness.model.history import Cut
from harness.model.position import parse_position, parse_xid
from harness.model.verdict import DrillVerdict, encode

if TYPE_CHECKING:
    from rich.console import Console

    from harness.drive.campaign import Campaign
    from harness.drive.progress import Progress
    from harness.model.plan import Plan
    from harness.schemas import LoadedSchema
    from harness.stack.host import HostName
    from harness.stack.options import StackOptions
    from harness.stack.stack import Stack
    from harness.stack.together import Progress as StackProgress
    from harness.subject.port import Subject

SEED_MAX = 2**31
ALLOCATIONS_PER_COLLECTION = 50_000
PROMISE_S = 300.0


class DrillOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line asked for.

    ``seed`` None: a new one. ``survivors``: ``every`` kind in turn, or one. ``schema``: a name or a folder.
    ``towards``: earlier runs, whose cells of the coverage map come last. ``host``: on which the plans are
    to run; faults that it can't do are not drawn. ``witness``: a second witness is heard, whatever the
    profile says.
    """

    schema: str = "helpdesk"
    profile: str = "quick"
    plans: int = 6
    seed: int | None = None
    tenants: int = 12
    survivors: Literal["every", "all", "standby", "archive"] = "every"
    budget_s: float | None = None
    out: Path = Path("runs")
    towards: tuple[Path, ...] = ()
    host: HostName = "local"
    witness: bool = False


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """Judged drills, the folder that holds their run folders, and faults that the host can't do.

    ``replays``: the command that runs each of them again.
    """

    out: Path
    verdicts: tuple[DrillVerdict, ...]
    replays: tuple[str, ...] = ()
    unavailable: dict[str, str] = {}


def draw(options: DrillOptions) -> Campaign:
    """Draw the plans that the options ask for; raises UnknownName and BadInput."""
    from harness.drive.campaign import Campaign
    from harness.generate.campaigns import campaign
    from harness.generate.profiles import profile_named
    from harness.generate.swarm import listed
    from harness.report import coverage
    from harness.schemas import load
    from harness.stack.world.faults import unavailable

    unable = partial(unavailable, host=options.host)
    _refuse_what_does_nothing(options)
    seed = secrets.randbelow(SEED_MAX) if options.seed is None else options.seed
    storm = profile_named(options.profile).storm
    plans = campaign(
        load(options.schema).schema,
        seed=seed,
        plans=options.plans,
        profile=options.profile,
        tenants=options.tenants,
        survivors=None if options.survivors == "every" else options.survivors,
        budget_s=options.budget_s,
        unavailable=unable,
        towards=coverage.read(options.towards, ()).hits,
        witness=options.witness,
    )
    return Campaign(
        plans=tuple(plans),
        seed=seed,
        profile=options.profile,
        unavailable=listed(unable) if storm else {},
    )


def _refuse_what_does_nothing(options: DrillOptions) -> None:
    from harness.generate.profiles import profile_named

    if options.towards and not profile_named(options.profile).swarm:
        raise BadInput(
            f"--towards chooses faults, and profile {options.profile} leaves none to choose",
            cure="leave --towards out, or ask for --profile storm",
        )
    if options.witness and options.survivors == "archive":
        raise BadInput(
            "a second witness can't be heard where only the archive survives",
            cure="ask for --survivors all or standby, or leave --witness out",
        )


def read_plan(path: Path, schema: str | None = None) -> Campaign:
    """Read and check a plan file, as a campaign of one; raises BadInput naming the file and the field.

    ``schema``: the name or folder to check it against, by default the name that the plan gives.
    """
    from harness.drive.campaign import Campaign
    from harness.generate.validate import validate
    from harness.schemas import load

    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}", cure="name a plan file or a run folder") from None
    the_plan = plan.decode(data, source=str(path))
    validate(the_plan, load(schema or the_plan.schema).schema)
    return Campaign(plans=(the_plan,), seed=the_plan.seed, profile=the_plan.profile)


def run_campaign(
    campaign: Campaign,
    *,
    schema: str,
    out: Path,
    console: Console,
    host: HostName = "local",
    planted: str = "",
) -> Judged:
    """Start a stack on ``host``, run and judge the campaign in a folder of its own below ``out``.

    Shows it at work; logs of all services lie there too, also when the stack does not come up. ``planted``:
    programs known to lose data, in place of the right ones. Raises BadInput before anything is started,
    HarnessFailed when the harness could not go on.
    """
    from harness.drive.campaign import run_name
    from harness.report import campaign as campaign_page
    from harness.report.live import LiveView
    from harness.stack.settings import stack_options

    promise_s = _promise_s(campaign.plans)
    folder_of_runs = out / time.strftime("%Y%m%d-%H%M%S")
    options = msgspec.structs.replace(stack_options(host), logs=folder_of_runs / folder.LOGS)
    if planted:
        options = _with_planted(options, planted)
    if any(the_plan.witnessed for the_plan in campaign.plans):
        _bring_witness()
        needed = any(the_plan.witnessed and the_plan.witness_needed for the_plan in campaign.plans)
        options = msgspec.structs.replace(options, witness=needed)
    with (
        LiveView(console) as view,
        LiveSession.open(schema, options, progress=view.step, promise_s=promise_s) as session,
    ):
        campaign = where_possible(campaign, session.stack.refuses_failover())
        verdicts = session.campaign(campaign, folder_of_runs, view)
    campaign_page.write(folder_of_runs)
    replays = tuple(replay_of(folder_of_runs / run_name(n)) for n in range(1, len(verdicts) + 1))
    return Judged(out=folder_of_runs, verdicts=verdicts, replays=replays, unavailable=campaign.unavailable)


def _with_planted(options: StackOptions, name: str) -> StackOptions:
    from harness.stack.programs import locate
    from harness.stack.programs.planted import planted
    from harness.stack.programs.progress import for_terminal

    with for_terminal() as watcher:
        programs = planted(name, locate(), watcher, host=options.host)
    return msgspec.structs.replace(options, programs=programs, java_options={})


def _bring_witness() -> None:
    """Fetch the program of the second witness, if it is not there."""
    from harness.stack.programs import barman, setup
    from harness.stack.programs.progress import for_terminal

    with for_terminal() as watcher:
        setup.bring((barman.part(),), watcher)


def where_possible(campaign: Campaign, no_failover: str) -> Campaign:
    """Return the campaign without plans that need a failover, if ``no_failover`` says why there is none.

    A campaign of such plans alone stays as it is, and is refused by name when it begins.
    """
    fixed = tuple(p for p in campaign.plans if p.survivors != "standby" and not p.switchovers)
    if not no_failover or not fixed:
        return campaign
    unavailable = {**campaign.unavailable, "survivors standby, switchovers": no_failover}
    return msgspec.structs.replace(campaign, plans=fixed, unavailable=unavailable)


def _promise_s(plans: Sequence[Plan]) -> float:
    """Return what all plans promise, since one archiver is told of it; raises BadInput if they differ."""
    promises_s = {the_plan.promise_s for the_plan in plans}
    if len(promises_s) > 1:
        raise BadInput(
            f"plans of one campaign promise different things: {sorted(promises_s)} s",
            cure="run them one by one",
        )
    return promises_s.pop()


def read_cut(before_xid: str | None, before_lsn: str | None) -> Cut:
    """Return the cut that the command line names, the archive's end if none; raises BadInput."""
    if before_xid is not None:
        xid = parse_xid(before_xid)
        return Cut(epoch=xid.epoch, xid=xid.xid)
    if before_lsn is None:
        return Cut()
    position = parse_position(before_lsn)
    return Cut(epoch=position.epoch, lsn_lower=position.lsn, lsn_upper=position.lsn)


def leaving_out(cut: Cut, xids: Sequence[str]) -> Cut:
    """Return the cut without what these transactions gave the tenant of others; raises BadInput."""
    return msgspec.structs.replace(cut, without=tuple(parse_xid(xid) for xid in xids))


def judge_run(run: Path) -> DrillVerdict:
    """Judge a run from its files, store ``verdict.json`` and ``report.html``, and return the verdict."""
    from harness.judge import check_run
    from harness.report import html

    verdict = check_run(run)
    (run / folder.VERDICT).write_bytes(encode(verdict))
    html.write(run)
    return verdict


def replay_of(run: Path) -> str:
    """Return the command that runs the plan of a run folder again."""
    from harness.report import replay, story

    return replay.command(run, story.environment(run))


def report_run(run: Path) -> Path:
    """Write the page of a run, judging it first when it was not; return the page's path."""
    from harness.report import html

    if not (run / folder.VERDICT).exists():
        judge_run(run)
    return html.write(run)


class LiveSession:
    """A running stack with its schema, on which drills are run one after another.

    One event loop lives as long as the session, since connections belong to a loop. Made by ``open``.
    """

    def __init__(
        self, stack: Stack, loaded: LoadedSchema, loop: asyncio.Runner, promise_s: float = PROMISE_S
    ) -> None:
        from harness.drive.campaign import Series
        from harness.stack.world.clock import WallClock
        from harness.stack.world.open import archive_config, open_world
        from harness.subject.reference.adapters.wiring import holdings_of, subject_of

        self.stack = stack
        self.schema = loaded.schema
        self.set_up_s: float | None = None
        self._loop = loop
        self.config = config = archive_config(stack, loaded, promise_s=promise_s)
        subject = subject_of(config, clock=WallClock())

        def subject_at(url: str) -> Subject:
            there = msgspec.structs.replace(config, s3_endpoint=url, s3_restorer_endpoint=url)
            return subject_of(there, clock=WallClock())

        holdings = holdings_of(config, stack.endpoints.s3_direct)
        world = open_world(stack, loaded, subject, subject_at, config=config, holdings=holdings)
        self._series = Series(world, loaded.schema, {**stack.evidence(), **_own_schema(loaded)})

    @classmethod
    @contextlib.contextmanager
    def open(
        cls,
        schema: str,
        options: StackOptions | None = None,
        *,
        progress: StackProgress | None = None,
        promise_s: float = PROMISE_S,
    ) -> Iterator[LiveSession]:
        """Start a stack for drills on ``schema`` (a name or a folder), and end it with the ``with``.

        ``options``: where and how; by default plain processes of this machine. ``promise_s``: what the
        archiver is told of the promise.
        Raises BadInput before anything is started, TimedOut or ServiceDied when it does not come up.
        """
        from harness.schemas import load
        from harness.stack.stack import Stack
        from harness.stack.together import silent

        loaded = load(schema)
        began_s = time.monotonic()
        with Stack.start(options, progress or silent) as stack, _loop() as loop:
            session = cls(stack, loaded, loop, promise_s)
            session.set_up_s = time.monotonic() - began_s
            yield session

    def campaign(
        self, campaign: Campaign, out: Path, progress: Progress | None = None
    ) -> tuple[DrillVerdict, ...]:
        """Run and judge all plans, each in a run folder below ``out``; return their verdicts."""
        timed = msgspec.structs.replace(campaign, set_up_s=self.set_up_s)
        _collect_seldom()
        return self._loop.run(self._series.campaign(timed, out, self._judge, progress))

    def drill(self, the_plan: Plan, run: Path) -> DrillVerdict:
        """Run one plan into the folder ``run`` and judge it."""
        _collect_seldom()
        self._loop.run(self._series.drill(the_plan, run))
        return self._judge(run)

    def _judge(self, run: Path) -> DrillVerdict:
        """Judge a run, after the logs of all services have been put beside it."""
        shutil.copytree(self.stack.logs_dir, run / folder.LOGS, dirs_exist_ok=True)
        return judge_run(run)


def _own_schema(loaded: LoadedSchema) -> dict[str, object]:
    """Return the folder of a schema that is not one of ours: its name alone does not find it again."""
    from harness.schemas import load, names

    name = loaded.schema.name
    ours = name in names() and load(name).folder == loaded.folder
    return {} if ours else {"schema": str(loaded.folder)}


def _collect_seldom() -> None:
    """Look for cycles of objects less often: a drill makes few, and each look visits all its rows.

    Plans are a million objects that stay: no collection needs to visit them again.
    """
    gc.freeze()
    gc.set_threshold(ALLOCATIONS_PER_COLLECTION)


def _loop() -> asyncio.Runner:
    """Return a runner on libuv's loop: hundreds of writers share its one thread."""
    import uvloop

    return asyncio.Runner(loop_factory=uvloop.new_event_loop)
