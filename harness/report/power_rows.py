"""What the pages of detection power share: a row's cells, tables, and the sentences of both hosts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from harness.model.power import Alarm, Near, Power, Row, Trial

HEAD: Final = (
    "defect", "FM", "where", "caught", "95 %", "plans", "most", "seconds", "named by", "at first",
    "small plan", "near miss",
)  # fmt: skip
MAIN: Final = ("defect", "FM", "where", "caught", "95 %", "plans", "most", "s", "named by", "at first")
"""Heads of the first so many cells on the page, with a shorter word for seconds."""


def cells(row: Row) -> tuple[str, ...]:
    """Return a row's cells as text, in the order of ``HEAD``."""
    hinted = f" (hint: {row.planted.hint})" if row.planted.hint else ""
    return (
        row.planted.name + hinted,
        row.planted.failure_mode,
        row.planted.where,
        *_caught(row),
        "–" if row.plans is None else f"{row.plans:g}",
        "–" if row.plans_most is None else str(row.plans_most),
        "–" if row.seconds is None else f"{row.seconds:.2f}",
        ", ".join(f"{check} {count}" for check, count in row.named_by) or "–",
        f"{row.at_first} of {row.any_check}" if row.any_check else "–",
        _small(row),
        near_miss(row),
    )


def _caught(row: Row) -> tuple[str, str]:
    if not row.trials:
        return "not tried", "–"
    low, high = row.interval
    return f"{row.caught} of {row.trials}", f"{low:.2f}–{high:.2f}"


def near_miss(row: Row) -> str:
    """Say how many alarms a row's near miss raised, in how many drills."""
    if row.near_drills:
        return f"{counted(row.alarms, 'alarm')} in {row.near_drills}"
    return "not tried" if row.planted.has_near_miss else "–"


def _small(row: Row) -> str:
    if row.small is None:
        return "–"
    extra = [
        counted(count, word)
        for count, word in ((row.small.faults, "fault"), (row.small.attacks, "attack"))
        if count
    ]
    words = ", ".join([f"{row.small.operations} of {row.small.operations_before} operations", *extra])
    return f"{words}, {counted(row.small.tenants, 'tenant')}"


def counted(count: int, word: str) -> str:
    """Return *1 defect*, *2 defects*."""
    return f"{count} {word}" if count == 1 else f"{count} {word}{'e' if word.endswith('s') else ''}s"


def tried(power: Power) -> str:
    """Say how many defects were caught in all trials asked for, and what became of the others."""
    rows, asked = power.rows(), power.asked.trials
    always = sum(row.always for row in rows)
    rest = (
        (sum(row.missed for row in rows), "missed at least once"),
        (sum(0 < row.trials < asked and not row.missed for row in rows), "tried less often"),
        (sum(row.trials == 0 for row in rows), "not tried yet"),
    )
    others = "".join(f"; {count} {words}" for count, words in rest if count)
    defects = counted(len(rows), "defect")
    return f"{always} of {defects} caught in {asked} of {counted(asked, 'trial')}{others}."


def trials(power: Power, of: str = "") -> str:
    """Say how many trials there were, ``of`` what size, and how many caught their defect."""
    rows = power.rows()
    made, caught = sum(row.trials for row in rows), sum(row.caught for row in rows)
    return f"{counted(made, 'trial')}{of}: {caught} caught by the expected check."


def near_misses(power: Power) -> Iterator[str]:
    """Yield what came of near misses: no bound on alarms, since one plan meets many of them."""
    if power.near_drills:
        alarms, drills = counted(power.near_alarms, "false alarm"), counted(power.near_drills, "drill")
        shared = "they share plans with each other, so no bound is given"
        yield f"Near misses: {alarms} in {drills} ({shared})."
    if untried := power.near_untried:
        were = "was" if len(untried) == 1 else "were"
        yield f"{counted(len(untried), 'near miss')} {were} not tried, or not to the end of a drill."


def failed(power: Power) -> Iterator[str]:
    """Yield how many drills came to no end, and of which kind."""
    kinds = zip(power.failed, ("with a defect", "with a near miss", "without a defect"), strict=True)
    told = ", ".join(f"{count} {kind}" for count, kind in kinds if count)
    if told:
        yield f"{counted(sum(power.failed), 'drill')} did not run to the end: {told}."


def alarms(power: Power) -> Iterator[tuple[str, Alarm]]:
    """Yield each false alarm: what was drilled, and the alarm."""
    for batch in power.clean:
        yield from ((f"without a defect, batch {batch.number}", alarm) for alarm in batch.alarms)
    tried: tuple[Trial | Near, ...] = (*power.trials, *power.near)
    for one in tried:
        yield from ((f"near miss of {one.defect}, trial {one.number}", alarm) for alarm in one.alarms)


def opens(power: Power) -> Iterator[tuple[str, Alarm]]:
    """Yield each drill without a defect that was found unknown, and should have been proven."""
    for batch in power.clean:
        yield from ((f"without a defect, batch {batch.number}", alarm) for alarm in batch.opens)


def exceptions(power: Power) -> Iterator[str]:
    """Yield a line for each drill without a defect, or of a near miss, that should have come out better.

    Then what was found out about them since.
    """
    for kind, found in (("False alarm", alarms(power)), ("Unknown", opens(power))):
        for what, alarm in found:
            yield f"{kind}: plan of seed {alarm.seed}, {what}: {', '.join(alarm.checks)} ({alarm.words})"
    yield from (f"Found out since: {remark}" for remark in power.remarks)


def unfinished(power: Power) -> Iterator[str]:
    """Yield what to do when not all was done."""
    if not power.whole:
        trials, drills = counted(power.asked.trials, "trial"), counted(power.asked.clean, "drill")
        asked = f"{trials} of each defect, its near miss, {drills} without a defect"
        yield f"Not everything that was asked for ({asked}) was done: start it again with the same --out."


def measured(power: Power) -> str:
    """Say when, where and with what it was measured."""
    asked, machine = power.asked, power.machine
    versions = ", ".join(f"{name} {version}" for name, version in sorted(machine.versions.items()))
    return (
        f"Measured on {power.made_at}, host *{asked.host}*, schema *{asked.schema}*, profile"
        f" *{asked.profile}*, seed {asked.seed}. {machine.system}, {machine.processor}, {machine.cores}"
        f" cores, load average {machine.load:g} at the end. {versions}; {source(power)}."
    )


def source(power: Power) -> str:
    """Say of which program: its commit, where that is known, and the digest of its files."""
    commit = f"commit `{power.asked.commit}`, " if power.asked.commit else ""
    return f"{commit}digest of the source `{power.asked.code[:12]}`"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table's lines."""

    def line(texts: Iterable[str]) -> str:
        return f"| {' | '.join(text.replace('|', chr(92) + '|') for text in texts)} |"

    return [line(head), line("---" for _ in head), *map(line, rows)]
