"""What ``restoreproof power`` does: from its options to trials, ``power.json`` and the page."""

from __future__ import annotations

import hashlib
import os
import platform
import secrets
import subprocess
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import harness
from harness.model.errors import BadInput, UnknownName
from harness.model.power import (
    Asked,
    Clean,
    Entry,
    Machine,
    Near,
    Planted,
    Power,
    Small,
    Trial,
    decode,
    encode,
)
from harness.power import work
from harness.power.draws import schema_of
from harness.report import power as report
from harness.simulate.defects import DEFECTS, Defect

RESULT = "power.json"
LIBRARIES = ("restoreproof", "hypothesis", "msgspec", "cryptography", "zstandard")


USUAL = {"simulated": (20, 2_000), "local": (3, 100)}
"""How many trials of each defect and how many plans without one, by the host, unless asked for others."""


class HasName(Protocol):
    """A defect of either zoo."""

    @property
    def name(self) -> str: ...


Named = TypeVar("Named", bound=HasName)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line asked for. ``defects``: names, or parts of names; none: all. ``seed`` None: the
    one that ``out`` holds results of, else a new one.
    """

    out: Path
    defects: tuple[str, ...] = ()
    trials: int = 20
    plans: int = 2_000
    plans_max: int = 30
    host: str = "simulated"
    schema: str = "helpdesk"
    profile: str = "hunt"
    seed: int | None = None
    processes: int | None = None


def measure(options: Options, console: Console) -> Power:
    """Do what is left to be done, write ``power.json`` and ``report.html``, and return all of it.

    Raises BadInput and UnknownName before anything is run.
    """
    began_s = time.monotonic()
    chosen = choose(options.defects, DEFECTS, "defect")
    schema_of(options.schema)
    asked, kept, spent_s = opened(options)

    def power() -> Power:
        wall_s = round(spent_s + time.monotonic() - began_s, 1)
        return result_of(asked, [_told(one) for one in chosen], kept, wall_s=wall_s, batch=work.BATCH)

    store(options.out, power())
    names = [planted.name for planted in chosen]
    try:
        _work(asked, list(work.units(asked, names, kept)), kept, options, console)
        _work(asked, list(work.reductions(names, kept)), kept, options, console)
    finally:
        store(options.out, power())
    return power()


def choose(wanted: Sequence[str], zoo: Sequence[Named], what: str) -> tuple[Named, ...]:
    """Return those of a zoo whose names have one of these words in them, all for none.

    Raises UnknownName, of ``what``.
    """
    for word in wanted:
        if not any(word in one.name for one in zoo):
            raise UnknownName(what, word, [one.name for one in zoo])
    return tuple(one for one in zoo if not wanted or any(word in one.name for word in wanted))


def opened(options: Options) -> tuple[Asked, work.Kept, float]:
    """Return what is asked for, what is there of it, and how many seconds that took; raises BadInput."""
    before = stored(options.out)
    asked = asked_of(options, before)
    spent_s = before.wall_s if before is not None and before.asked.code == asked.code else 0.0
    return asked, work.Kept(options.out, asked.code), spent_s


def code() -> str:
    """Return a digest of the program's own source."""
    root = Path(harness.__file__).parent
    found = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.suffix in (".py", ".toml", ".sql"):
            found.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return found.hexdigest()


def commit() -> str:
    """Return git's commit of that source, with ``-dirty`` if files differ; empty where git knows none."""
    there = ["git", "-C", str(Path(harness.__file__).parent)]
    try:
        subprocess.run(
            [*there, "ls-files", "--error-unmatch", "__init__.py"], check=True, capture_output=True
        )
        describe = [*there, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        return subprocess.run(describe, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def stored(out: Path) -> Power | None:
    """Return the result that a folder holds, None if none."""
    path = out / RESULT
    return decode(path.read_bytes(), source=str(path)) if path.exists() else None


def asked_of(options: Options, before: Power | None) -> Asked:
    """Return what is asked for; raises BadInput when ``before`` holds results of other plans."""
    seed = options.seed
    if seed is None:
        seed = before.asked.seed if before is not None else secrets.randbelow(1 << 31)
    asked = Asked(
        host=options.host,
        schema=options.schema,
        profile=options.profile,
        seed=seed,
        trials=options.trials,
        plans_max=options.plans_max,
        clean=options.plans,
        code=code(),
        commit=commit(),
    )
    if before is not None and _draws(before.asked) != _draws(asked) and before.asked.code == asked.code:
        raise BadInput(
            f"{options.out} holds results of other plans: {before.asked}",
            cure="give another --out, or the same --seed, --schema and --host as before",
        )
    return asked


def _draws(asked: Asked) -> tuple[object, ...]:
    return asked.host, asked.schema, asked.profile, asked.seed, asked.plans_max


def _work(asked: Asked, todo: list[work.Unit], kept: work.Kept, options: Options, console: Console) -> None:
    """Do the units, with one line on the terminal that says how far they are."""
    if not todo:
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        what = "plans made small" if todo[0].reduce else "trials and clean batches"
        task = progress.add_task(what, total=sum(len(unit.defects) or 1 for unit in todo))

        def seen(unit: work.Unit, entries: list[Entry]) -> None:
            progress.advance(task, len(unit.defects) or 1)
            for words in map(_worth_telling, entries):
                if words:
                    progress.console.print(words, markup=False)

        work.run(asked, todo, kept, options.processes or os.cpu_count() or 1, seen)


def _worth_telling(entry: Entry) -> str:
    """Say at once what should not be."""
    match entry:
        case Trial(named=None):
            return f"not named in {entry.drills} plans: {entry.defect} (trial {entry.number})"
        case Trial(alarms=(first, *_)):
            return f"false alarm: near miss of {entry.defect}, plan {first.plan} of trial {entry.number}"
        case Clean(alarms=(first, *_)):
            return f"false alarm: plan {first.plan} of batch {entry.number}: {first.checks} {first.words}"
    return ""


def result_of(
    asked: Asked, planted: Sequence[Planted], kept: work.Kept, *, wall_s: float, batch: int
) -> Power:
    """Return what is kept of these defects, as far as it was asked for; ``batch``: clean drills in one."""
    names = {one.name for one in planted}
    trials = [e for e in kept.entries if isinstance(e, Trial) and e.number <= asked.trials]
    batches = -(-asked.clean // batch)
    return Power(
        made_at=time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        asked=asked,
        machine=machine(),
        wall_s=wall_s,
        planted=tuple(planted),
        trials=tuple(sorted((t for t in trials if t.defect in names), key=lambda t: (t.defect, t.number))),
        clean=tuple(e for e in kept.entries if isinstance(e, Clean) and e.number <= batches),
        small=tuple(e for e in kept.entries if isinstance(e, Small) and e.defect in names),
        near=tuple(e for e in kept.entries if isinstance(e, Near) and e.defect in names),
    )


def _told(planted: Defect) -> Planted:
    return Planted(
        name=planted.name,
        failure_mode=planted.failure_mode,
        where=planted.where,
        words=planted.words,
        switch=planted.switch,
        caught_by=planted.caught_by,
        near_miss=planted.near_words,
        hint=planted.hint or planted.kind,
    )


def machine() -> Machine:
    """Say where this runs."""
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        processor = models[0].partition(":")[2].strip() if models else processor
    versions = {"python": platform.python_version()} | {name: metadata.version(name) for name in LIBRARIES}
    return Machine(
        system=f"{platform.system()} {platform.release()}",
        processor=processor,
        cores=os.cpu_count() or 1,
        load=round(os.getloadavg()[0], 2),
        versions=versions,
    )


def store(out: Path, power: Power) -> None:
    """Write ``power.json`` and the page."""
    (out / RESULT).write_bytes(encode(power))
    report.write(out, power)
