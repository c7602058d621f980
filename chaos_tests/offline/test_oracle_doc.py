"""The worked example of docs/oracle.md: its tables are read, and the judge is asked."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from harness.judge.incidents import Incident
from harness.judge.losses import loss_of
from harness.judge.states import Step, solve
from harness.judge.timeline import NEVER, Transaction
from harness.model.values import Image, RowKey, image_of, row_key

DOCS = Path(__file__).parents[2] / "docs"
INCIDENT_S = 7.0


def table(first: str) -> list[list[str]]:
    """The cells of the table whose first heading is ``first``, line by line."""
    lines = (DOCS / "oracle.md").read_text().splitlines()
    begin = next(n for n, line in enumerate(lines) if line.startswith(f"| {first} |"))
    rows = []
    for line in lines[begin + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def orders(text: str) -> dict[RowKey, Image]:
    """The rows that ``1: paid, 3: new`` stands for."""
    found = re.findall(r"(\d+): (\w+)", text)
    return {row_key("order", (key,)): image_of({"id": key, "state": state}) for key, state in found}


def step(order: int, name: str, begun: str, acked: str, writes: str) -> Step:
    """The transaction that a line of the first table tells of."""
    tx = Transaction(
        order=order,
        name=name,
        actor="writer",
        tenant="a",
        cluster=1,
        xid=order,
        begun_s=float(begun),
        sent_s=float(begun),
        ended_s=NEVER if acked == "open" else float(acked),
        outcome="unknown" if acked == "open" else "acked",
    )
    return Step(tx=tx, writes=orders(writes))


STEPS = [step(number, *cells) for number, cells in enumerate(table("transaction"))]
ANSWERS = table("orders that came back")


@pytest.mark.parametrize(("back", "inside", "loss", "why"), ANSWERS)
def test_the_judge_says_of_each_line_what_the_page_says(
    back: str, inside: str, loss: str, why: str
) -> None:
    """The set, and the seconds lost; or that no set fits."""
    assert why
    solution = solve(STEPS, orders(back))
    assert solution.exact == (inside != "no set")
    if solution.exact:
        names = [s.tx.name for s, there in zip(STEPS, solution.inside, strict=True) if there]
        assert " ".join(names) == inside.replace("nothing", "")
        assert loss_of(solution, Incident(at_s=INCIDENT_S, why="")).seconds == float(loss)
    else:
        assert (loss, bool(solution.holes)) == ("-", True)


def test_the_page_has_the_whole_example_and_a_picture_of_it() -> None:
    """Nothing of the tables was lost on the way here, and the picture names all four."""
    assert len(STEPS) == 4
    assert len(ANSWERS) == 8
    picture = "".join(ET.parse(DOCS / "oracle.svg").getroot().itertext())
    assert all(s.tx.name in picture for s in STEPS)
