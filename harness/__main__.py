"""The command line. Each command reads its arguments, hands over to a room, and ends with its exit code.

Exit codes: 0 proven, 1 broken, 2 unknown, 64 bad usage or configuration, 70 the harness itself failed.
Heavy rooms are imported by the command that needs them, so that ``--help`` answers at once.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer
from rich.console import Console
from typer.exceptions import TyperException

from harness.model.errors import (
    EXIT_BAD_INPUT,
    EXIT_BROKEN,
    EXIT_HARNESS_FAILED,
    EXIT_PROVEN,
    EXIT_UNKNOWN,
    BadInput,
    RestoreproofError,
)

if TYPE_CHECKING:
    from harness.model.history import Cut
    from harness.session import Judged

app = typer.Typer(
    name="restoreproof",
    help="Prove that every tenant can be restored alone, or find out which one can't.",
    epilog="Exit codes: 0 proven, 1 broken, 2 unknown, 64 bad usage, 70 the harness failed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
archive_app = typer.Typer(help="Run and inspect the reference archive.", no_args_is_help=True)
app.add_typer(archive_app, name="archive")

Profile = Literal["quick", "storm", "audit"]
PROFILES = (
    "quick: about 20 s a drill; storm: every fault and attack; audit: the real 300 s, about 17 min a drill."
)
SURVIVORS = (
    "all: everything; standby: the primary is lost for good; archive: only bucket and keys are left; "
    "every: each in turn."
)
Out = Annotated[Path, typer.Option("--out", help="Folder for run folders; made when absent.")]
Json = Annotated[bool, typer.Option("--json", help="Print the verdict as JSON and nothing else.")]
SchemaName = Annotated[str, typer.Option("--schema", help="helpdesk, shop, or a folder of your own.")]
Config = Annotated[Path, typer.Option("--config", help="The archive's configuration file.")]
Without = Annotated[
    list[str] | None,
    typer.Option(
        metavar="EPOCH:XID",
        help="Exclude the rows that this transaction moved to the tenant from others. Repeatable.",
    ),
]
BeforeTime = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Cut before the tenant's first change from then on, e.g. 2026-04-05T07:38:00Z.",
    ),
]
Towards = Annotated[
    list[Path] | None,
    typer.Option(
        help="Folders of earlier runs; a storm then prefers faults and scripts they did not cover."
    ),
]
Witness = Annotated[
    bool, typer.Option("--witness", help="Also compare restores with a point-in-time restore by Barman.")
]
Run = Annotated[Path, typer.Argument(help="A run folder, as `drill` printed it.")]
Host = Annotated[
    Literal["local", "containers"],
    typer.Option(help="Where services run: as plain processes of this machine, or in containers."),
]


def _seed(text: str) -> int:
    if not text.isdigit():
        raise typer.BadParameter(f"{text!r} is not a number; give a whole number from 0")
    return int(text)


Seed = Annotated[
    int | None,
    typer.Option(
        parser=_seed,
        metavar="NUMBER",
        help="Same number, same plans (with the same version). Default: a new one, which the run stores.",
    ),
]
Defects = Annotated[
    list[str] | None,
    typer.Option(metavar="WORDS", help="Only defects with these words in their names. Repeatable."),
]
Trials = Annotated[
    int | None,
    typer.Option(min=1, max=1000, help="Campaigns against each defect. Default: 20; on real services 3."),
]
Plans = Annotated[
    int | None, typer.Option(min=0, help="Plans without a defect. Default: 2000; on real services 100.")
]
Processes = Annotated[
    int | None, typer.Option(min=1, help="How many simulations at once. Default: one a core.")
]


@app.command()
def drill(  # noqa: PLR0913, PLR0917 - each is an option of the command line
    profile: Annotated[Profile, typer.Option(help=PROFILES)] = "quick",
    plans: Annotated[int, typer.Option(min=1, help="How many drills.")] = 6,
    seed: Seed = None,
    tenants: Annotated[int, typer.Option(min=3, max=1000, help="Tenants in each drill.")] = 12,
    survivors: Annotated[
        Literal["every", "all", "standby", "archive"],
        typer.Option(help=SURVIVORS),
    ] = "every",
    budget: Annotated[
        float | None, typer.Option(min=0.1, help="Loss allowed, in seconds. Default: the profile's.")
    ] = None,
    towards: Towards = None,
    host: Host = "local",
    schema: SchemaName = "helpdesk",
    out: Out = Path("runs"),
    witness: Witness = False,
    json: Json = False,
    planted: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Break tenants on real services, restore each alone, and judge.

    Starts Postgres (primary and synchronous standby), Kafka, Connect with Debezium and MinIO, lets writers
    and a random delete script loose, destroys what the plan says, restores every tenant and compares.
    Images and limits of containers are set in restoreproof.toml, in the working directory.
    To run a plan file, use `replay`.
    """
    from harness import session

    options = session.DrillOptions(
        profile=profile, plans=plans, seed=seed, tenants=tenants, survivors=survivors,
        budget_s=budget, schema=schema, out=out, towards=tuple(towards or ()),
        host=host, witness=witness,
    )  # fmt: skip
    judged = session.run_campaign(
        session.draw(options), schema=schema, out=out, console=_console(json), host=host, planted=planted
    )
    _finish(judged, json)


@app.command()
def replay(
    what: Annotated[Path, typer.Argument(metavar="RUN|PLAN", help="A run folder or a plan file.")],
    schema: Annotated[
        str | None,
        typer.Option(help="A folder of your own, if the plan was for one. Default: the plan's schema."),
    ] = None,
    host: Host = "local",
    out: Out = Path("runs"),
    json: Json = False,
) -> None:
    """Run the plan of a run folder, or a plan file, on a new stack.

    The earlier run may have been on either host; --host says where to run it now.
    """
    from harness import session
    from harness.model import folder

    path = what / folder.PLAN if what.is_dir() else what
    campaign = session.read_plan(path, schema)
    named = schema or campaign.plans[0].schema
    judged = session.run_campaign(campaign, schema=named, out=out, console=_console(json), host=host)
    _finish(judged, json)


@app.command()
def check(run: Run, json: Json = False) -> None:
    """Judge a stored run again, from its files alone."""
    from harness import session

    verdict = session.judge_run(run)
    _finish(session.Judged(out=run, verdicts=(verdict,), replays=(session.replay_of(run),)), json)


@app.command()
def report(run: Run) -> None:
    """Write report.html of a run, judging it first when it was not."""
    from harness import session

    typer.echo(session.report_run(run))


@app.command()
def coverage(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, campaigns, or folders of campaigns.")],
    json: Annotated[bool, typer.Option("--json", help="Print the map as JSON and nothing else.")] = False,
) -> None:
    """Say which faults have met which stages, under which scripts."""
    from harness.generate.steps import STEPS
    from harness.report import coverage as maps

    the_map = maps.read(runs, (step.kind for step in STEPS.values() if step.weight))
    if json:
        _print_json(maps.told(the_map))
    else:
        typer.echo("\n".join(maps.lines(the_map)))


@app.command()
def power(  # noqa: PLR0913, PLR0917 - each is an option of the command line
    defects: Defects = None,
    trials: Trials = None,
    plans: Plans = None,
    host: Annotated[
        Literal["simulated", "local"], typer.Option(help="Where drills are run.")
    ] = "simulated",
    seed: Seed = None,
    schema: SchemaName = "helpdesk",
    processes: Processes = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for results; goes on where it was.")] = Path(
        "runs/power"
    ),
    json: Json = False,
) -> None:
    """Measure which planted defects campaigns catch, and false alarms.

    In simulations, or on real services, where it takes long; stopped, it goes on with the same --out.
    Ends with 0 when every trial caught its defect by an expected check, and nothing else was called broken;
    with 1 when not; with 2 when something could not be run.
    """
    from harness.power import measure
    from harness.power.live import measure as live
    from harness.report import power as report

    _refuse_what_does_nothing(host, processes)
    usual_trials, usual_plans = measure.USUAL[host]
    options = measure.Options(
        defects=tuple(defects or ()), host=host, seed=seed, schema=schema, processes=processes, out=out,
        trials=trials or usual_trials, plans=usual_plans if plans is None else plans,
    )  # fmt: skip
    made = (live if host == "local" else measure).measure(options, _console(json))
    if json:
        _print_json(made)
    else:
        report.show(Console(highlight=False), made, str(out))
    raise typer.Exit(EXIT_BROKEN if not made.sharp else EXIT_PROVEN if made.whole else EXIT_UNKNOWN)


def _refuse_what_does_nothing(host: str, processes: int | None) -> None:
    if host == "local" and processes is not None:
        raise BadInput(
            "--processes is for simulations: on real services there is one stack at a time",
            cure="leave out --processes, or --host local",
        )


@app.command()
def up(schema: SchemaName = "helpdesk", host: Host = "local") -> None:
    """Start a stack, print its addresses, and hold it until Ctrl-C."""
    from harness.stack.settings import stack_options
    from harness.stack.up import hold

    hold(schema, stack_options(host))


@app.command()
def doctor(
    deep: Annotated[bool, typer.Option("--deep", help="Hash every program again.")] = False,
) -> None:
    """Say what was found, what is missing, and the cure of each fault."""
    from harness.stack import doctor as doctors

    raise typer.Exit(doctors.main(deep=deep))


@archive_app.command("run")
def archive_run(
    config: Config,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Go on with an archive that another archiver writes.")
    ] = False,
) -> None:
    """Archive a configured stack until stopped."""
    from harness.subject.reference import process

    raise typer.Exit(process.run(config, take_over=take_over))


@archive_app.command("status")
def archive_status(config: Config) -> None:
    """Print watermark, exposure, segments and bytes as JSON."""
    from harness.subject.reference import process

    _print_json(process.status(config))


@archive_app.command("verify")
def archive_verify(config: Config) -> None:
    """Check chain, signatures, hashes, retention and gaps."""
    from harness.subject.reference import process

    _print_json(process.verify(config))


@archive_app.command("key")
def archive_key(config: Config) -> None:
    """Print the public key for `verify_key`.

    Makes the signing key first, if there is none.
    """
    from harness.subject.reference import process

    typer.echo(process.key(config))


@archive_app.command("resnapshot")
def archive_resnapshot(config: Config) -> None:
    """Take a fresh snapshot, once the archiver has stopped.

    It stops at a gap, or at something it can't carry.
    """
    from harness.subject.reference import process

    _print_json(process.resnapshot(config))


@archive_app.command("incidents")
def archive_incidents(config: Config) -> None:
    """List transactions that took most of a tenant's rows.

    As JSON, from the archive alone.
    """
    from harness.subject.reference import process

    _print_json(process.incidents(config))


@app.command()
def restore(  # noqa: PLR0913, PLR0917 - each is an option of the command line
    tenant: Annotated[str, typer.Option(help="The tenant's id.")],
    config: Config,
    before_xid: Annotated[
        str | None, typer.Option(metavar="EPOCH:XID", help="Cut just before this transaction.")
    ] = None,
    before_lsn: Annotated[
        str | None, typer.Option(metavar="EPOCH:LSN", help="Cut at this position.")
    ] = None,
    incident: Annotated[
        int | None, typer.Option(metavar="N", help="Cut just before this one of `archive incidents`.")
    ] = None,
    before_time: BeforeTime = None,
    without: Without = None,
    into: Annotated[
        str | None, typer.Option(metavar="DSN", help="Restore beside, into this database.")
    ] = None,
) -> None:
    """Restore one tenant, in place or beside. Give exactly one cut; with --without, at most one."""
    from harness import session
    from harness.subject.reference import process

    cuts = (before_xid, before_lsn, incident, before_time)
    given = sum(cut is not None for cut in cuts)
    if given != 1 and not (given == 0 and without):
        raise BadInput(
            "a restore needs exactly one cut",
            cure="give one of --before-xid, --before-lsn, --incident and --before-time",
        )
    if before_xid is not None or before_lsn is not None or not given:
        cut = session.read_cut(before_xid, before_lsn)
    else:
        cut = _found_cut(config, tenant, incident, before_time)
    _print_json(process.restore(config, tenant, session.leaving_out(cut, without or []), into))


def _found_cut(config: Path, tenant: str, incident: int | None, before_time: str | None) -> Cut:
    """Find the cut in the archive, and say on stderr which it is and what is ambiguous about it."""
    from harness.subject.reference import process

    if incident is not None:
        found = process.cut_of_incident(config, incident)
    else:
        found = process.cut_before_time(config, tenant, before_time or "")
    typer.echo(found.words, err=True)
    return found.cut


def _console(json: bool) -> Console:
    return Console(stderr=json, highlight=False)


def _print_json(value: object) -> None:
    import msgspec

    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def _finish(judged: Judged, json: bool) -> NoReturn:
    from harness.model.verdict import EXIT_OF, merge_drills
    from harness.report import terminal

    if json:
        _print_json(judged.verdicts[0] if len(judged.verdicts) == 1 else judged.verdicts)
    else:
        console = Console(highlight=False)
        terminal.show(
            console,
            judged.verdicts,
            str(judged.out),
            unavailable=judged.unavailable,
            replays=judged.replays,
        )
    raise typer.Exit(EXIT_OF[merge_drills(judged.verdicts)])


def main() -> int:
    """Run the command line; return its exit code. Errors are told in one paragraph, without a traceback."""
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # it warns of each query that a stop interrupts
    try:
        ended = app(prog_name="restoreproof", standalone_mode=False)
    except TyperException as error:
        error.show()  # type: ignore[attr-defined]  # whatever typer's parser raises can show itself
        return EXIT_BAD_INPUT
    except RestoreproofError as error:
        sys.stderr.write(f"restoreproof: {error}\n")
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("restoreproof: stopped; everything it had started is gone\n")
        return EXIT_HARNESS_FAILED
    return ended if isinstance(ended, int) else EXIT_PROVEN


if __name__ == "__main__":
    sys.exit(main())
