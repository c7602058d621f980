"""All checks, in the order of the points they judge.

A new one is one file here, and one line in this table.
"""

from __future__ import annotations

from harness.judge.check import Check
from harness.judge.checks import (
    again,
    breach,
    catalogue,
    census,
    cuts,
    ended,
    exact,
    exposure,
    faults,
    floors,
    honest,
    live,
    loss,
    naming,
    nothing_else,
    outbox,
    prefix,
    probes,
    provable,
    refusals,
    restored,
    resurrection,
    script,
    sequences,
    set_aside,
    shared,
    writers,
)

CHECKS: tuple[Check, ...] = (
    restored.CHECK,
    loss.CHECK,
    exposure.CHECK,
    naming.CHECK,
    exact.CHECK,
    prefix.CHECK,
    nothing_else.CHECK,
    set_aside.CHECK,
    resurrection.CHECK,
    live.CHECK,
    refusals.CHECK,
    shared.CHECK,
    outbox.CHECK,
    catalogue.CHECK,
    sequences.CHECK,
    probes.CHECK,
    again.CHECK,
    honest.CHECK,
    breach.CHECK,
    ended.CHECK,
    census.CHECK,
    cuts.CHECK,
    script.CHECK,
    faults.CHECK,
    floors.CHECK,
    provable.CHECK,
    writers.CHECK,
)
