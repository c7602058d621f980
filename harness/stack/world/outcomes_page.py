"""Writes ``docs/outcomes.md``, from the table of outcomes: run this module."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from harness.stack.world.outcomes import CASES

PAGE: Final = Path("docs/outcomes.md")

_HEAD = """\
# What became of a COMMIT

<!-- Written by `python -m harness.stack.world.outcomes_page`: change the table, not this page. -->

Whoever writes to a database that can fail has to know what an error says about the transaction. This is
the one table by which the harness tells; the first row that fits counts. *acked*: it is there, on the
standby too. *refused*: nothing of it is there. *conflicted*: refused, and tried again as a new transaction
if it is a serializable one. *lost*: the connection is gone, COMMIT was not sent, nothing is there.
*unknown*: it may be there or not, both are right, until a witness settles it.

| while | what is seen | SQLSTATE | the transaction is | because | failure modes |
|---|---|---|---|---|---|
"""

_TAIL = """
A *warned* answer carries a warning that speaks of synchronous replication, such as *the transaction has
already committed locally, but might not have been replicated to the standby*. A client that takes it for
success loses acknowledged writes in the next failover.
"""


def page() -> str:
    """Return ``docs/outcomes.md``."""
    rows = [
        f"| {case.phase} | {case.sign} | {', '.join(f'`{s}…`' for s in case.sqlstates) or 'any, or none'}"
        f" | **{case.became}** | {case.why} | {', '.join(case.failure_modes) or '–'} |\n"
        for case in CASES
    ]
    return "".join([_HEAD, *rows, _TAIL])


if __name__ == "__main__":
    PAGE.write_text(page())
