"""Detection power on real services, told: a section of ``docs/power.md`` of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from harness.model.power import Power

BEGINS: Final = "\n<!-- On real services: written from a stored result of its own. -->\n"
"""Where the section begins: what stands before it is the simulator's."""

MAIN: Final = ("defect", "FM", "where", "caught", "95 %", "plans", "most", "s", "named by", "at first")
EACH: Final = ("defect", "switched on by", "expected", "near miss", "its alarms")

READING: Final = """\
- A *trial* is a fresh seed on a stack: Postgres with its standby, Kafka, Connect, Debezium, MinIO, an
  archiver. Where any service is wrong it is one of its own; wrong restorers follow each other on one. It
  ends when a check that is expected to name the defect does, or with the first drill that ends later
  than four minutes after the stack was up.
- *s*: the median of the seconds from when the services ran until the verdict. The start of services
  comes before.
- Plans are drawn as for anybody, by a profile that has no eye for proofs: few tenants, short phases, every
  kind of script by a covering array, attacks on the archive, checks of watermarks, and the archiver
  killed in every third plan. Trial number n of every defect has the same seed.
- Most defects are the very classes that the simulator has, at work in a real archiver or restorer; those of
  services are settings of them, or stand at the same place of the real adapters.
- A near miss met the plan that caught its defect, on a stack of its own.
- Drills without a defect are those of `restoreproof drill`: each has to be *proven*.
"""


def summary(power: Power) -> tuple[str, ...]:
    """Return what it comes to, in sentences."""
    rows = power.rows()
    trials, caught = sum(row.trials for row in rows), sum(row.caught for row in rows)
    always = sum(row.caught == row.trials > 0 for row in rows)
    near, alarms = sum(row.near_drills for row in rows), sum(row.alarms for row in rows)
    counted = f"{len(rows)} defects, {trials} trials: {caught} caught by the expected check"
    said = [f"{counted}; {always} defects were caught in every trial."]
    if power.caught_s is not None:
        said.append(f"Median time to catch, once the stack was up: {power.caught_s:.0f} s.")
    said.append(f"Near misses: {alarms} false alarms in {near} drills.")
    asked = sum(batch.drills for batch in power.clean)
    said.append(f"Without a defect: {power.clean_proven} of {asked} quick drills were proven.")
    said += [
        f"Not proven: {', '.join(one.checks)} ({one.words})"
        for batch in power.clean
        for one in (*batch.alarms, *batch.opens)
    ]
    if not power.whole:
        said.append(
            f"Not everything that was asked for ({power.asked.trials} trials of each, {power.asked.clean}"
            " drills) was done: start it again with the same --out."
        )
    return tuple(said)


def section(power: Power, rows: Sequence[Sequence[str]]) -> str:
    """Return the section; ``rows`` as ``report.power.cells`` gives them."""
    asked = power.asked
    again = (
        f"restoreproof power --host local --seed {asked.seed} --trials {asked.trials} --plans {asked.clean}"
    )
    lines = [
        BEGINS,
        "## On real services",
        "",
        "The same, on the services that users run; `make power-full` measures it, in an hour and more.",
        "",
        *(f"- {sentence}" for sentence in summary(power)),
        "",
        f"{measured(power)} {power.wall_s / 60:.0f} minutes in all. Again: `{again}`.",
        "",
        READING,
        *table(MAIN, (row[: len(MAIN)] for row in rows)),
        "",
        *table(EACH, _each(power)),
        "",
    ]
    return "\n".join(lines)


def _each(power: Power) -> Iterable[tuple[str, ...]]:
    for row in power.rows():
        one = row.planted
        alarms = f"{row.alarms} in {row.near_drills}" if row.near_drills else "–"
        yield one.name, f"`{one.switch}`", ", ".join(one.caught_by), one.near_miss, alarms


def measured(power: Power) -> str:
    """Say when, where and with what it was measured."""
    asked, machine = power.asked, power.machine
    versions = ", ".join(f"{name} {version}" for name, version in sorted(machine.versions.items()))
    return (
        f"Measured on {power.made_at}, host *{asked.host}*, schema *{asked.schema}*, profile"
        f" *{asked.profile}*, seed {asked.seed}. {machine.system}, {machine.processor}, {machine.cores}"
        f" cores, load average {machine.load:g} at the end. {versions}; source `{asked.code[:12]}`."
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table's lines."""

    def line(texts: Iterable[str]) -> str:
        return f"| {' | '.join(text.replace('|', chr(92) + '|') for text in texts)} |"

    return [line(head), line("---" for _ in head), *map(line, rows)]
