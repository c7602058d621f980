"""Detection power, told: the table in a terminal, the page, and ``docs/power.md``.

``python -m harness.report.power POWER_JSON [PAGE]`` writes ``docs/power.md`` from a stored result. One of
real services is a section of its own, at the end; a result replaces the part that is its own.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.model import folder
from harness.model.power import Power, Row, decode, wilson
from harness.report import power_live as live
from harness.report.html import environment

PAGE = Path("docs/power.md")
HEAD = (
    "defect", "FM", "where", "caught", "95 %", "plans", "most", "seconds", "named by", "at first",
    "small plan", "near miss",
)  # fmt: skip


def write(out: Path, power: Power) -> Path:
    """Write the page into the folder of the results and return its path."""
    path = out / folder.REPORT
    page = environment().get_template("power.html.j2")
    text = page.render(power=power, head=HEAD, lines=list(map(cells, power.rows())), summary=summary(power))
    path.write_text(text, encoding="utf-8")
    return path


def show(console: Console, power: Power, out: str) -> None:
    """Print the table and what it comes to."""
    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for name in ("defect", "caught", "plans", "s", "named by", "small", "near miss"):
        shown.add_column(name, no_wrap=name != "named by")
    for row in power.rows():
        told = dict(zip(HEAD, cells(row), strict=True))
        style = "green" if row.caught == row.trials and not row.alarms else "bold red"
        shown.add_row(
            escape(told["defect"]), f"[{style}]{told['caught']}[/]", told["plans"], told["seconds"],
            told["named by"], told["small plan"].partition(" of ")[0], told["near miss"],
        )  # fmt: skip
    console.print(shown)
    for sentence in summary(power):
        console.print(sentence, markup=False)
    console.print(f"report: {out}/{folder.REPORT}", markup=False)


def cells(row: Row) -> tuple[str, ...]:
    """Return a row's cells as text, in the order of ``HEAD``."""
    low, high = row.interval
    alarms = f"{row.alarms} alarms in {row.near_drills}" if row.near_drills else "–"
    hinted = f" (hint: {row.planted.hint})" if row.planted.hint else ""
    return (
        row.planted.name + hinted,
        row.planted.failure_mode,
        row.planted.where,
        f"{row.caught} of {row.trials}",
        f"{low:.2f}–{high:.2f}",
        "–" if row.plans is None else f"{row.plans:g}",
        "–" if row.plans_most is None else str(row.plans_most),
        "–" if row.seconds is None else f"{row.seconds:.2f}",
        ", ".join(f"{check} {count}" for check, count in row.named_by) or "–",
        f"{row.at_first} of {row.any_check}",
        _small(row),
        alarms,
    )


def _small(row: Row) -> str:
    if row.small is None:
        return "–"
    extra = [
        f"{count} {word}{'s' if count > 1 else ''}"
        for count, word in ((row.small.faults, "fault"), (row.small.attacks, "attack"))
        if count
    ]
    words = ", ".join([f"{row.small.operations} of {row.small.operations_before} operations", *extra])
    return f"{words}, {row.small.tenants} tenant{'s' if row.small.tenants > 1 else ''}"


def summary(power: Power) -> tuple[str, ...]:
    """Return what it all comes to, in sentences."""
    if power.live:
        return live.summary(power)
    rows = power.rows()
    near, alarms = sum(row.near_drills for row in rows), sum(row.alarms for row in rows)
    drills = sum(trial.drills + trial.near_drills for trial in power.trials)
    drills += sum(batch.drills for batch in power.clean)
    said = [
        _counted(power),
        f"Near misses: {alarms} false alarms in {near} drills{_at_most(alarms, near)}.",
        _without(power),
    ]
    if power.drill_ms is not None:
        wall, cpu = power.drill_ms
        said.append(
            f"A drill, run and judged, took a median of {wall:.0f} ms ({cpu:.0f} ms of a processor);"
            f" {drills} drills in {power.wall_s / 60:.1f} minutes."
        )
    if not power.whole:
        said.append("Not everything that was asked for was done: start it again with the same --out.")
    return tuple(said)


def _counted(power: Power) -> str:
    rows = power.rows()
    trials, caught = sum(row.trials for row in rows), sum(row.caught for row in rows)
    always = sum(row.caught == row.trials and row.trials > 0 for row in rows)
    return (
        f"{len(rows)} defects, {trials} trials of at most {power.asked.plans_max} plans: {caught} caught by"
        f" the expected check; {always} defects were caught in every trial."
    )


def _without(power: Power) -> str:
    share = _at_most(power.clean_alarms, power.clean_drills)
    return f"Without a defect: {power.clean_alarms} false alarms in {power.clean_drills} plans{share}."


def _at_most(alarms: int, drills: int) -> str:
    """Say how large the share may be all the same."""
    return f" (at most {100 * wilson(alarms, drills)[1]:.2f} %, at 95 %)" if drills else ""


def page(power: Power) -> str:
    """Return ``docs/power.md``."""
    lines = [
        "# Detection power",
        "",
        "<!-- Written by `python -m harness.report.power POWER_JSON` from a stored result. -->",
        "",
        "A harness that says *proven* is worth what it would have caught. So defects are planted, one",
        "decision of a system wrong in each, and campaigns are let loose on them that know nothing of it.",
        "",
        *(f"- {sentence}" for sentence in summary(power)),
        "",
        _measured(power),
        "",
        _READING,
        *live.table(MAIN, (cells(row)[: len(MAIN)] for row in power.rows())),
        "",
        "## What each one is, and how small its plan gets",
        "",
        *live.table(EACH, map(_each, power.rows())),
        "",
    ]
    return "\n".join(lines)


MAIN = ("defect", "FM", "where", "caught", "95 %", "plans", "most", "s", "named by", "at first")
EACH = ("defect", "what is wrong", "switched on by", "smallest plan found", "near miss", "its alarms")


def _each(row: Row) -> tuple[str, ...]:
    told = cells(row)
    switch = f"`{row.planted.switch}`"
    return row.planted.name, row.planted.words, switch, told[10], row.planted.near_miss, told[11]


def _measured(power: Power) -> str:
    asked = power.asked
    return (
        f"{live.measured(power)} Again:"
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


def main(arguments: Sequence[str]) -> int:
    """Write the page from the result named first, to the file named second; return the exit code."""
    source = Path(arguments[0])
    path = Path(arguments[1]) if len(arguments) > 1 else PAGE
    power = decode(source.read_bytes(), source=str(source))
    before, _, section = (path.read_text(encoding="utf-8") if path.exists() else "").partition(live.BEGINS)
    if power.live:
        simulated, section = before, live.section(power, [cells(row) for row in power.rows()])
    else:
        simulated, section = page(power), live.BEGINS + section if section else ""
    path.write_text(simulated + section, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
