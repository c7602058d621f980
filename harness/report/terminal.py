"""What a person reads in a terminal: the table at the end, and the sentence that sums it up.

Fits 80 columns and a dumb terminal: without colour nothing is lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import get_args

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.model.verdict import DrillVerdict, Finding, Said, Verdict, merge_drills
from harness.report import coverage
from harness.report.html import seconds

STYLE_OF: dict[Verdict, str] = {"proven": "green", "broken": "bold red", "unknown": "yellow"}
FINDINGS_SHOWN_MAX = 5


def table(verdicts: Sequence[DrillVerdict]) -> Table:
    """Return one row a drill: script, tenants hit, worst loss and exposure and whose, restore, verdict."""
    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for name, justify in (("#", "right"), ("script", "left"), ("hit", "right")):
        shown.add_column(name, justify=justify, ratio=1 if name == "script" else None)  # type: ignore[arg-type]  # literals
    for name in ("loss", "exposure", "restore"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("verdict", no_wrap=True)
    for number, verdict in enumerate(verdicts, 1):
        shown.add_row(*_cells(number, verdict))
    return shown


def _cells(number: int, verdict: DrillVerdict) -> tuple[str, ...]:
    hit = sum(t.damaged for t in verdict.tenants)
    survivors = "" if verdict.survivors == "all" else f" [{verdict.survivors} survives]"
    beyond = f" (outside the envelope: {', '.join(verdict.outside)})" if verdict.outside else ""
    return (
        str(number),
        escape(verdict.script + survivors + _bit(verdict) + beyond),
        f"{hit}/{len(verdict.tenants)}",
        _worst(verdict.worst_loss_s, verdict.worst_loss_tenant),
        _worst(verdict.worst_exposure_s, verdict.worst_exposure_tenant),
        seconds(verdict.slowest_restore_s),
        f"[{STYLE_OF[verdict.verdict]}]{verdict.verdict}[/]",
    )


def _bit(verdict: DrillVerdict) -> str:
    """Name the faults that bit, if any did."""
    names = sorted({cell.fault for cell in verdict.cells})
    return f" [{', '.join(names)}]" if names else ""


def _worst(value: float | None, tenant: str | None) -> str:
    if not value or tenant is None:
        return seconds(value)
    return f"{seconds(value)}\n({escape(tenant)})"


def sentence(verdicts: Sequence[DrillVerdict]) -> str:
    """Return the sentence that sums a campaign up, and names the points not judged."""
    verdict = merge_drills(verdicts)
    inside, beyond = [v for v in verdicts if not v.outside], [v for v in verdicts if v.outside]
    said = _counted(inside) if inside or not beyond else "none inside the envelope"
    said += f"; outside the envelope {_counted(beyond)}" if beyond else ""
    tenants = sum(len(v.tenants) for v in verdicts)
    losses = [(v.worst_loss_s, v.worst_loss_tenant) for v in verdicts if v.worst_loss_s is not None]
    worst, whose = max(losses, key=lambda loss: loss[0] or 0.0, default=(None, None))
    lost = "nobody lost an acknowledged write" if not worst else f"worst loss {seconds(worst)} ({whose})"
    not_judged = sorted({point for v in verdicts for point in v.points_not_judged})
    left = f" Not judged: {'; '.join(not_judged)}." if not_judged else ""
    return f"{verdict.upper()}: {said or 'no drill ran'}; {tenants} tenants judged, {lost}.{left}"


def _counted(verdicts: Sequence[DrillVerdict]) -> str:
    counts = {name: sum(v.verdict == name for v in verdicts) for name in STYLE_OF}
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def witness_words(verdicts: Sequence[DrillVerdict]) -> str:
    """Return what a second witness said over all drills; may be empty. ``sentence`` has its reasons."""
    every = [said for verdict in verdicts for said in verdict.witness]
    if not every:
        return ""
    counts = Counter(said.said for said in every)
    counted = ", ".join(f"{name} {counts[name]}" for name in get_args(Said) if counts[name])
    return f"Second witness, of {len(every)} tenants: {counted}."


def findings(verdict: DrillVerdict) -> Iterable[str]:
    """Return the first findings of a drill, a paragraph each, and how many more there are."""
    every = verdict.every_finding
    every.sort(key=lambda finding: finding.verdict != "broken")
    for finding in every[:FINDINGS_SHOWN_MAX]:
        yield describe(finding)
    if len(every) > FINDINGS_SHOWN_MAX:
        yield f"and {len(every) - FINDINGS_SHOWN_MAX} more findings, all in verdict.json"


def describe(finding: Finding) -> str:
    """Return a finding in words: the check, whose, which row, what was found, and who is to blame."""
    where = [f"tenant {finding.tenant}" if finding.tenant else "", finding.table or ""]
    where += [" ".join(finding.key) if finding.key else "", finding.column or ""]
    written = f" (written by {finding.operation})" if finding.operation else ""
    loss = f" Loss {seconds(finding.loss_s)}." if finding.loss_s is not None else ""
    place = ", ".join(word for word in where if word)
    said = f"{place + ': ' if place else ''}{finding.message}{written}"
    return f"{finding.verdict} – {finding.check}: {said}.{loss}{_blame(finding)}"


def _blame(finding: Finding) -> str:
    if finding.blame is None:
        return ""
    return f" Blame: {finding.blame.layer or 'not known'}. {finding.blame.words}."


def show(
    console: Console,
    verdicts: Sequence[DrillVerdict],
    out: str,
    *,
    unavailable: Mapping[str, str] = MappingProxyType({}),
    replays: Sequence[str] = (),
) -> None:
    """Print table, findings of drills that were not proven, and the sentence.

    ``unavailable``: faults that the host can't do, with the reasons. ``replays``: the commands that run the
    drills again; those of drills that were not proven are told.
    """
    console.print()
    console.print(table(verdicts))
    for number, verdict in enumerate(verdicts, 1):
        if verdict.verdict != "proven":
            console.print(f"\n[bold]drill {number}[/]: {verdict.verdict}")
            for text in findings(verdict):
                console.print(f"  {escape(text)}", highlight=False)
            for command in replays[number - 1 : number]:
                console.print(f"  run it again: {escape(command)}", highlight=False, soft_wrap=True)
    style = STYLE_OF[merge_drills(verdicts)]
    console.print(f"\n[{style}]{escape(sentence(verdicts))}[/]", highlight=False)
    if told := witness_words(verdicts):
        console.print(escape(told), highlight=False)
    for said in (coverage.sentence(coverage.of(verdicts)), coverage.unavailable_words(unavailable)):
        if said:
            console.print(escape(said), highlight=False)
    console.print(f"Runs and pages: {escape(out)}", highlight=False, soft_wrap=True)
