"""Detection power on real services, told: a section of ``docs/power.md`` of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from harness.model.power import Power
from harness.report import power_rows as told

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
    caught = power.caught_s
    return (
        f"{told.tried(power)} {told.trials(power)}",
        *([f"Median time to catch, once the stack was up: {caught:.0f} s."] if caught is not None else []),
        *told.near_misses(power),
        _without(power),
        *told.failed(power),
        *told.exceptions(power),
        *told.unfinished(power),
    )


def _without(power: Power) -> str:
    drills = told.counted(sum(batch.drills for batch in power.clean), "quick drill")
    *_, failed = power.failed
    rest = f", {failed} not run to their end" if failed else ""
    return (
        f"Without a defect: {drills}: {power.clean_proven} proven, {power.clean_opens} unknown,"
        f" {power.clean_alarms} broken (false alarms){rest}."
    )


def section(power: Power) -> Iterator[str]:
    """Yield the section's lines."""
    asked = power.asked
    again = (
        f"restoreproof power --host local --seed {asked.seed} --trials {asked.trials} --plans {asked.clean}"
    )
    yield from (
        "",
        "## On real services",
        "",
        "The same, on the services that users run; `make power-full` measures it. It takes hours.",
        "",
        *(f"- {sentence}" for sentence in summary(power)),
        "",
        f"{told.measured(power)} {power.wall_s / 60:.0f} minutes in all. Again: `{again}`.",
        "",
        READING,
        *told.table(told.MAIN, (told.cells(row)[: len(told.MAIN)] for row in power.rows())),
        "",
        *told.table(EACH, _each(power)),
        "",
    )


def _each(power: Power) -> Iterable[tuple[str, ...]]:
    for row in power.rows():
        one = row.planted
        yield one.name, f"`{one.switch}`", ", ".join(one.caught_by), one.near_miss, told.near_miss(row)
