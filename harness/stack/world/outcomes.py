"""What became of a transaction, by what was seen of the connection and when: one table, and nowhere else.

A transaction is *idle* between statements, while a connection is opened, and when it is rolled back; then
come its *statements*; and at last *COMMIT* was sent. From there on only a clear answer is an answer: an
error that can strike after the commit took effect says nothing, and a wait for the standby that was cut
short looks like success, but for a warning.

``docs/outcomes.md`` is written from here, see ``outcomes_page``.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Phase = Literal["idle", "statement", "COMMIT sent"]
"""What the connection was about."""

Sign = Literal["answered", "warned", "answered otherwise", "error", "connection ended", "no answer"]
"""What was seen: *error* is the server's, on a connection that lives on; *connection ended* may have had
one too. *answered otherwise*: COMMIT was answered by another word, as ROLLBACK is."""

Became = Literal["acked", "refused", "conflicted", "unknown", "lost"]
"""*lost*: the connection is gone, nothing was committed; *unknown*: committed or not, nobody can tell.

*conflicted*: refused on account of another transaction that ran at the same time.
"""

CONFLICTS = ("40001", "40P01")
"""Serialization failures, and deadlocks."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One row. ``sqlstates``: the states, or classes of states, that are meant; none: whatever there is."""

    phase: Phase
    sign: Sign
    became: Became
    why: str
    sqlstates: tuple[str, ...] = ()
    failure_modes: tuple[str, ...] = ()

    def fits(self, phase: Phase, sign: Sign, sqlstate: str) -> bool:
        """Whether the row is about that."""
        about = phase == self.phase and sign == self.sign
        return about and (not self.sqlstates or sqlstate.startswith(self.sqlstates))


CASES: tuple[Case, ...] = (
    Case(
        phase="idle",
        sign="error",
        became="lost",
        why="no connection, or none that can be used: there is no transaction",
    ),
    Case(
        phase="idle",
        sign="connection ended",
        became="lost",
        why="nobody listens, or nobody any more: the server rolls back what was open",
    ),
    Case(
        phase="idle",
        sign="no answer",
        became="lost",
        why="the connection is given up",
    ),
    Case(
        phase="statement",
        sign="error",
        sqlstates=CONFLICTS,
        became="conflicted",
        why="another transaction ran at the same time: nothing of this one stays, it may work once more",
    ),
    Case(
        phase="statement",
        sign="error",
        became="refused",
        why="the server refused the statement, and with it the transaction",
    ),
    Case(
        phase="statement",
        sign="connection ended",
        became="lost",
        why="COMMIT was never sent: the server rolls back, or is gone with what it had",
    ),
    Case(
        phase="statement",
        sign="no answer",
        became="lost",
        why="the connection is given up before COMMIT",
    ),
    Case(
        phase="COMMIT sent",
        sign="answered",
        became="acked",
        why="COMMIT was answered by COMMIT, and the standby has it",
    ),
    Case(
        phase="COMMIT sent",
        sign="warned",
        became="unknown",
        why="committed locally, but the wait for the standby was cut short: a failover may undo it",
        failure_modes=("FM-15", "FM-18"),
    ),
    Case(
        phase="COMMIT sent",
        sign="answered otherwise",
        became="refused",
        why="the transaction had failed before, and COMMIT rolled it back",
    ),
    Case(
        phase="COMMIT sent",
        sign="error",
        sqlstates=("08", "53", "57", "58", "XX"),
        became="unknown",
        why="operator, resources, system or the wire: it can strike after the commit took effect",
        failure_modes=("FM-16",),
    ),
    Case(
        phase="COMMIT sent",
        sign="error",
        sqlstates=CONFLICTS,
        became="conflicted",
        why="the conflict was seen at COMMIT only: nothing of it stays, it may work once more",
    ),
    Case(
        phase="COMMIT sent",
        sign="error",
        became="refused",
        why="a check at COMMIT (a deferred constraint) refused it: nothing of it stays",
    ),
    Case(
        phase="COMMIT sent",
        sign="connection ended",
        became="unknown",
        why="terminated, crashed or cut off, before the commit or after it",
        failure_modes=("FM-16", "FM-19"),
    ),
    Case(
        phase="COMMIT sent",
        sign="no answer",
        became="unknown",
        why="it may still be waiting for the standby; the connection is given up",
        failure_modes=("FM-16",),
    ),
)
"""The first row that fits says it; for each phase and sign there is one that fits."""


def became(phase: Phase, sign: Sign, sqlstate: str | None = None) -> Became:
    """Return what became of the transaction; raises KeyError for a sign that a phase can't show."""
    for case in CASES:
        if case.fits(phase, sign, sqlstate or ""):
            return case.became
    raise KeyError(f"{sign} while {phase}")
