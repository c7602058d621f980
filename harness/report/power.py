"""Detection power, told: the table in a terminal, the page, and ``docs/power.md``.

``python -m harness.report.power [POWER_JSON …]`` stores results in ``docs/power``, one of each host, and
writes ``docs/power.md`` from what is stored there: real services have a section of their own, at the end.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.model import folder
from harness.model.power import Power, Row, decode, encode_short, wilson
from harness.report import power_live as live
from harness.report import power_rows as told
from harness.report.html import environment
from harness.report.power_rows import HEAD, cells, counted

DOCS = Path("docs")
PAGE = "power.md"
STORED = "power"


def write(out: Path, power: Power) -> Path:
    """Write the page into the folder of the results and return its path."""
    path = out / folder.REPORT
    page = environment().get_template("power.html.j2")
    text = page.render(
        power=power, head=HEAD, lines=list(map(cells, power.rows())), summary=summary(power),
        alarms=list(told.alarms(power)), opens=list(told.opens(power)), source=told.source(power),
    )  # fmt: skip
    path.write_text(text, encoding="utf-8")
    return path


def show(console: Console, power: Power, out: str) -> None:
    """Print the table and what it comes to."""
    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for name in ("defect", "caught", "plans", "s", "named by", "small", "near miss"):
        shown.add_column(name, no_wrap=name != "named by")
    for row in power.rows():
        text = dict(zip(HEAD, cells(row), strict=True))
        style = "bold red" if row.missed or row.alarms else "green" if row.always else "yellow"
        shown.add_row(
            escape(text["defect"]), f"[{style}]{text['caught']}[/]", text["plans"], text["seconds"],
            text["named by"], text["small plan"].partition(" of ")[0], text["near miss"],
        )  # fmt: skip
    console.print(shown)
    for sentence in summary(power):
        console.print(sentence, markup=False)
    console.print(f"report: {out}/{folder.REPORT}", markup=False)


def summary(power: Power) -> tuple[str, ...]:
    """Return what it all comes to, in sentences."""
    if power.live:
        return live.summary(power)
    of = f" of at most {counted(power.asked.plans_max, 'plan')}"
    return (
        f"{told.tried(power)} {told.trials(power, of)}",
        *told.near_misses(power),
        _without(power),
        *_speed(power),
        *told.failed(power),
        *told.exceptions(power),
        *told.unfinished(power),
    )


def _speed(power: Power) -> Iterator[str]:
    drills = sum(trial.drills + trial.near_drills for trial in power.trials)
    drills += sum(batch.drills for batch in power.clean)
    if power.drill_ms is not None:
        wall, cpu = power.drill_ms
        yield (
            f"A drill, run and judged, took a median of {wall:.0f} ms ({cpu:.0f} ms of a processor);"
            f" {drills} drills in {power.wall_s / 60:.1f} minutes."
        )


def _without(power: Power) -> str:
    """Say how many alarms there were, and how large their share may be all the same."""
    alarms, drills = power.clean_alarms, power.clean_drills
    share = f" (at most {100 * wilson(alarms, drills)[1]:.2f} %, at 95 %)" if drills else ""
    return f"Without a defect: {counted(alarms, 'false alarm')} in {counted(drills, 'plan')}{share}."


def page(simulated: Power, real: Power | None = None) -> str:
    """Return ``docs/power.md``."""
    lines = [
        "# Detection power",
        "",
        "<!-- Written by `python -m harness.report.power` from the results stored in docs/power. -->",
        "",
        "A harness that says *proven* is worth what it would have caught. So defects are planted, one",
        "decision of a system wrong in each, and campaigns are let loose on them that know nothing of it.",
        "The results are stored as they were measured: [on the simulator](power/simulated.json)"
        + (" and [on real services](power/local.json)." if real else "."),
        "",
        *(f"- {sentence}" for sentence in summary(simulated)),
        "",
        _measured(simulated),
        "",
        _READING,
        *told.table(told.MAIN, (cells(row)[: len(told.MAIN)] for row in simulated.rows())),
        "",
        "## What each one is, and how small its plan gets",
        "",
        *told.table(EACH, map(_each, simulated.rows())),
        "",
        *(live.section(real) if real else ()),
    ]
    return "\n".join(lines)


EACH = ("defect", "what is wrong", "switched on by", "smallest plan found", "near miss", "its alarms")


def _each(row: Row) -> tuple[str, ...]:
    texts = cells(row)
    switch = f"`{row.planted.switch}`"
    return row.planted.name, row.planted.words, switch, texts[10], row.planted.near_miss, texts[11]


def _measured(power: Power) -> str:
    asked = power.asked
    return (
        f"{told.measured(power)} Again:"
        f" `restoreproof power --seed {asked.seed} --trials {asked.trials} --plans {asked.clean}`."
        f"{_SHARED if power.machine.load > power.machine.cores + 1 else ''}"
    )


_SHARED = (
    " Others were at work on the machine: seconds and minutes by the clock are longer than on one of its"
    " own, milliseconds of a processor less so."
)


_READING = """\
## How to read this

- A *trial* is a fresh seed and a campaign of at most so many plans, drawn as for anybody: all kinds of
  scripts by a covering array, faults, attacks on the archive, checks of watermarks. It ends when a check
  that is expected to name the defect does. *plans* is the median until then, *most* the worst trial, *s*
  the median of the seconds that those drills took, drawing the plans apart.
- *FM*: its number in [failure-modes.md](failure-modes.md).
- *at first*: in how many trials the expected check was among the first to find anything wrong. In the
  others something else was found before: the defect was caught then too, under another name.
- Trial number n of every defect has the same seed: the same plans, so that defects can be compared.
- The drills are sparse: too few writes to *prove* anything, so that without a defect they come out
  *unknown*. A false alarm is a drill found *broken* although nothing was.
- *95 %* is the score interval (Wilson 1927) of the share of trials that caught it.
- A *near miss* looks like the defect and is right. It met the last plans of each trial, at most five, the
  one that caught the defect among them.
- The smallest plan was found by leaving parts out for as long as the check went on to name the defect, and
  did not without it; at most 200 tries.
- A defect with a *hint* was not found in time without: its plans are bound to what the hint says.
- Where the harness itself is at fault nothing is broken; that must be told as *unknown*, never as proven,
  on plans of the profile *simulated*, which are proven without.
"""


def keep(source: Path, docs: Path) -> Path:
    """Put a result beside the page as the one of its host, and return its path; raises BadInput."""
    power = decode(source.read_bytes(), source=str(source))
    path = docs / STORED / f"{power.asked.host}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(encode_short(power))
    return path


def page_of(docs: Path) -> str:
    """Return the page of the results that are stored beside it; raises BadInput."""
    simulated, real = (docs / STORED / f"{host}.json" for host in ("simulated", "local"))
    return page(_stored(simulated), _stored(real) if real.exists() else None)


def _stored(path: Path) -> Power:
    return decode(path.read_bytes(), source=str(path))


def main(results: Sequence[str], docs: Path = DOCS) -> int:
    """Store the results that are named, write the page of all that are stored; return the exit code."""
    for result in results:
        keep(Path(result), docs)
    (docs / PAGE).write_text(page_of(docs), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
